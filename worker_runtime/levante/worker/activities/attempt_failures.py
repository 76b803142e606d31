"""How the record of an attempt says why it failed, where that is not what the function raised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from levante.definition.refusals import IT_RAN
from levante.errors import text_of, to_failure
from levante.worker.activities.attempt_end import Failed
from levante_core.protocol import ActivityWork, Failure, FailureKind


def unknown(name: str, known: Iterable[str]) -> Failed:
    """The worker does not have the activity."""
    message = f"this worker has no activity {name!r}, only: {', '.join(sorted(known)) or 'none'}. Deploy the code with it"
    return Failed(Failure(type="ActivityNotFound", message=message))


def raised(error: BaseException) -> Failed:
    """The function raised an exception."""
    return Failed(to_failure(error))


def overdue(work: ActivityWork) -> Failed:
    """The function took too long."""
    message = f"{work.name} took longer than {work.options.start_to_close_seconds:g} s"
    return Failed(Failure(kind=FailureKind.TIMEOUT, type="StartToCloseTimeout", message=message))


def silent(work: ActivityWork) -> Failed:
    """The function sent no heartbeat for too long."""
    message = f"{work.name} sent no heartbeat for {work.options.heartbeat_seconds:g} s"
    return Failed(Failure(kind=FailureKind.TIMEOUT, type="HeartbeatTimeout", message=message))


def unwanted(work: ActivityWork) -> Failed:
    """Nobody waits for it any more."""
    message = f"nobody waits for {work.name} any more"
    return Failed(Failure(kind=FailureKind.CANCELED, type="ActivityCanceled", message=message))


def unprepared(work: ActivityWork, seconds: float) -> Failed:
    """The function could not begin."""
    message = f"{work.name} did not begin: its input or what its providers give was not there after {seconds:g} s"
    return Failed(Failure(kind=FailureKind.TIMEOUT, type="PreparationTimeout", message=message))


def cancelled_itself(work: ActivityWork, error: asyncio.CancelledError) -> Failed:
    """Code of the function raised CancelledError, though nobody had asked it to end: that is an error as any other."""
    said = text_of(error)
    message = f"{work.name} raised CancelledError of its own, though nobody cancelled it: something it awaited was cancelled"
    failure = to_failure(error).model_copy(update={"kind": FailureKind.APPLICATION})
    return Failed(failure.model_copy(update={"message": f"{message} ({said})" if said else message}))


def too_much(problem: str) -> Failed:
    """The result cannot be recorded, so another attempt would only repeat what the function has done."""
    return Failed(Failure(type="PayloadRefused", message=f"{problem}. {IT_RAN}", non_retryable=True))


def no_json(error: BaseException) -> Failed:
    """The same, of a result that JSON cannot carry or that does not fit its annotation: `error` says which."""
    failure = to_failure(error)
    return Failed(failure.model_copy(update={"message": f"{failure.message}. {IT_RAN}", "non_retryable": True}))
