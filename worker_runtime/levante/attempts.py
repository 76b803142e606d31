"""What an activity can learn of its attempt, and say of it."""

from __future__ import annotations

from pydantic_core import from_json, to_json

from levante.context import ActivityContext, ActivityInfo, current_activity
from levante.errors import ErrorCode, WorkflowsException
from levante_core.protocol import Json, problem_with


def info() -> ActivityInfo:
    """Return what is known of the running attempt. Raises: WorkflowsException outside activities."""
    return _context("info").info


def heartbeat_details() -> tuple[Json, ...]:
    """Return what the last recorded heartbeat of the attempts before this one said; () if there is none.

    Heartbeats are recorded at once the first time, then every now and then, and when an attempt fails.
    Raises: WorkflowsException outside activities.
    """
    return _context("heartbeat_details").details


def activity_heartbeat(*details: object) -> None:
    """Say that the attempt is at work, and, if it helps the next one, how far it has come. May be called in threads.

    With a `heartbeat_timeout`, an attempt that says nothing for so long has failed.
    Raises: asyncio.CancelledError when nobody waits for the activity any more; WorkflowsException for details that are no
    JSON or too large, and outside activities.
    """
    context = _context("activity_heartbeat")
    try:
        said = [from_json(to_json(one, inf_nan_mode="null")) for one in details]
    except ValueError as error:
        raise _refused(f"the details of a heartbeat have to be JSON: {error}") from None
    _, problem = problem_with("the details of a heartbeat", said)
    if problem:
        raise _refused(problem)
    context.heartbeat(tuple(said))


def _refused(problem: str) -> WorkflowsException:
    return WorkflowsException(problem, code=ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR)


def _context(wanted: str) -> ActivityContext:
    context = current_activity.get()
    if context is None:
        raise WorkflowsException(f"{wanted}() works only in activities that a worker runs")
    return context
