"""How errors are answered over HTTP, by every program: status, headers and body."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from levante_core.domain.frozen import Json
from levante_core.errors import (
    HTTP_ANSWERS,
    AmbiguousWorkflow,
    HandlerFailed,
    HttpAnswer,
    InconsistentHistory,
    InvalidInput,
    InvalidResetPoint,
    LevanteError,
    NotRunning,
    ResultNotReady,
    TooManyStreams,
    Unauthenticated,
    Unavailable,
    Unreadable,
)

GENERIC = "An error occurred"
"""All that callers hear of errors that are not theirs. Source: REST contract, section 1.4 (read 2026-11-23)."""

_EXTRA_FIELDS: Mapping[type[LevanteError], str] = {
    NotRunning: "status",
    HandlerFailed: "failure",
    AmbiguousWorkflow: "deployments",
}
_HEADERS: Mapping[type[LevanteError], Mapping[str, str]] = {
    TooManyStreams: {"Retry-After": "5"},
    Unauthenticated: {"WWW-Authenticate": "Bearer"},
    Unavailable: {"Retry-After": "1"},
}
_SPOKEN: Mapping[type[LevanteError], str | None] = {
    Unavailable: "a service behind this one is busy or down: try again",
    ResultNotReady: None,
    InconsistentHistory: None,
    Unreadable: None,
}
"""Errors of the 500s that are explained; None: in their own words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer other than success."""

    status: int
    body: Mapping[str, Json]
    headers: Mapping[str, str] = field(default_factory=dict)


def answer_to(error: Exception, /, **more: Json) -> Answer:
    """Tell how an error is answered; what is not known is an internal error. more: further fields of the body."""
    if not isinstance(error, LevanteError):
        return Answer(500, {"detail": GENERIC, "code": HTTP_ANSWERS[LevanteError].code, **more})
    known, entry = next((one, HTTP_ANSWERS[one]) for one in type(error).__mro__ if one in HTTP_ANSWERS)
    if isinstance(error, InvalidInput):
        valid = {"valid_reset_events": error.valid_reset_events} if isinstance(error, InvalidResetPoint) else {}
        return Answer(entry.status, {"detail": error.problems, "code": entry.code, **valid, **more})
    body: dict[str, Json] = {"detail": _detail(error, known, entry), "code": entry.code}
    extra = _EXTRA_FIELDS.get(known)
    if extra is not None:
        body[extra] = getattr(error, extra)
    return Answer(entry.status, {**body, **more}, _HEADERS.get(known, {}))


def _detail(error: LevanteError, known: type[LevanteError], entry: HttpAnswer) -> str:
    if entry.status < 500:  # noqa: PLR2004 - from there on, the fault is not the caller's
        return str(error)
    return _SPOKEN.get(known, GENERIC) or str(error)
