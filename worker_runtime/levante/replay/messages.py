"""Signals, updates and queries of one run, handed to the methods that take them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from levante.definition.handlers import UnfinishedPolicy
from levante.errors import ErrorCode, InvalidArguments, WorkflowsException, fails_execution, to_failure
from levante.replay.rules import PayloadCheck
from levante_core.protocol import Failure, Json, SignalReceived, UpdateRequested, did_you_mean

if TYPE_CHECKING:
    from levante.definition.definitions import WorkflowDefinition
    from levante.definition.handlers import HandlerDefinition

logger = logging.getLogger("levante.workflow")

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[Any]]
Answer = Callable[[int, Json, Failure | None], None]


class ContinueAsNew(BaseException):
    """Ends the code of a run; no `except Exception` of a user's stops it on its way."""

    def __init__(self, input: Json) -> None:  # noqa: A002 - the word for it
        super().__init__("the workflow continues as new")
        self.input = input


class Messages:
    """Hands messages to an instance of the workflow class.

    spawn: runs a coroutine on the run's loop. answer: takes the number of an update, and its result or failure.
    begun: how many handlers have begun to run. failure: what a handler, or another task, raised that concerns the run as a
    whole: a bug, or that it is to continue as new.
    """

    def __init__(
        self, definition: WorkflowDefinition, execution_id: str, spawn: Spawn, answer: Answer, check: PayloadCheck
    ) -> None:
        self.begun = 0
        self.failure: BaseException | None = None
        self._definition = definition
        self._execution_id = execution_id
        self._spawn = spawn
        self._answer = answer
        self._check = check
        self._running: dict[asyncio.Task[Any], HandlerDefinition] = {}

    def left_unfinished(self, *, is_logged: bool) -> tuple[str, ...]:
        """Return the names of handlers that have not returned when the run ends, but for those that may be left so.

        is_logged: whether to log them.
        """
        warns = UnfinishedPolicy.WARN
        left = [one.name for task, one in self._running.items() if not task.done() and one.unfinished_policy is warns]
        if left and is_logged:
            logger.warning(
                "execution %s of workflow %s: the run ends while these handlers have not returned: %s. Wait for "
                "workflow.all_handlers_finished(), or give them unfinished_policy='abandon'",
                self._execution_id,
                self._definition.name,
                ", ".join(left),
            )
        return tuple(left)

    def others_at_work(self) -> bool:
        """Tell whether a handler has not returned that is not the one which asks."""
        asking = asyncio.current_task() if asyncio._get_running_loop() else None  # noqa: SLF001 - None outside of all loops
        return any(not task.done() and task is not asking for task in self._running)

    def fail(self, error: BaseException) -> None:
        """Note what ends the run, or stops it; the first such error counts."""
        self.failure = self.failure or error

    def signal(self, instance: object, signal: SignalReceived) -> None:
        """Hand a signal over. One that no method takes, or none can, is dropped: nobody could be told."""
        handler = self._definition.signals.get(signal.name)
        if handler is None:
            near = did_you_mean(signal.name, self._definition.signals)
            logger.warning("workflow %r has no signal %r: it is dropped%s", self._definition.name, signal.name, near)
        else:
            self._start(handler, self._run_signal(instance, handler, signal))

    def update(self, instance: object, update: UpdateRequested) -> None:
        """Hand an update over; its answer follows."""
        handler = self._definition.updates.get(update.name)
        if handler is None:
            self._answer(update.number, None, to_failure(self._unknown("update", update.name)))
        else:
            self._start(handler, self._run_update(instance, handler, update))

    def query(self, instance: object, name: str, value: Json) -> Json:
        """Return what a query handler says. Raises: whatever the handler raises; WorkflowsException; InvalidArguments."""
        handler = self._definition.queries.get(name)
        if handler is None:
            raise self._unknown("query", name)
        return handler.dump_result(handler.call(instance, value))

    def _start(self, handler: HandlerDefinition, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work)
        self._running[task] = handler
        task.add_done_callback(lambda done: self._running.pop(done, None))

    async def _run_signal(self, instance: object, handler: HandlerDefinition, signal: SignalReceived) -> None:
        self.begun += 1
        try:
            called = handler.call(instance, signal.input)
            if handler.is_async:
                await called
        except InvalidArguments as error:
            logger.warning("signal %r is dropped, because its input does not fit: %s", signal.name, error)
        except asyncio.CancelledError:
            logger.warning("signal %r: what its handler waited for was cancelled, which ended the handler", signal.name)
        except BaseException as error:  # noqa: BLE001 - what a handler raises is raised by the workflow
            self.fail(error)

    async def _run_update(self, instance: object, handler: HandlerDefinition, update: UpdateRequested) -> None:
        self.begun += 1
        try:
            result = handler.call(instance, update.input)
            value = handler.dump_result(await result if handler.is_async else result)
        except asyncio.CancelledError as error:
            logger.warning("update %r: what its handler waited for was cancelled, which ended the handler", update.name)
            said = "what the handler of the update waited for was cancelled, which ended the handler"
            self._answer(update.number, None, to_failure(error).model_copy(update={"message": said}))
        except BaseException as error:  # noqa: BLE001 - errors on purpose go to the caller, the rest is the run's
            if fails_execution(error) or isinstance(error, InvalidArguments):
                self._answer(update.number, None, to_failure(error))
            else:
                self.fail(error)
        else:
            _, problem = self._check(f"the result of update {update.name!r}", value)
            refused = Failure(type="PayloadRefused", message=problem, non_retryable=True) if problem else None
            self._answer(update.number, None if problem else value, refused)

    def _unknown(self, kind: str, name: str) -> WorkflowsException:
        known = self._definition.queries if kind == "query" else self._definition.updates
        problem = f"workflow {self._definition.name!r} has no {kind} {name!r}; it has: {', '.join(known) or 'none'}"
        problem += did_you_mean(name, known)
        return WorkflowsException(problem, status=404, code=ErrorCode.WORKFLOW_QUERY_ERROR)
