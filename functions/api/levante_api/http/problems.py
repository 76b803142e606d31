"""How errors are answered: by the core's table, and one class for what is refused here."""

from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError

from levante_core import answers
from levante_core.answers import Answer
from levante_core.domain.frozen import Frozen, Json
from levante_core.errors import InvalidInput, InvalidSchedule


class ErrorBody(Frozen):
    """Any error but invalid input; docs/reference/errors.md lists the codes. What there is nothing to say of is left out."""

    detail: str
    """What is wrong, and what to do."""
    code: str
    """What went wrong, for programs."""
    status: str | None = None
    """Status of the execution."""
    failure: dict[str, Json] | None = None
    """Why the execution failed, or what its handler raised."""
    execution_id: str | None = None
    """Id of an execution that was started and is waited for in vain."""
    deployments: tuple[str, ...] | None = None
    """Names of the deployments one of which has to be named."""


class Problem(Frozen):
    """One thing that is wrong with a request."""

    loc: tuple[str | int, ...]
    """Where, from `body`, `query` or `path` on."""
    msg: str
    """What is wrong."""
    type: str
    """What is wrong, for programs."""


class InvalidBody(Frozen):
    """Everything that is wrong with a request."""

    detail: tuple[Problem, ...]
    """What is wrong, each by itself."""
    code: str
    """What went wrong, for programs."""
    valid_reset_events: tuple[int, ...] | None = None
    """Ids of the events that the execution can go on from."""
    execution_id: str | None = None
    """Id of the execution, if one is concerned."""


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
    """Tell how an error is answered, what this program refuses included. more: further fields of the body."""
    match error:
        case Refused():
            return error.answer
        case RequestValidationError():
            return answers.answer_to(_invalid([_problem(problem) for problem in error.errors()]), **more)
        case _:
            return answers.answer_to(error, **more)


def _invalid(problems: list[dict[str, Any]]) -> InvalidInput:
    """Tell a schedule that would not work from any other input."""
    is_of_schedule = all(problem["loc"][:2] == ["body", "schedule"] for problem in problems)
    return InvalidSchedule(problems) if is_of_schedule else InvalidInput(problems)


def _problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Keep what the contract asks for; the value that was found wrong may be large, or secret."""
    loc = list(problem["loc"])
    if loc[:2] == ["query", "query"]:
        del loc[1]  # powertools puts the name of the handler's parameter in between
    return {"loc": loc, "msg": problem["msg"], "type": problem["type"]}
