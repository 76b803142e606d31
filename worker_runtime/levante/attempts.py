"""What an activity can learn of its attempt, and say of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn

from levante.context import ActivityContext, ActivityInfo, current_activity
from levante.definition.refusals import PayloadRefused
from levante.definition.schemas import own_type
from levante.errors import WorkflowsException
from levante.values.forms import Form
from levante.values.losses import ValueLost
from levante_core.protocol import Json, problem_with


def info() -> ActivityInfo:
    """Return what is known of the running attempt. Raises: WorkflowsException outside activities."""
    return _context("info").info


def heartbeat_details() -> tuple[Json, ...]:
    """Return what the last recorded heartbeat of the attempts before this one said; () if there is none.

    Heartbeats are recorded at once the first time, then every now and then, and when an attempt fails, is cancelled or is
    handed over as its worker stops.
    Raises: WorkflowsException outside activities.
    """
    return _context("heartbeat_details").details


class CompletesLater(BaseException):
    """Ends the code of an attempt that goes on elsewhere; no `except Exception` of a user's stops it on its way."""

    def __init__(self, timeout: timedelta | None) -> None:
        super().__init__("the activity is completed later")
        self.timeout = timeout


def complete_later(timeout: timedelta | None = None) -> NoReturn:
    """End the code of the attempt, but not the attempt: who has `activity.info().task_token` completes it. Never returns.

        @activity(start_to_close_timeout=timedelta(hours=2))
        async def ask_for_signature(document: str) -> str:
            await post_to_signing_service(document, callback=activity.info().task_token)
            activity.complete_later()

    Give the token away before. `POST /v1/workflows/activities/complete` takes it with the result; `/fail` and `/heartbeat`
    are beside it. Until then no worker and no slot is kept busy. timeout: how long that may take from now on, longer than
    an attempt in a worker if need be; what is left of start_to_close_timeout by default. Then the attempt has failed, as it
    has after a heartbeat timeout without heartbeats, and the retry policy says what follows.
    Raises: WorkflowsException outside of activities that a worker runs, and for a timeout that is not positive.
    """
    _context("complete_later")
    if timeout is not None and timeout <= timedelta():
        raise WorkflowsException(f"the timeout of complete_later() has to be positive, not {timeout}", status=422)
    raise CompletesLater(timeout)


def activity_heartbeat(*details: object) -> None:
    """Report that the attempt is still running, optionally with details that the next attempt can read.

    Threads may call it.

    With a `heartbeat_timeout`, an attempt without a heartbeat for that long fails.

    Raises:
        asyncio.CancelledError: When the activity was cancelled, or its attempt is over.
        PayloadRefused: For details that are too large, or not plain JSON, such as tuples and times.
        WorkflowsException: Outside activities.
    """
    context = _context("activity_heartbeat")
    plain = own_type(Any, Form.INTERNAL)
    try:
        said = [plain.write(one, f"details[{index}]") for index, one in enumerate(details)]
    except ValueLost as lost:
        raise PayloadRefused(f"the details of a heartbeat have to be JSON: {lost}") from None
    _, problem = problem_with("the details of a heartbeat", said)
    if problem:
        raise PayloadRefused(problem)
    context.heartbeat(tuple(said))


def _context(wanted: str) -> ActivityContext:
    context = current_activity.get()
    if context is None:
        raise WorkflowsException(f"{wanted}() works only in activities that a worker runs")
    return context
