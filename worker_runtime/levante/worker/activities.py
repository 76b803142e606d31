"""Running activity attempts: slots, timeouts, and how long each activity usually takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from levante.context import ActivityContext, current_activity
from levante.definitions import ActivityDefinition
from levante.dependencies import Scope, dependency_scope
from levante.errors import to_failure
from levante_core.protocol import ActivityWork, Failure, FailureKind, Json, problem_with

MOMENT_SECONDS = 0.2
"""How long something may stay unrecorded while it runs in place."""
SHORT_SECONDS = 1.0
"""Activities that usually take longer go through the activity queue."""
WEIGHT_OF_LAST = 0.2


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be run."""

    execution_id: str
    number: int
    work: ActivityWork


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended: with a JSON result of so many bytes, or with a failure."""

    result: Json = None
    failure: Failure | None = None
    result_bytes: int = 0


class ActivityRunner:
    """Runs attempts, at most `slots` at a time, and remembers their durations."""

    def __init__(self, definitions: Mapping[str, ActivityDefinition], slots: int) -> None:
        self._definitions = definitions
        self._slots = slots
        self._semaphore = asyncio.Semaphore(slots)
        self._load = 0
        self._usual_seconds: dict[str, float] = {}

    def with_dependencies(self) -> AbstractAsyncContextManager[Scope]:
        """Ask the providers of all activities before the block, and tear down what they gave after it.

        Raises: WorkflowsException when one fails.
        """
        return dependency_scope(
            provider for definition in self._definitions.values() for provider in definition.injection.providers.values()
        )

    @property
    def free_slots(self) -> int:
        """How many more attempts could start at once."""
        return max(0, self._slots - self._load)

    def runs_in_place(self, name: str, claimed: int) -> bool:
        """Tell whether an attempt of this activity would most likely be done soon, waiting for a slot included.

        claimed: attempts that the caller is going to run before this one.
        """
        if name not in self._definitions:
            return False
        usual = self._usual_seconds.get(name)
        queued = max(0, self._load + claimed + 1 - self._slots)
        if usual is None:
            return queued == 0
        return usual < SHORT_SECONDS and queued * usual / self._slots < MOMENT_SECONDS

    async def run(self, attempt: Attempt) -> AttemptEnd:
        """Run an attempt once a slot is free. Raises CancelledError only if the caller is cancelled."""
        self._load += 1
        try:
            async with self._semaphore:
                began = time.perf_counter()
                end = await self._run(attempt)
                self.learn(attempt.work.name, time.perf_counter() - began)
                return end
        finally:
            self._load -= 1

    async def _run(self, attempt: Attempt) -> AttemptEnd:
        work = attempt.work
        definition = self._definitions.get(work.name)
        if definition is None:
            return AttemptEnd(failure=_unknown(work.name, self._definitions))
        token = current_activity.set(ActivityContext(attempt.execution_id, work.name, attempt.number))
        deadline = asyncio.timeout(work.options.start_to_close_seconds)
        try:
            async with deadline:
                return _success(work.name, definition.dump_result(await definition.run(work.input)))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise
            return AttemptEnd(failure=to_failure(error))
        except TimeoutError as error:
            return AttemptEnd(failure=_timed_out(work) if deadline.expired() else to_failure(error))
        except Exception as error:  # noqa: BLE001 - whatever user code raises is the outcome of the attempt
            return AttemptEnd(failure=to_failure(error))
        finally:
            current_activity.reset(token)

    def learn(self, name: str, seconds: float) -> None:
        """Take the duration of an attempt into account."""
        usual = self._usual_seconds.get(name, seconds)
        self._usual_seconds[name] = usual + WEIGHT_OF_LAST * (seconds - usual)


def _success(name: str, result: Json) -> AttemptEnd:
    size, problem = problem_with(f"the result of {name}", result)
    if problem:
        return AttemptEnd(failure=Failure(type="PayloadRefused", message=problem, non_retryable=True))
    return AttemptEnd(result=result, result_bytes=size)


def _timed_out(work: ActivityWork) -> Failure:
    seconds = work.options.start_to_close_seconds
    return Failure(
        kind=FailureKind.TIMEOUT, type="StartToCloseTimeout", message=f"{work.name} took longer than {seconds:g} s"
    )


def _unknown(name: str, known: Mapping[str, ActivityDefinition]) -> Failure:
    return Failure(
        type="ActivityNotFound",
        message=f"this worker has no activity {name!r}, only: {', '.join(sorted(known)) or 'none'}. Deploy the code with it",
    )
