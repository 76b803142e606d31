"""The code of one attempt under its limits, from its input to its result."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, assert_never

from levante.attempts import CompletesLater
from levante.context import ActivityContext, current_activity
from levante.definition.definitions import ActivityDefinition
from levante.definition.plain_calls import CallOutcome, Raised, Returned
from levante.definition.refusals import PayloadRefused
from levante.encoding.errors import PayloadNotEncodable
from levante.worker.activities import attempt_failures
from levante.worker.activities.attempt import Attempt
from levante.worker.activities.attempt_end import AttemptEnd, Deferred, Failed, Stopped, Succeeded
from levante.worker.activities.heartbeats import HeartbeatMonitor
from levante.worker.activities.threads import DaemonThreads, ThreadCall
from levante.worker.payloads import Payloads
from levante.worker.process.stopping import Block, EndOfAll
from levante_core.protocol import Failure, Json

PREPARATION_SECONDS = 300.0
"""How long an attempt waits for its input and its providers before it begins, and for its result to be stored after it."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What attempts share. stop: when all of them have to end because the worker does."""

    payloads: Payloads
    threads: DaemonThreads
    stop: EndOfAll


class AttemptRun:
    """Runs the code of one attempt, once. thread: where a plain function was called, which may outlast the attempt."""

    def __init__(
        self,
        attempt: Attempt,
        definition: ActivityDefinition,
        context: ActivityContext,
        monitor: HeartbeatMonitor,
        surroundings: Surroundings,
    ) -> None:
        self.thread: ThreadCall | None = None
        self._attempt = attempt
        self._definition = definition
        self._context = context
        self._monitor = monitor
        self._surroundings = surroundings
        self._loop = asyncio.get_running_loop()
        self._preparing = asyncio.timeout(PREPARATION_SECONDS)
        self._deadline = asyncio.timeout(None)

    async def end(self) -> AttemptEnd:
        """Run it, and say how it ended. Raises: CancelledError if the caller is cancelled, and nothing else."""
        token, stop = current_activity.set(self._context), self._surroundings.stop.block()
        try:
            async with stop:
                outcome = await self._outcome()
            if stop.was_ended and isinstance(outcome, Raised) and not isinstance(outcome.error, CompletesLater):
                return Stopped()
            return await self._end_of(outcome)
        except TimeoutError as error:
            return self._limit_passed(stop) or attempt_failures.raised(error)
        except Exception as error:  # noqa: BLE001 - such as an input that does not fit, or a provider that failed
            return attempt_failures.raised(error)
        finally:
            self._monitor.end()
            current_activity.reset(token)

    async def _outcome(self) -> CallOutcome:
        """Call the function under its limits, which count from the moment that it begins."""
        async with self._prepared() as function, self._deadline, self._monitor.heartbeat_deadline:
            if self._definition.is_async:
                self._begin()
                return await _outcome_of_async(function)
            self.thread = ThreadCall(self._surroundings.threads, function, self._begin)
            return await self.thread.outcome()

    @asynccontextmanager
    async def _prepared(self) -> AsyncIterator[Callable[[], Any]]:
        attempt = self._attempt
        async with self._preparing:
            value = await self._surroundings.payloads.restored(attempt.work.input, attempt.execution_id)
            prepared = self._definition.prepared(value)
            function = await prepared.__aenter__()
        try:
            yield function
        finally:
            await prepared.__aexit__(None, None, None)

    def _begin(self) -> None:
        with suppress(RuntimeError):  # a thread began just as the attempt was given up
            self._deadline.reschedule(self._loop.time() + self._attempt.work.options.start_to_close_seconds)
            self._monitor.begin()

    def _limit_passed(self, stop: Block) -> AttemptEnd | None:
        """Say which limit ended the attempt, if one did."""
        work = self._attempt.work
        if stop.was_ended:
            return Stopped()
        if self._preparing.expired():
            return attempt_failures.unprepared(work, PREPARATION_SECONDS)
        if self._deadline.expired():
            return attempt_failures.overdue(work)
        if not self._monitor.is_wanted:
            return attempt_failures.unwanted(work)
        return attempt_failures.silent(work) if self._monitor.heartbeat_deadline.expired() else None

    async def _end_of(self, outcome: CallOutcome) -> AttemptEnd:
        match outcome:
            case Returned(value):
                return await self._result(value)
            case Raised(CompletesLater() as later):
                return self._deferral(later)
            case Raised(asyncio.CancelledError() as error):
                if not self._monitor.is_wanted:
                    return attempt_failures.unwanted(self._attempt.work)
                return attempt_failures.cancelled_itself(self._attempt.work, error)
            case Raised(error):
                return attempt_failures.raised(error)
            case _:
                assert_never(outcome)

    async def _result(self, value: Any) -> AttemptEnd:
        """Encode what the function returned. What cannot be is final: the function has done already what it does."""
        what = f"the result of {self._attempt.work.name}"
        try:
            result = self._definition.dump_result(value)
        except PayloadRefused as error:
            return attempt_failures.raised(error)
        except Exception as error:  # noqa: BLE001 - whatever a serializer of the user's raises
            return attempt_failures.no_json(error)
        async with asyncio.timeout(PREPARATION_SECONDS):
            return await self._encoded(what, result)

    async def _encoded(self, what: str, result: Json) -> AttemptEnd:
        payloads, execution_id = self._surroundings.payloads, self._attempt.execution_id
        size, problem = payloads.check(what, result)
        if problem:
            return attempt_failures.too_much(problem)
        try:
            plain = await payloads.offloaded(result, execution_id)
            sent = await payloads.encoded(plain, execution_id, what)
        except PayloadNotEncodable as error:
            return attempt_failures.too_much(str(error))
        return Succeeded(plain, sent, size)

    def _deferral(self, later: CompletesLater) -> AttemptEnd:
        work = self._attempt.work
        if work.options.is_local:
            message = (
                f"{work.name} runs locally, where activity.complete_later() does not work: call it outside of the block"
            )
            return Failed(Failure(type="CannotCompleteLater", message=message, non_retryable=True))
        if later.timeout is not None:
            return Deferred(later.timeout.total_seconds())
        at = self._deadline.when()
        left = work.options.start_to_close_seconds if at is None else at - self._loop.time()
        return Deferred(max(left, 0.001))


async def _outcome_of_async(function: Callable[[], Any]) -> CallOutcome:
    """Await an async function; whatever it raises is its outcome, but for a cancellation that somebody asked for.

    Raises: CancelledError if the task is being cancelled; GeneratorExit if it is being destroyed.
    """
    task = asyncio.current_task()
    try:
        return Returned(await function())
    except asyncio.CancelledError as error:
        if task is None or task.cancelling():
            raise
        return Raised(error)
    except GeneratorExit as error:
        if _is_destroyed(task):
            raise
        return Raised(error)
    except BaseException as error:  # noqa: BLE001 - KeyboardInterrupt and SystemExit too: they end the attempt, not the worker
        return Raised(error)


def _is_destroyed(task: asyncio.Task[Any] | None) -> bool:
    """Tell whether a coroutine is being closed from outside, where no task of its own runs it."""
    try:
        return asyncio.current_task() is not task
    except RuntimeError:  # no loop runs any more
        return True
