"""Running a workflow in this process, without a server: nothing is recorded, and nothing survives the process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, assert_never
from uuid import uuid4

from levante.definition.definitions import WorkflowDefinition, discover_activities, discover_workflows, with_retry_defaults
from levante.errors import ErrorCode, RecordedError, WorkflowsException, to_failure
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.run import WorkflowRun
from levante.worker.activities.attempt import Attempt, Demand
from levante.worker.activities.attempt_end import Deferred, Stopped, Succeeded
from levante.worker.activities.runner import ActivityRunner
from levante.worker.payloads import PLAIN
from levante.worker.transport.api import Api
from levante_core.protocol import (
    ACTIVITY_CANCELED,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ActivityWork,
    CancelRequested,
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    ChildStarted,
    Command,
    DeploymentName,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionFailed,
    ExecutionStatus,
    Failure,
    FailureKind,
    Json,
    Outcome,
    RetryAfter,
    RetryPolicy,
    RunId,
    RunStart,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkerPool,
    after_failure,
)
from levante_core.protocol.activities import (
    ActivityHeartbeatRequest,
    ActivityHeartbeatResponse,
    DeferRequest,
    DeferResponse,
    PermitRequest,
    PermitResponse,
    PublicationResult,
)

MANY = 1_000_000
"""Slots for activities: in this process nothing else has to be left room for."""
THREADS = 64
"""For plain functions; others wait, which their timeouts do not count."""
NO_SEQ = 0
"""Of what is waited for without a command."""
NOBODY_COMPLETES = "activity.complete_later() needs a server: who could complete the activity here?"


async def run_locally(definition: WorkflowDefinition, value: Json, timeout: timedelta) -> Any:  # noqa: ASYNC109 - the contract's
    """Run a workflow to its end, its activities and children too. Returns what it returns.

    Signals, updates and queries cannot reach it. Raises: RecordedError when it fails; WorkflowsException when it takes too
    long, or waits for what cannot come; whatever else its code raises.
    """
    here, limit = _Process(), asyncio.timeout(timeout.total_seconds())
    try:
        async with limit:
            return definition.load_result(await _Local(here, definition, value, uuid4().hex, limit=timeout).result())
    except TimeoutError:
        if not limit.expired():
            raise
        problem = f"workflow {definition.name!r} took longer than {timeout}"
        raise WorkflowsException(problem, code=ErrorCode.WORKFLOW_TIMEOUT_ERROR) from None


class _Process:
    """What this process has imported: the activities and workflows that can be run."""

    def __init__(self) -> None:
        modules = list(sys.modules.values())
        self.runner = ActivityRunner(discover_activities(modules), MANY, _NoServer(), _now, PLAIN, threads=THREADS)
        self.workflows = {one.name: one for one in discover_workflows(modules)}


class _NoServer(Api):
    """In place of a server: listens to heartbeats and custom tasks, and keeps rate limits within this process."""

    def __init__(self) -> None:
        self._free_at: dict[str, float] = {}

    async def activity_heartbeat(self, request: ActivityHeartbeatRequest) -> ActivityHeartbeatResponse:  # noqa: ARG002
        return ActivityHeartbeatResponse(is_wanted=True)

    async def defer_activity(self, request: DeferRequest) -> DeferResponse:  # noqa: ARG002
        return DeferResponse(is_wanted=False)

    async def publish_task_events(self, publications: list[bytes]) -> list[PublicationResult]:
        return [PublicationResult(last_sequence=None) for _ in publications]

    async def rate_permit(self, request: PermitRequest) -> PermitResponse:
        name = request.rate_limit.key or f"activity {request.activity_name}"
        now = asyncio.get_running_loop().time()
        wait = max(0.0, self._free_at.get(name, now) - now)
        is_taken = request.takes(wait)
        if is_taken:
            self._free_at[name] = now + wait + request.rate_limit.interval_seconds
        return PermitResponse(wait_seconds=wait, is_taken=is_taken)

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:  # noqa: ARG002
        raise WorkflowsException(f"there is no server here to answer {method} {path}")


class _Local:
    """One run: its code is driven as a worker drives it, by what really happens."""

    def __init__(
        self,
        here: _Process,
        definition: WorkflowDefinition,
        value: Json,
        execution_id: str,
        asked_to_end: asyncio.Event | None = None,
        *,
        limit: timedelta,
    ) -> None:
        now = _now()
        start = RunStart.model_validate(
            {"workflow_name": definition.name, "input": value, "started_at": now, "deadline_at": now + limit}
        )
        self._here = here
        self._limit = limit
        self._definition = definition
        self._execution_id = execution_id
        self._run_id = uuid4().hex
        self._run = WorkflowRun(definition, execution_id, self._run_id, start)
        self._work: dict[asyncio.Task[Outcome | CancelRequested], int] = {}
        self._demands: dict[int, Demand] = {}
        self._children: dict[int, _Local] = {}
        self._asked_to_end = asked_to_end or asyncio.Event()

    @property
    def is_asked_to_end(self) -> bool:
        """Whether `cancel` was called."""
        return self._asked_to_end.is_set()

    def cancel(self) -> None:
        """Ask the run to end."""
        self._asked_to_end.set()

    async def result(self) -> Json:
        """Drive the code to its end. Returns its JSON result. Raises: CancelledError if it ends because it was asked to."""
        self._begin(NO_SEQ, self._cancel_request())
        try:
            commands = self._run.begin()
            while (end := self._take(commands)) is None:
                event = await self._next()
                commands = self._run.receive([event]) if isinstance(event, CancelRequested) else self._run.apply(event)
        except WorkflowCodeFailed as error:
            raise error.__cause__ or error from None
        finally:
            self._run.dispose()
            for task in self._work:
                task.cancel()
            await asyncio.gather(*self._work, return_exceptions=True)
        match end:
            case ExecutionCompleted():
                return end.result
            case ExecutionContinuedAsNew():
                asked = self._asked_to_end
                return await _Local(
                    self._here, self._definition, end.input, self._execution_id, asked, limit=self._limit
                ).result()
            case ExecutionFailed():
                raise RecordedError(end.failure)
            case _:
                raise asyncio.CancelledError

    async def _cancel_request(self) -> CancelRequested:
        await self._asked_to_end.wait()
        return CancelRequested(number=1, at=_now())

    async def _next(self) -> Outcome | CancelRequested:
        if set(self._work.values()) <= {NO_SEQ}:
            self._refuse_to_wait()
        done, _ = await asyncio.wait(self._work, return_when=asyncio.FIRST_COMPLETED)
        first = min(done, key=self._work.__getitem__)
        del self._work[first]
        return first.result()

    def _refuse_to_wait(self) -> NoReturn:
        raise WorkflowsException(
            f"workflow {self._definition.name!r} waits for a signal or an update, which cannot reach it without a server: "
            "start `levante dev` and a worker, or test it with levante.testing"
        )

    def _take(self, commands: Iterable[Command]) -> Command | None:
        """Do what the code asks for. Returns the command that ends the run, once there is one."""
        for command in commands:
            match command:
                case ActivityScheduled():
                    self._begin(command.seq, self._activity(command))
                case TimerStarted():
                    self._begin(command.seq, _timer(command))
                case ChildScheduled():
                    self._begin(command.seq, self._child(command))
                    if not command.is_awaited:
                        self._begin(command.seq, _started(command))
                case ActivityCancelRequested() | TimerCanceled() | ChildCancelRequested():
                    self._give_up(command)
                case ExecutionCompleted() | ExecutionFailed() | ExecutionCanceled() | ExecutionContinuedAsNew():
                    return command
                case _:
                    pass
        return None

    def _begin(self, seq: int, work: Coroutine[Any, Any, Outcome | CancelRequested]) -> None:
        self._work[asyncio.create_task(work)] = seq

    def _give_up(self, command: ActivityCancelRequested | TimerCanceled | ChildCancelRequested) -> None:
        match command:
            case ActivityCancelRequested(is_awaited=True):
                self._demands[command.activity].end()
            case ActivityCancelRequested():
                self._cancel(command.activity)
            case TimerCanceled():
                self._cancel(command.timer)
            case ChildCancelRequested(is_awaited=True):
                self._children[command.child].cancel()
            case ChildCancelRequested():
                self._cancel(command.child)
            case _:
                assert_never(command)

    def _cancel(self, seq: int) -> None:
        for task in [task for task, its_seq in self._work.items() if its_seq == seq]:
            del self._work[task]
            task.cancel()

    async def _activity(self, scheduled: ActivityScheduled) -> Outcome:
        options = with_retry_defaults(scheduled.options, RetryPolicy())
        work = ActivityWork(name=scheduled.name, input=scheduled.input, options=options)
        demand, is_unwanted = Demand(), asyncio.Event()
        self._demands[scheduled.seq] = demand
        number = 1
        while True:
            attempt = Attempt(
                self._execution_id,
                self._run_id,
                WorkerPool(DeploymentName("local")),
                scheduled.seq,
                number,
                "local",
                work,
                demand=demand,
            )
            end = await self._here.runner.run(attempt)
            if isinstance(end, Deferred):
                raise WorkflowsException(NOBODY_COMPLETES)
            if isinstance(end, Stopped):
                raise asyncio.CancelledError
            if isinstance(end, Succeeded):
                return ActivityCompleted(seq=scheduled.seq, at=_now(), result=end.result)
            decision = after_failure(options.retry, number, end.failure)
            if not isinstance(decision, RetryAfter):
                return ActivityFailed(seq=scheduled.seq, at=_now(), failure=end.failure, attempt=number)
            demand.on_end(is_unwanted.set)
            with suppress(TimeoutError):
                await asyncio.wait_for(is_unwanted.wait(), decision.delay.total_seconds())
            if not demand.is_there:
                return ActivityFailed(seq=scheduled.seq, at=_now(), failure=ACTIVITY_CANCELED, attempt=number)
            number = decision.attempt

    async def _child(self, scheduled: ChildScheduled) -> Outcome:
        definition = self._here.workflows[scheduled.workflow_name]
        own = scheduled.timeout_seconds
        limit = definition.execution_timeout if own is None else timedelta(seconds=own)
        child = _Local(self._here, definition, scheduled.input, scheduled.execution_id, limit=limit)
        self._children[scheduled.seq] = child
        try:
            return ChildCompleted(seq=scheduled.seq, at=_now(), result=await child.result())
        except asyncio.CancelledError:
            if not child.is_asked_to_end:
                raise
            failure = Failure(kind=FailureKind.CANCELED, type="ChildCanceled", message="the child was asked to end")
            return ChildFailed(seq=scheduled.seq, at=_now(), failure=failure, status=ExecutionStatus.CANCELED)
        except Exception as error:  # noqa: BLE001 - whatever a child raises, its parent is told
            failure, status = to_failure(error), ExecutionStatus.FAILED
            return ChildFailed(seq=scheduled.seq, at=_now(), failure=failure, status=status)


async def _timer(started: TimerStarted) -> Outcome:
    await asyncio.sleep((started.fire_at - _now()).total_seconds())
    return TimerFired(seq=started.seq, at=started.fire_at)


async def _started(scheduled: ChildScheduled) -> Outcome:
    return ChildStarted(seq=scheduled.seq, at=_now(), run_id=RunId(scheduled.execution_id))


def _now() -> datetime:
    return datetime.now(UTC)
