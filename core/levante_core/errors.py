"""Every error of the service, classed by what must happen next.

Only adapters see the errors of a vendor's client; they raise these instead. `HTTP_ANSWERS` is the one place
that says how a class is answered over HTTP; what is not in it is answered as an internal error.
Codes: docs/reference/errors.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class LevanteError(Exception):
    """Base of all errors that the service raises on purpose."""


class InvalidInput(LevanteError):
    """The caller must change the input. `problems`: one dict each with `loc`, `msg` and `type`."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        self.problems = problems
        super().__init__("; ".join(str(problem["msg"]) for problem in problems))

    @classmethod
    def at(cls, loc: tuple[str | int, ...], msg: str, kind: str = "value_error") -> "InvalidInput":
        """Build the error for a single problem at one place of the request."""
        return cls([{"loc": list(loc), "msg": msg, "type": kind}])


class NotStorable(InvalidInput):
    """What would be written is larger than an item or a key may be, or holds what no store keeps; nothing was written."""

    def __init__(self, problem: str) -> None:
        super().__init__([{"loc": ["body"], "msg": problem, "type": "not_storable"}])


class InvalidSchedule(InvalidInput):
    """The schedule would not work as it is."""


class InvalidResetPoint(InvalidInput):
    """An execution cannot go on from this event. valid_reset_events: ids of those that it can go on from."""

    def __init__(self, event_id: int, valid_reset_events: list[int]) -> None:
        self.valid_reset_events = valid_reset_events
        shown = ", ".join(map(str, valid_reset_events[-20:]))
        message = f"an execution cannot go on from event {event_id}: take the last event of a step, such as {shown}"
        super().__init__([{"loc": ["body", "event_id"], "msg": message, "type": "value_error"}])


class InvalidCapability(InvalidInput):
    """A token that this installation did not give for this, or not any more."""

    def __init__(self) -> None:
        message = "this token is not good here: use the whole of what was given for this, and ask anew if it is old"
        super().__init__([{"loc": ["body", "token"], "msg": message, "type": "invalid_token"}])


class Unauthenticated(LevanteError):
    """No key, an unknown key or a revoked key."""


class Forbidden(LevanteError):
    """The key is good, but its role, or what it is bound to, does not allow this call."""


class NotFound(LevanteError):
    """Nothing has this id in the caller's workspace."""


class ScheduleNotFound(NotFound):
    """No schedule has this id in the caller's workspace."""


class ScheduleExists(LevanteError):
    """A schedule has this id."""


class BatchJobExists(LevanteError):
    """A batch job with another filter, action, input or reason has this id."""


class AlreadyRunning(LevanteError):
    """An open execution has this id."""


class NotRunning(LevanteError):
    """The execution is closed, so it takes no more requests."""

    def __init__(self, message: str, status: str) -> None:
        self.status = status
        super().__init__(message)


class NotApplicable(LevanteError):
    """A repair by hand cannot be done as things stand; the message says what can be."""


class HandlerFailed(LevanteError):
    """A query or an update reached its handler, which raised. `failure`: what it raised, as JSON."""

    def __init__(self, message: str, failure: Mapping[str, Any]) -> None:
        self.failure = failure
        super().__init__(message)


class AmbiguousWorkflow(LevanteError):
    """Several active deployments own the workflow; the caller must name one."""

    def __init__(self, message: str, deployments: list[str]) -> None:
        self.deployments = deployments
        super().__init__(message)


class ResultNotReady(LevanteError):
    """The execution did not close within the time that the caller wanted to wait. It goes on."""


class Unavailable(LevanteError):
    """A service behind us is throttling or down. The same call may be repeated."""


class TooManyStreams(LevanteError):
    """The caller has as many streams open as it may: it closes some, or comes again later."""


class InconsistentHistory(LevanteError):
    """What is recorded breaks an invariant. Never repaired silently."""


class Unreadable(InconsistentHistory):
    """Something that is stored cannot be read by this version. It stays as it is; the message says what, and what to do."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """How one class of error is answered: status, code, and whether the same call may be repeated."""

    status: int
    code: str
    retryable: bool = False


HTTP_ANSWERS: Mapping[type[LevanteError], HttpAnswer] = {
    LevanteError: HttpAnswer(500, "WF_1000"),
    InvalidInput: HttpAnswer(422, "WF_1001"),
    NotStorable: HttpAnswer(422, "NOT_STORABLE"),
    InvalidSchedule: HttpAnswer(422, "WF_1200"),
    ScheduleNotFound: HttpAnswer(404, "WF_1201"),
    ScheduleExists: HttpAnswer(409, "WF_1200"),
    BatchJobExists: HttpAnswer(409, "BATCH_EXISTS"),
    Unauthenticated: HttpAnswer(401, "UNAUTHENTICATED"),
    Forbidden: HttpAnswer(403, "FORBIDDEN"),
    NotFound: HttpAnswer(404, "WF_1100"),
    AlreadyRunning: HttpAnswer(409, "WF_1101"),
    NotRunning: HttpAnswer(409, "WF_1102"),
    NotApplicable: HttpAnswer(409, "NOT_APPLICABLE"),
    HandlerFailed: HttpAnswer(409, "HANDLER_FAILED"),
    AmbiguousWorkflow: HttpAnswer(409, "AMBIGUOUS_WORKFLOW"),
    ResultNotReady: HttpAnswer(504, "WF_1103", retryable=True),
    Unavailable: HttpAnswer(503, "UNAVAILABLE", retryable=True),
    TooManyStreams: HttpAnswer(429, "TOO_MANY_STREAMS", retryable=True),
    InconsistentHistory: HttpAnswer(500, "WF_1105"),
    Unreadable: HttpAnswer(500, "WF_1105"),
}


def loggable(error: BaseException) -> str:
    """Return what may be logged of an error, whose message may quote what a user sent.

    Our own messages and the operating system's are quoted, but for those that repeat an input or what user code raised.
    """
    name = type(error).__qualname__
    if isinstance(error, InvalidInput):
        places = ", ".join(f"{'.'.join(map(str, one['loc']))} ({one['type']})" for one in error.problems)
        return f"{name}: {places}"
    is_ours = isinstance(error, LevanteError | OSError) and not isinstance(error, HandlerFailed)
    return f"{name}: {error}" if is_ours else name
