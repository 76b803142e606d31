"""A worker: registers, polls, and hands each task to the code that deals with it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter

from levante.errors import WorkflowsException, to_failure
from levante.replay.run import WorkflowCodeFailed
from levante.worker.api import UNAVAILABLE, Api, ApiError, ApiUnreachable, KeyRefused
from levante.worker.attempt import Attempt
from levante.worker.attempt_end import AttemptEnd, Deferred, Failed, Succeeded
from levante.worker.cache import RunCache
from levante.worker.holder import Holder
from levante.worker.intake import Intake
from levante.worker.leases import LeaseIsLost
from levante.worker.registration import Registration
from levante.worker.retrying import for_ever
from levante.worker.world import World
from levante_core.protocol import OLD_AFTER_SECONDS, ActivityTask, Failure, WorkflowTask, stuck, unpinned
from levante_core.protocol.activities import ActivityReport, ActivityReportResult, ActivityReportsResponse, CheckRequest
from levante_core.protocol.workers import (
    CommitResult,
    CommitsResponse,
    DeliveredTask,
    HandBack,
    TaskQueue,
    WorkflowTaskFailedRequest,
)

logger = logging.getLogger("levante.worker")

MAX_HELD_RUNS = 200
"""Runs advanced at the same time; more tasks than that stay with other workers."""
MESSAGE_CHARACTERS = 4000
"""Of what the API said, in a failure that is recorded."""

_COMMITS = TypeAdapter(CommitsResponse)
_REPORTS = TypeAdapter(ActivityReportsResponse)


def send_commits(api: Api) -> Callable[[list[bytes]], Awaitable[list[CommitResult]]]:
    """Make the call that carries many commits."""

    async def send(items: list[bytes]) -> list[CommitResult]:
        answer = await api.post_items("/workers/commits", b'{"commits":[%b]}', items)
        return list(_COMMITS.validate_json(answer).results)

    return send


def send_reports(api: Api) -> Callable[[list[bytes]], Awaitable[list[ActivityReportResult]]]:
    """Make the call that carries many activity reports."""

    async def send(items: list[bytes]) -> list[ActivityReportResult]:
        answer = await api.post_items("/workers/activity-reports", b'{"reports":[%b]}', items)
        return list(_REPORTS.validate_json(answer).results)

    return send


class Worker:
    """Serves workflows and activities until it is told to stop."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._deployment = world.settings.serves
        self._intake = Intake(world.tasks)
        self._leases = [self._intake.leases]
        self._session = f"{unpinned(self._deployment)}-sticky-worker-session-{_digest(world.worker_id)}"
        self._session_task: asyncio.Task[None] | None = None
        world.runner.session, world.runner.open_session = self._session, self._open_session
        self._cache = RunCache(world.settings.max_cached_workflows)
        self._registration = Registration(world, self._session, self._renew_leases)
        self._holders: set[Holder] = set()
        self._advancing: dict[str, asyncio.Task[None]] = {}
        self._activities: dict[asyncio.Task[None], tuple[DeliveredTask, Intake]] = {}
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain.

        Raises: ApiError when the API refuses the worker for good; WorkflowsException when a provider fails.
        """
        async with self._world.runner.with_dependencies():
            await self._serve(stop)

    async def _serve(self, stop: asyncio.Event) -> None:
        await self._registration.register()
        background = [
            asyncio.create_task(self._registration.heartbeat()),
            asyncio.create_task(self._intake.leases.keep()),
            asyncio.create_task(self._poll(TaskQueue.WORKFLOW, self._intake, self._room_for_runs, self._receive_runs)),
            asyncio.create_task(self._poll_activities(self._intake)),
            asyncio.create_task(self._world.api.until_refused()),
            asyncio.create_task(stop.wait()),
        ]
        presence = self._spawn(self._registration.hold_presence())
        polls = background[2:4]
        try:
            done, _ = await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await _cancelled([*polls, *self._of_session()])
            await self._drain()
            await self._world.tasks.close()
        finally:
            held = [*self._advancing.values(), *self._activities]
            await _cancelled([*self._of_session(), *background, presence, *held])
            self._cache.clear()

    async def _renew_leases(self) -> None:
        for leases in self._leases:
            await leases.renew()

    # --- polling ------------------------------------------------------------------------------------------------------

    async def _poll(
        self,
        queue: TaskQueue,
        intake: Intake,
        room: Callable[[], int],
        receive: Callable[[Sequence[DeliveredTask]], None],
    ) -> None:
        """Take tasks while there is room for them. Raises: KeyRefused, and nothing else: a poll that fails is made again."""

        async def turn() -> None:
            limit = min(room(), 100)
            if limit == 0:
                self._changed.clear()
                await self._changed.wait()
            else:
                receive(await intake.tasks.poll(queue, limit))

        await for_ever(f"polling the {queue} queue", turn, ended_by=KeyRefused)

    async def _poll_activities(self, intake: Intake) -> None:
        await self._poll(TaskQueue.ACTIVITY, intake, self._room_for_activities, partial(self._receive_activities, intake))

    def _open_session(self) -> str:
        """Take tasks of this worker's own session from now on. Returns its name."""
        if self._session_task is None:
            serving = for_ever("serving the sticky session", self._serve_session, ended_by=KeyRefused)
            self._session_task = self._spawn(serving)
        return self._session

    def _of_session(self) -> list[asyncio.Task[None]]:
        return [self._session_task] if self._session_task else []

    async def _serve_session(self) -> None:
        intake = Intake(await self._world.tasks_of(stuck(self._deployment, self._session)))
        self._leases.append(intake.leases)
        keeping = asyncio.create_task(intake.leases.keep())
        try:
            await self._poll_activities(intake)
        finally:
            self._leases.remove(intake.leases)
            await _cancelled([keeping])

    def _room_for_runs(self) -> int:
        return max(0, MAX_HELD_RUNS - len(self._advancing))

    def _room_for_activities(self) -> int:
        return self._world.runner.free_slots

    def _receive_runs(self, tasks: Sequence[DeliveredTask]) -> None:
        by_execution: dict[str, list[DeliveredTask]] = defaultdict(list)
        for delivered in tasks:
            by_execution[delivered.task.execution_id].append(delivered)
        for execution_id, deliveries in by_execution.items():
            before = self._advancing.get(execution_id)
            task = self._spawn(self._advance(deliveries, before))
            self._advancing[execution_id] = task
            task.add_done_callback(partial(self._forget, execution_id))

    def _forget(self, execution_id: str, done: asyncio.Task[None]) -> None:
        if self._advancing.get(execution_id) is done:
            del self._advancing[execution_id]
        self._changed.set()

    def _receive_activities(self, intake: Intake, tasks: Sequence[DeliveredTask]) -> None:
        for delivered in tasks:
            task = self._spawn(self._run_activity(delivered, intake))
            self._activities[task] = delivered, intake
            task.add_done_callback(self._activity_ended)

    def _activity_ended(self, task: asyncio.Task[None]) -> None:
        self._activities.pop(task, None)
        self._changed.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(_log_error)
        return task

    # --- workflow tasks -----------------------------------------------------------------------------------------------

    async def _advance(self, deliveries: Sequence[DeliveredTask], before: asyncio.Task[None] | None) -> None:
        """Advance one run. `before`: what this worker still does for the same execution."""
        receipts = [delivered.receipt for delivered in deliveries]
        async with self._intake.leases.held(TaskQueue.WORKFLOW, receipts):
            if before:
                await asyncio.wait([before])
            by_run: dict[str, list[DeliveredTask]] = defaultdict(list)
            for delivered in deliveries:
                by_run[delivered.task.run_id].append(delivered)
            for run_id, its_deliveries in by_run.items():
                await self._advance_run(run_id, its_deliveries)

    async def _advance_run(self, run_id: str, deliveries: Sequence[DeliveredTask]) -> None:
        try:
            await self._hold(run_id, deliveries)
        except LeaseIsLost:
            logger.warning("execution %s is advanced by another worker by now", deliveries[0].task.execution_id)
        except KeyRefused:
            return  # this worker ends; the run stays as it is
        except Exception as error:  # noqa: BLE001 - whatever it is, the run stays open, and says why
            await self._report_task_failure(deliveries, error)

    async def _hold(self, run_id: str, deliveries: Sequence[DeliveredTask]) -> None:
        tasks = [delivered.task for delivered in deliveries if isinstance(delivered.task, WorkflowTask)]
        if not tasks:
            raise TypeError("a message of the workflow queue is no workflow task")
        receipts = [delivered.receipt for delivered in deliveries]
        is_redelivered = any(delivered.receive_count > 1 for delivered in deliveries)
        is_trusted = not is_redelivered and all(self._is_fresh(delivered.task) for delivered in deliveries)
        holder = Holder(self._world, self._intake.leases, tasks[0], receipts, self._cache.take(run_id))
        self._holders.add(holder)
        try:
            facts = [task.fact for task in tasks if task.fact]
            is_dealt_with = await holder.advance(facts, is_trusted=is_trusted, is_redelivered=is_redelivered)
        finally:
            self._holders.discard(holder)
        if holder.live:
            self._cache.put(run_id, holder.live)
        if not is_dealt_with:
            await self._intake.done(TaskQueue.WORKFLOW, receipts)

    async def _report_task_failure(self, deliveries: Sequence[DeliveredTask], error: Exception) -> None:
        """Leave one message for later, so that fixed code can carry on. Never raises.

        If nobody takes the report, the lease ends by itself, and the task comes again all the same.
        """
        last, *others = deliveries
        cause = error.__cause__ if isinstance(error, WorkflowCodeFailed) and error.__cause__ else error
        logger.error("execution %s cannot be advanced: %s", last.task.execution_id, cause, exc_info=cause)
        if others:
            await self._intake.done(TaskQueue.WORKFLOW, [delivered.receipt for delivered in others])
        brief = Failure(type=type(cause).__name__, message="the failure itself cannot be reported: see the worker's log")
        for failure in (to_failure(cause), brief):
            request = WorkflowTaskFailedRequest(
                token=last.task.token,
                receipt=last.receipt,
                attempt=last.receive_count,
                failure=failure,
            )
            try:
                await self._world.api.workflow_task_failed(request)
            except (KeyRefused, ApiUnreachable):
                return
            except Exception:
                logger.exception("nobody takes the report that execution %s cannot be advanced", last.task.execution_id)
            else:
                return

    def _is_fresh(self, task: WorkflowTask | ActivityTask) -> bool:
        return not task.verify and self._world.now() - task.fresh_at < timedelta(seconds=OLD_AFTER_SECONDS)

    # --- activity tasks -----------------------------------------------------------------------------------------------

    async def _run_activity(self, delivered: DeliveredTask, intake: Intake) -> None:
        async with intake.leases.held(TaskQueue.ACTIVITY, [delivered.receipt]):
            task = await self._wanted(delivered)
            if task is None or task.work is None:
                await intake.done(TaskQueue.ACTIVITY, [delivered.receipt])
                return
            attempt = Attempt(
                task.execution_id,
                task.run_id,
                task.deployment_name,
                task.seq,
                task.attempt,
                task.token,
                task.work,
                task.details,
            )
            end = await self._run_decoded(attempt)
            if isinstance(end, Deferred):
                await intake.done(TaskQueue.ACTIVITY, [delivered.receipt])
                return
            report = ActivityReport(
                token=task.token,
                result=end.sent if isinstance(end, Succeeded) else None,
                failure=end.failure if isinstance(end, Failed) else None,
                receipt=delivered.receipt,
            )
            await self._report(attempt, report)

    async def _report(self, attempt: Attempt, report: ActivityReport) -> None:
        """Report how an attempt ended. An outcome that the API cannot record is a failed attempt, which says why.

        Raises: ApiError if the API cannot record that either, or is away; when the lease ends, the attempt counts as lost.
        """
        try:
            await self._world.reports.submit(report.model_dump_json().encode())
        except (KeyRefused, ApiUnreachable):
            raise
        except Exception as error:
            logger.exception("the outcome of activity %d of execution %s is not recorded", attempt.seq, attempt.execution_id)
            is_refused = isinstance(error, ApiError) and error.status not in {*UNAVAILABLE, HTTPStatus.INTERNAL_SERVER_ERROR}
            message = f"the outcome of the attempt could not be recorded: {error}"[:MESSAGE_CHARACTERS]
            failure = Failure(type="OutcomeNotRecorded", message=message, non_retryable=is_refused)
            failed = report.model_copy(update={"result": None, "failure": failure})
            await self._world.reports.submit(failed.model_dump_json().encode())

    async def _run_decoded(self, attempt: Attempt) -> AttemptEnd:
        """Run an attempt whose payloads are encoded; what cannot be decoded fails as if the activity had."""
        payloads, work = self._world.payloads, attempt.work
        try:
            value = await payloads.decoded(work.input, attempt.execution_id)
            details = tuple([await payloads.decoded(one, attempt.execution_id) for one in attempt.details])
        except WorkflowsException as error:
            return Failed(to_failure(error))
        plain = replace(attempt, work=work.model_copy(update={"input": value}), details=details)
        return await self._world.runner.run(plain)

    async def _wanted(self, delivered: DeliveredTask) -> ActivityTask | None:
        """Return what to run; a message that is old or was delivered before is believed only after asking."""
        task = delivered.task
        if not isinstance(task, ActivityTask):
            return None
        if task.work and delivered.receive_count == 1 and self._is_fresh(task):
            return task
        try:
            return (await self._world.api.check(CheckRequest(task=task, receive_count=delivered.receive_count))).task
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            logger.warning("nobody has asked for activity %d of execution %s: dropped", task.seq, task.execution_id)
            return None

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let running work end for a while, then give back what is left, so that nobody has to wait for leases to end."""
        seconds = self._world.settings.drain_seconds
        logger.info("stopping: running activities have %g s to end", seconds)
        for holder in self._holders:
            holder.stop(now=False)
        await _ended([*self._advancing.values(), *self._activities], seconds)
        for holder in self._holders:
            holder.stop(now=True)
        returned: defaultdict[Intake, list[HandBack]] = defaultdict(list)
        for delivered, intake in self._activities.values():
            returned[intake].append(HandBack(receipt=delivered.receipt, token=delivered.task.token))
        await _cancelled(list(self._activities))
        for intake, tasks in returned.items():
            await intake.hand_back(TaskQueue.ACTIVITY, tasks)
        await _ended(list(self._advancing.values()), seconds)
        await _cancelled(list(self._advancing.values()))


async def _ended(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() and not isinstance(task.exception(), KeyRefused):
        logger.error("a task could not be dealt with; it comes again", exc_info=task.exception())


def _digest(worker_id: str) -> str:
    return hashlib.sha256(worker_id.encode()).hexdigest()[:32]
