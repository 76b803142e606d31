"""How errors are answered: one table for the core's errors, one class for what is refused here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from levante_core.domain.frozen import Frozen, Json
from levante_core.errors import (
    HTTP_ANSWERS,
    AmbiguousWorkflow,
    HttpAnswer,
    InvalidInput,
    LevanteError,
    NotRunning,
    ResultNotReady,
    Unauthenticated,
    Unavailable,
)

GENERIC = "An error occurred"
"""All that callers hear of errors that are not theirs. Source: REST contract, section 1.4 (read 2026-11-23)."""

_EXTRA_FIELDS: Mapping[type[LevanteError], str] = {NotRunning: "status", AmbiguousWorkflow: "deployments"}
_HEADERS: Mapping[type[LevanteError], Mapping[str, str]] = {Unauthenticated: {"WWW-Authenticate": "Bearer"}}
_SPOKEN: Mapping[type[LevanteError], str | None] = {
    Unavailable: "a service behind this one is busy or down: try again",
    ResultNotReady: None,
}
"""Errors of the 500s that are explained; None: in their own words."""


class ErrorBody(Frozen):
    """Any error but invalid input. Some codes add fields: `status`, `deployments`, `execution_id`, `failure`."""

    detail: str
    code: str


class Problem(Frozen):
    """One thing that is wrong with a request. loc: where, from `body`, `query` or `path` on."""

    loc: tuple[str | int, ...]
    msg: str
    type: str


class InvalidBody(Frozen):
    """Everything that is wrong with a request."""

    detail: tuple[Problem, ...]
    code: str


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer other than success."""

    status: int
    body: Mapping[str, Json]
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """A request that this program answers with something other than success."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(str(answer.body["detail"]))

    @classmethod
    def because(cls, status: int, code: str, detail: str, /, **more: Json) -> "Refused":
        """Build the refusal. more: further fields of the body."""
        return cls(Answer(status, {"detail": detail, "code": code, **more}))


def unknown_route(method: str, path: str) -> Refused:
    """Build the refusal of a path that nothing is at."""
    return Refused.because(404, "NOT_FOUND", f"there is nothing at {method} {path[:200]}")


def unsupported_method(method: str, allowed: list[str]) -> Refused:
    """Build the refusal of a method that the path does not take."""
    names = ", ".join(sorted(set(allowed)))
    detail = f"{method} is not supported here: use {names}"
    return Refused(Answer(405, {"detail": detail, "code": "METHOD_NOT_ALLOWED"}, {"Allow": names}))


def answer_to(error: Exception, /, **more: Json) -> Answer:
    """Tell how an error is answered; what is not known is an internal error. more: further fields of the body."""
    match error:
        case Refused():
            return error.answer
        case RequestValidationError():
            return _invalid([_problem(found) for found in error.errors()], more)
        case InvalidInput():
            return _invalid(error.problems, more)
        case LevanteError():
            return _table_answer(error, more)
        case _:
            return Answer(500, {"detail": GENERIC, "code": HTTP_ANSWERS[LevanteError].code, **more})


def _table_answer(error: LevanteError, more: Mapping[str, Json]) -> Answer:
    known, entry = next((one, HTTP_ANSWERS[one]) for one in type(error).__mro__ if one in HTTP_ANSWERS)
    body: dict[str, Json] = {"detail": _detail(error, known, entry), "code": entry.code}
    extra = _EXTRA_FIELDS.get(known)
    if extra is not None:
        body[extra] = getattr(error, extra)
    return Answer(entry.status, {**body, **more}, _HEADERS.get(known, {}))


def _detail(error: LevanteError, known: type[LevanteError], entry: HttpAnswer) -> str:
    if entry.status < 500:  # noqa: PLR2004 - from there on, the fault is not the caller's
        return str(error)
    return _SPOKEN.get(known, GENERIC) or str(error)


def _invalid(problems: list[dict[str, Any]], more: Mapping[str, Json]) -> Answer:
    entry = HTTP_ANSWERS[InvalidInput]
    return Answer(entry.status, {"detail": problems, "code": entry.code, **more})


def _problem(found: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what the contract asks for; the value that was found wrong may be large, or secret."""
    loc = list(found["loc"])
    if loc[:2] == ["query", "query"]:
        del loc[1]  # powertools puts the name of the handler's parameter in between
    return {"loc": loc, "msg": found["msg"], "type": found["type"]}
