"""One run's workflow code, driven by its recorded inputs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, assert_never
from uuid import UUID

from levante.context import ChildWorkflow, current_workflow
from levante.definition.search_keys import after_change, extraction
from levante.determinism.guard import guard_for
from levante.determinism.silence import silenced
from levante.diagnostics.calls import NotAwaited, OpenCalls, open_calls
from levante.diagnostics.deadlines import DeadlineWarnings
from levante.errors import ErrorCode, WorkflowError, WorkflowsException, fails_execution, text_of, to_failure
from levante.replay.activities import Activities
from levante.replay.changes import Patches
from levante.replay.children import Children, StartedChild
from levante.replay.conditions import Conditions
from levante.replay.endings import WorkflowCodeFailed, completion
from levante.replay.event_loop.isolation import Isolation
from levante.replay.event_loop.loop import MOST_ROUNDS, DeterministicLoop
from levante.replay.messages import ContinueAsNew, Messages
from levante.replay.rules import RUN_RULES, RunRules
from levante.replay.timers import Timers
from levante_core.protocol import (
    MOST_EVENTS,
    ActivityCompleted,
    ActivityFailed,
    ActivityOptions,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildStarted,
    Command,
    ExecutionCanceled,
    ExecutionContinuedAsNew,
    ExecutionFailed,
    Failure,
    Json,
    Outcome,
    PatchRecorded,
    RunId,
    RunMessage,
    RunStart,
    SearchKeysChanged,
    SignalReceived,
    TaskEvent,
    TaskPublished,
    TimerFired,
    UpdateCompleted,
    UpdateFailed,
    UpdateRequested,
    execution_id,
)

if TYPE_CHECKING:
    from levante.definition.definitions import WorkflowDefinition

T = TypeVar("T")

logger = logging.getLogger("levante.workflow")

LONG_HISTORY = MOST_EVENTS // 5
"""Events after which a workflow is advised to continue as new."""


class WorkflowRun:
    """The live code of one run; it implements WorkflowContext. `begin` and `apply` return the commands that follow.

    After WorkflowCodeFailed, and after its end, a run is of no more use but to be disposed of.
    has_large_history: see HistoryGrewLarge. unfinished_handlers: names of those that had not returned when the run ended.
    """

    def __init__(
        self, definition: WorkflowDefinition, execution_id: str, run_id: str, start: RunStart, rules: RunRules = RUN_RULES
    ) -> None:
        self.execution_id = execution_id
        self.run_id = run_id
        self.random = Random(start.reset.seed if start.reset else run_id)  # noqa: S311 - reproducible on purpose
        self.unfinished_handlers: tuple[str, ...] = ()
        self._definition = definition
        self._start = start
        self._now = start.started_at
        self._timers = Timers(self._ask)
        self._loop = DeterministicLoop(  # type: ignore[abstract]  # what it does not offer raises NotImplementedError
            start.started_at.timestamp(), self._timer_started, self._timers.cancel, self._task_done
        )
        self._last_seq = 0
        self._commands: list[Command] = []
        self._activities = Activities(self._loop, self._ask)
        self._children = Children(self._loop, self._ask, self._check_payload)
        self._conditions = Conditions(self._loop)
        self._context = copy_context()
        self._calls = OpenCalls(self._refuse_in_query, self._forgotten)
        self._context.run(current_workflow.set, self)
        self._context.run(open_calls.set, self._calls)
        self._instance: object = None
        self._messages = Messages(definition, execution_id, self._spawn, self._answer, rules.check)
        self._guard = guard_for(
            definition, execution_id, lambda: self._last_seq + self._messages.begun, is_enforced=rules.enforces_determinism
        )
        package = definition.cls.__module__.partition(".")[0]
        self._deadlines = DeadlineWarnings(definition.name, execution_id, start, package)
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
        """Whether the entrypoint has ended, or something has ended the run in its place."""
        return self._messages.failure is not None or (self._main is not None and self._main.done())

    # --- driven by the worker -----------------------------------------------------------------------------------------

    def begin(self, messages: Sequence[RunMessage] = ()) -> list[Command]:
        """Run the code from its start until it waits; messages that came before are handed over first.

        Raises: WorkflowCodeFailed.
        """
        self._instance = self._driven(partial(self._context.run, self._definition.cls))
        if self._definition.search_keys:
            try:
                self.change_search_keys(extraction(self._definition.search_keys, self._start.input))
            except WorkflowsException as error:
                raise WorkflowCodeFailed(text_of(error)) from error
        for message in messages:
            self._hand_over(message)
        self._main = self._spawn(self._definition.run(self._instance, self._start.input))
        if self._is_cancel_requested:
            self._loop.call_soon(self._main.cancel)  # once it has begun, so that it can clean up
        return self._advance()

    def receive(self, messages: Sequence[RunMessage]) -> list[Command]:
        """Hand over what the run was sent, all of it, then run the code until it waits. Raises: WorkflowCodeFailed."""
        for message in messages:
            self._hand_over(message)
        return self._advance()

    def apply(self, outcome: Outcome) -> list[Command]:
        """Tell the code how something that it asked for ended, and run it until it waits. Raises: WorkflowCodeFailed."""
        self._move_to(outcome.at)
        match outcome:
            case ActivityCompleted() | ActivityFailed():
                self._activities.apply(outcome)
            case TimerFired():
                self._loop.fire(self._timers.fired(outcome.seq))
            case ChildStarted() | ChildCompleted() | ChildFailed():
                self._children.apply(outcome)
            case _:
                assert_never(outcome)
        return self._advance()

    def query(self, name: str, value: Json) -> Json:
        """Return what a query handler says of the run as it stands. Raises: whatever the handler raises."""
        self._is_answering = True
        state = self.random.getstate()
        try:
            return self._watched(partial(self._context.copy().run, self._messages.query, self._instance, name, value))
        finally:
            self.random.setstate(state)  # what a query draws, no replay draws
            self._is_answering = False

    def dispose(self) -> None:
        """Throw the live code away; nothing that it still does or says reaches the outside."""
        self._is_disposed = True
        if self._loop.has_ended:
            self._loop.is_thrown_away = True
            return
        with silenced(), Isolation():
            throw_away = partial(self._loop.throw_away, self._guard.begin_turn)
            problem = self._guard.dispose(partial(self._loop.run, throw_away), self._loop)
        if problem:
            logger.error(problem)

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

    def all_handlers_finished(self) -> bool:
        return not self._messages.others_at_work()

    def start_activity(
        self, name: str, input: Any, options: ActivityOptions, *, waits_for_end: bool = False
    ) -> asyncio.Future[Any]:
        self._refuse_in_query()
        if self._is_past:
            return self._loop.create_future()
        self._check_payload(f"the input of {name}", input)
        self._deadlines.limit(f"activity {name!r}", options.start_to_close_seconds, is_replaying=self.is_replaying)
        return self._activities.start(name, input, options, waits_for_end=waits_for_end)

    def continue_as_new(self, input: object) -> NoReturn:
        self._refuse_in_query()
        sent = self._definition.entrypoint.input.sent(input)
        self._check_payload("the input of the next run", sent)
        raise ContinueAsNew(sent)

    def patched(self, patch_id: str) -> bool:
        return self.patches.is_taken(patch_id)

    def deprecate_patch(self, patch_id: str) -> None:
        self.patches.deprecate(patch_id)

    def change_search_keys(self, change: SearchKeysChanged) -> None:
        self._refuse_in_query()
        before, self.search_keys = self.search_keys, after_change(self.search_keys, change)
        if self.search_keys != before and not self.patches.is_replaying:
            self._commands.append(change)

    def publish(self, event: TaskEvent) -> None:
        self._refuse_in_query()
        self._ask(lambda seq: TaskPublished(seq=seq, event=event))

    def start_child(self, child: ChildWorkflow) -> StartedChild:
        self._refuse_in_query()
        self._check_payload(f"the input of child workflow {child.workflow_name}", child.input)
        limit = child.timeout_seconds or child.declared_seconds
        self._deadlines.limit(f"child {child.workflow_name!r}", limit, is_replaying=self.is_replaying)
        chosen = execution_id(child.execution_id or self.uuid4().hex)
        return self._children.start(child, chosen)

    async def wait_condition(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        await self._conditions.wait(predicate, timeout_seconds)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _driven(self, work: Callable[[], T]) -> T:
        """Run code of the run. Raises: WorkflowCodeFailed for whatever leaves it."""
        try:
            return self._watched(work)
        except BaseException as error:  # SystemExit too: an execution must not end its worker, and then the next one
            raise WorkflowCodeFailed(text_of(error)) from error

    def _watched(self, work: Callable[[], T]) -> T:
        with Isolation():
            return self._guard.run(self._loop.run, work)

    def _advance(self) -> list[Command]:
        failure = self._driven(self._run_until_settled)
        if self.is_over:
            self.unfinished_handlers = self._messages.left_unfinished(is_logged=not self.is_replaying)
        if failure:
            self._end_with(failure)
        elif self._main and self._main.done():
            self._end(self._main)
        commands, self._commands = self._commands, []
        return commands

    def _run_until_settled(self) -> BaseException | None:
        """Run the code until it waits. Returns what ended the run, if it was not its entrypoint."""
        self._run_until_idle()
        for _ in self._conditions.look():
            self._run_until_idle()
            if self.is_over:
                break
        failure = self._messages.failure
        if self.is_over:  # what was asked for in the last turn counts, such as a child's cancellation
            self._loop.run_rounds(MOST_ROUNDS if failure is None else 1, self._guard.begin_turn)
        return failure

    def _run_until_idle(self) -> None:
        self._loop.run_until_idle(lambda: self.is_over, self._guard.begin_turn)

    def _move_to(self, at: datetime) -> None:
        self._now = max(self._now, at)
        self._loop.advance_to(self._now.timestamp())
        self._events_seen += 1

    def _hand_over(self, message: RunMessage) -> None:
        self._move_to(message.at)
        match message:
            case SignalReceived():
                self._messages.signal(self._instance, message)
            case UpdateRequested():
                self._messages.update(self._instance, message)
            case CancelRequested():
                self._is_cancel_requested = True
                if self._main:
                    self._main.cancel()
            case _:
                assert_never(message)

    def _ask(self, make: Callable[[int], Command]) -> int:
        """Record a command unless the code is thrown away. Returns its seq."""
        seq = self._next_seq()
        if not self._is_disposed:
            self._commands.append(make(seq))
        return seq

    def _record(self, patch: PatchRecorded) -> None:
        self._refuse_in_query()
        self._commands.append(patch)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self._loop.create_task(work, context=self._context.copy())

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        """Continue as new also where a task says so that is not the entrypoint, or is in a group."""
        error = None if task.cancelled() else task._exception  # noqa: SLF001 - as `exception()` marks it as seen
        if isinstance(error, ContinueAsNew):
            self._messages.fail(error)

    def _forgotten(self, problem: NotAwaited, is_bug: bool) -> None:  # noqa: FBT001
        """Stop a run that has forgotten an `await`, or log it. One that was recorded with it goes on as it did."""
        if not self._is_disposed and not self.is_replaying:
            self._messages.fail(problem) if is_bug else logger.warning("execution %s: %s", self.execution_id, problem)

    def _answer(self, number: int, result: Json, failure: Failure | None) -> None:
        if self._is_disposed:
            return
        seq = self._next_seq()
        if failure is None:
            self._commands.append(UpdateCompleted(seq=seq, update=number, result=result))
        else:
            self._commands.append(UpdateFailed(seq=seq, update=number, failure=failure))

    @property
    def _is_past(self) -> bool:
        """Whether nothing that takes time can be asked for any more: the run is over, or thrown away."""
        return self._is_disposed or self.is_over

    def _end(self, main: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if main.cancelled() else main.exception()
        if error is None and not self._loop.is_at_work:
            error = self._calls.at_the_end(main.result())
        if error is None:
            dump = partial(self._guard.run, self._definition.dump_result, main.result())
            self._commands.append(completion(self._next_seq(), dump, self._check))
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
            raise WorkflowCodeFailed(text_of(error)) from error
        self._commands.append(ExecutionFailed(seq=self._next_seq(), failure=to_failure(error)))

    def _check_payload(self, what: str, payload: Json) -> None:
        """Refuse what is too large in the line that asks for it. Raises: WorkflowError."""
        _, problem = self._check(what, payload)
        if problem:
            raise WorkflowError(problem, non_retryable=True)

    def _next_seq(self) -> int:
        self._last_seq += 1
        return self._last_seq

    def _timer_started(self, handle: asyncio.TimerHandle) -> None:
        self._refuse_in_query()
        if not self._is_past:
            self._deadlines.timer(self._now, handle.when() - self._loop.time(), is_replaying=self.is_replaying)
            self._timers.start(handle)

    def _refuse_in_query(self) -> None:
        """Let nothing be asked for by code that only answers a query. Raises: WorkflowsException."""
        if self._is_answering:
            problem = "a query handler must not start anything: answer from what the workflow knows"
            raise WorkflowsException(problem, code=ErrorCode.REJECTED_QUERY_ERROR)
