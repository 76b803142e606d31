"""One run's workflow code, driven by its recorded inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from contextvars import copy_context
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, assert_never
from uuid import UUID

from levante.context import ChildWorkflow, current_workflow
from levante.determinism.guard import guard_for
from levante.errors import ErrorCode, WorkflowError, WorkflowsException, activity_error, fails_execution, to_failure
from levante.replay.changes import Patches
from levante.replay.children import Children, StartedChild
from levante.replay.conditions import Conditions
from levante.replay.loop import DeterministicLoop
from levante.replay.messages import ContinueAsNew, Messages
from levante.replay.rules import RUN_RULES, RunRules
from levante.search_keys import after_change, extraction
from levante_core.protocol import (
    MOST_EVENTS,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityOptions,
    ActivityScheduled,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    ChildStarted,
    Command,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionFailed,
    Failure,
    Json,
    Mail,
    Outcome,
    PatchRecorded,
    RunId,
    RunStart,
    SearchKeysChanged,
    SignalReceived,
    TaskEvent,
    TaskPublished,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    UpdateCompleted,
    UpdateFailed,
    UpdateRequested,
    execution_id,
)

if TYPE_CHECKING:
    from levante.definitions import WorkflowDefinition

DISPOSE_ROUNDS = 10
BUGS = (Exception, SystemExit)
"""What workflow code must not raise: an execution whose code calls `sys.exit` must not end its worker, and then the next."""
LONG_HISTORY = MOST_EVENTS // 5
"""Events after which a workflow is advised to continue as new."""


class WorkflowCodeFailed(Exception):
    """Workflow code raised something that is a bug, not an outcome. The run stays open; `__cause__` is what was raised."""


class WorkflowRun:
    """The live code of one run; it implements WorkflowContext. `begin` and `apply` return the commands that follow.

    After WorkflowCodeFailed, and after its end, a run is of no more use but to be disposed of.
    has_large_history: see HistoryGrewLarge.
    """

    def __init__(
        self, definition: WorkflowDefinition, execution_id: str, run_id: str, start: RunStart, rules: RunRules = RUN_RULES
    ) -> None:
        self.execution_id = execution_id
        self.run_id = run_id
        self.random = Random(start.reset.seed if start.reset else run_id)  # noqa: S311 - reproducible on purpose
        self._definition = definition
        self._start = start
        self._now = start.started_at
        self._loop = DeterministicLoop(  # type: ignore[abstract]  # what it does not offer raises NotImplementedError
            start.started_at.timestamp(), self._timer_started, self._timer_canceled
        )
        self._last_seq = 0
        self._commands: list[Command] = []
        self._activities: dict[int, tuple[str, asyncio.Future[Any]]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._timer_seqs: dict[int, int] = {}
        self._children = Children(self._loop, self._ask)
        self._conditions = Conditions(self._loop)
        self._context = copy_context()
        self._context.run(current_workflow.set, self)
        self._instance: object = None
        self._messages = Messages(definition, self._spawn, self._answer, rules.check)
        self._guard = guard_for(
            definition, execution_id, lambda: self._last_seq + self._messages.begun, is_enforced=rules.enforces_determinism
        )
        self._main: asyncio.Task[Any] | None = None
        self._events_seen = 0
        self._is_cancel_requested = False
        self._is_answering = False
        self._is_disposed = False
        self.patches = Patches(self._record)
        self.has_large_history = False
        self._check = rules.check
        self._fails_on_errors = rules.fails_on_errors
        self.search_keys = start.search_keys

    @property
    def events(self) -> int:
        """How many events the history has by now, but for notes."""
        return self._events_seen + self._last_seq

    @property
    def is_over(self) -> bool:
        """Whether the entrypoint has ended."""
        return self._main is not None and self._main.done()

    # --- driven by the worker -----------------------------------------------------------------------------------------

    def begin(self, mail: Sequence[Mail] = ()) -> list[Command]:
        """Run the code from its start until it waits; mail that came before is handed over first.

        Raises: WorkflowCodeFailed.
        """
        try:
            self._instance = self._guard.run(self._context.run, self._definition.cls)
        except BUGS as error:
            raise WorkflowCodeFailed(str(error)) from error
        if self._definition.search_keys:
            try:
                self.change_search_keys(extraction(self._definition.search_keys, self._start.input))
            except WorkflowsException as error:
                raise WorkflowCodeFailed(str(error)) from error
        for letter in mail:
            self._hand_over(letter)
        self._main = self._loop.create_task(self._definition.run(self._instance, self._start.input), context=self._context)
        if self._is_cancel_requested:
            self._main.cancel()
        return self._advance()

    def receive(self, mail: Sequence[Mail]) -> list[Command]:
        """Hand over what the run was sent, all of it, then run the code until it waits. Raises: WorkflowCodeFailed."""
        for letter in mail:
            self._hand_over(letter)
        return self._advance()

    def apply(self, outcome: Outcome) -> list[Command]:
        """Tell the code how something that it asked for ended, and run it until it waits. Raises: WorkflowCodeFailed."""
        self._move_to(outcome.at)
        match outcome:
            case ActivityCompleted():
                _, future = self._activities.pop(outcome.seq)
                future.set_result(outcome.result)
            case ActivityFailed():
                name, future = self._activities.pop(outcome.seq)
                future.set_exception(activity_error(name, outcome.attempt, outcome.failure))
            case TimerFired():
                handle = self._timers.pop(outcome.seq)
                del self._timer_seqs[id(handle)]
                self._loop.fire(handle)
            case ChildStarted() | ChildCompleted() | ChildFailed():
                self._children.apply(outcome)
            case _:
                assert_never(outcome)
        return self._advance()

    def query(self, name: str, value: Json) -> Json:
        """Return what a query handler says of the run as it stands. Raises: whatever the handler raises."""
        self._is_answering = True
        try:
            return self._guard.run(self._context.copy().run, self._messages.query, self._instance, name, value)
        finally:
            self._is_answering = False

    def dispose(self) -> None:
        """Throw the live code away; nothing that it still does reaches the outside."""
        self._is_disposed = True
        self._loop.mute()
        self._guard.dispose(self._unwind, self._loop)

    def _unwind(self) -> set[asyncio.Task[Any]]:
        """Cancel what is left of the code, again where it goes on. Returns the tasks that do not end."""
        for _ in range(DISPOSE_ROUNDS):
            if not (tasks := asyncio.all_tasks(self._loop)):
                break
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it is thrown away on purpose
                task.cancel()
            with suppress(SystemExit):
                self._loop.run_until_idle(lambda: False, self._guard.begin_turn)
        return asyncio.all_tasks(self._loop)

    # --- WorkflowContext ----------------------------------------------------------------------------------------------

    @property
    def workflow_name(self) -> str:
        """See WorkflowContext."""
        return self._definition.name

    @property
    def is_replaying(self) -> bool:
        """See WorkflowContext."""
        return self.patches.is_replaying

    def now(self) -> datetime:
        return self._now

    def uuid4(self) -> UUID:
        return UUID(int=self.random.getrandbits(128), version=4)

    def should_continue_as_new(self) -> bool:
        return self.has_large_history or self.events >= LONG_HISTORY

    def start_activity(self, name: str, input: Any, options: ActivityOptions) -> asyncio.Future[Any]:
        self._refuse_commands()
        _, problem = self._check(f"the input of {name}", input)
        if problem:
            raise WorkflowError(problem, non_retryable=True)
        seq = self._next_seq()
        self._commands.append(ActivityScheduled(seq=seq, name=name, input=input, options=options))
        future = self._loop.create_future()
        self._activities[seq] = (name, future)
        future.add_done_callback(lambda done: self._activity_canceled(seq) if done.cancelled() else None)
        return future

    def continue_as_new(self, input: Json) -> NoReturn:
        self._refuse_commands()
        self._definition.entrypoint.input.bind(input)
        raise ContinueAsNew(input)

    def patched(self, patch_id: str) -> bool:
        return self.patches.is_taken(patch_id)

    def deprecate_patch(self, patch_id: str) -> None:
        self.patches.deprecate(patch_id)

    def change_search_keys(self, change: SearchKeysChanged) -> None:
        self._refuse_commands()
        before, self.search_keys = self.search_keys, after_change(self.search_keys, change)
        if self.search_keys != before and not self.patches.is_replaying:
            self._commands.append(change)

    def publish(self, event: TaskEvent) -> None:
        if not self._is_disposed:
            self._refuse_commands()
            self._ask(lambda seq: TaskPublished(seq=seq, event=event))

    def start_child(self, child: ChildWorkflow) -> StartedChild:
        self._refuse_commands()
        _, problem = self._check(f"the input of child workflow {child.workflow_name}", child.input)
        if problem:
            raise WorkflowError(problem, non_retryable=True)
        chosen = execution_id(child.execution_id or self.uuid4().hex)
        return self._children.start(
            lambda seq: ChildScheduled(
                seq=seq,
                workflow_name=child.workflow_name,
                execution_id=chosen,
                input=child.input,
                close_policy=child.close_policy,
                is_awaited=child.is_awaited,
                timeout_seconds=child.timeout_seconds,
            )
        )

    async def wait_condition(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        await self._conditions.wait(predicate, timeout_seconds)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _advance(self) -> list[Command]:
        try:
            self._guard.run(self._run_until_settled)
        except BUGS as error:
            raise WorkflowCodeFailed(str(error)) from error
        if self._main and self._main.done():
            self._end(self._main)
        elif self._messages.failure:
            self._end_with(self._messages.failure)
        commands, self._commands = self._commands, []
        return commands

    def _run_until_settled(self) -> None:
        self._loop.run_until_idle(lambda: self.is_over, self._guard.begin_turn)
        while not self.is_over and self._conditions.look():
            self._loop.run_until_idle(lambda: self.is_over, self._guard.begin_turn)

    def _move_to(self, at: datetime) -> None:
        self._now = max(self._now, at)
        self._loop.advance_to(self._now.timestamp())
        self._events_seen += 1

    def _hand_over(self, mail: Mail) -> None:
        self._move_to(mail.at)
        match mail:
            case SignalReceived():
                self._messages.signal(self._instance, mail)
            case UpdateRequested():
                self._messages.update(self._instance, mail)
            case CancelRequested():
                self._is_cancel_requested = True
                if self._main:
                    self._main.cancel()
            case _:
                assert_never(mail)

    def _ask(self, make: Callable[[int], Command]) -> int:
        """Record a command unless the code is thrown away. Returns its seq."""
        seq = self._next_seq()
        if not self._is_disposed:
            self._commands.append(make(seq))
        return seq

    def _record(self, patch: PatchRecorded) -> None:
        self._refuse_commands()
        self._commands.append(patch)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> object:
        return self._loop.create_task(work, context=self._context)

    def _answer(self, number: int, result: Json, failure: Failure | None) -> None:
        if self._is_disposed:
            return
        seq = self._next_seq()
        if failure is None:
            self._commands.append(UpdateCompleted(seq=seq, update=number, result=result))
        else:
            self._commands.append(UpdateFailed(seq=seq, update=number, failure=failure))

    def _end(self, main: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if main.cancelled() else main.exception()
        if error is None:
            self._commands.append(self._closing(self._result(main)))
        elif isinstance(error, asyncio.CancelledError) and self._is_cancel_requested:
            self._commands.append(ExecutionCanceled(seq=self._next_seq()))
        else:
            self._end_with(error)

    def _end_with(self, error: BaseException) -> None:
        """End the run with what the entrypoint or a handler raised. Raises: WorkflowCodeFailed for a bug."""
        if isinstance(error, ContinueAsNew):
            run_id = RunId(str(self.uuid4()))
            self._commands.append(ExecutionContinuedAsNew(seq=self._next_seq(), run_id=run_id, input=error.input))
            return
        if not self._fails_on_errors and not fails_execution(error):
            raise WorkflowCodeFailed(str(error)) from error
        self._commands.append(ExecutionFailed(seq=self._next_seq(), failure=to_failure(error)))

    def _result(self, main: asyncio.Task[Any]) -> Json:
        try:
            return self._guard.run(self._definition.dump_result, main.result())
        except BUGS as error:
            raise WorkflowCodeFailed(str(error)) from error

    def _closing(self, result: Json) -> ExecutionCompleted | ExecutionFailed:
        _, problem = self._check("the result of the workflow", result)
        if problem:
            failure = Failure(type="PayloadRefused", message=problem, non_retryable=True)
            return ExecutionFailed(seq=self._next_seq(), failure=failure)
        return ExecutionCompleted(seq=self._next_seq(), result=result)

    def _next_seq(self) -> int:
        self._last_seq += 1
        return self._last_seq

    def _activity_canceled(self, activity: int) -> None:
        if self._activities.pop(activity, None) and not self._is_disposed:
            self._commands.append(ActivityCancelRequested(seq=self._next_seq(), activity=activity))

    def _timer_started(self, handle: asyncio.TimerHandle) -> None:
        self._refuse_commands()
        seq = self._next_seq()
        self._timers[seq] = handle
        self._timer_seqs[id(handle)] = seq
        self._commands.append(TimerStarted(seq=seq, fire_at=datetime.fromtimestamp(handle.when(), UTC)))

    def _timer_canceled(self, handle: asyncio.TimerHandle) -> None:
        timer = self._timer_seqs.pop(id(handle), None)
        if timer is not None and not self._is_disposed:
            del self._timers[timer]
            self._commands.append(TimerCanceled(seq=self._next_seq(), timer=timer))

    def _refuse_commands(self) -> None:
        """Let nothing be asked for by code that is thrown away, or that only answers a query."""
        if self._is_disposed:
            raise asyncio.CancelledError
        if self._is_answering:
            problem = "a query handler must not start anything: answer from what the workflow knows"
            raise WorkflowsException(problem, code=ErrorCode.REJECTED_QUERY_ERROR)
