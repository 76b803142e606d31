"""Answers of the API: what they hold, or the error that they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError

from levante.client.errors import (
    AlreadyStarted,
    AmbiguousDeployment,
    ClientError,
    Conflict,
    ExecutionClosed,
    Forbidden,
    HandlerFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Problem,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    WorkflowExecutionFailed,
)
from levante.client.settings import API_KEY, HOW_TO_GET_A_KEY
from levante_core.protocol import Failure

OPEN_STATUSES = frozenset({"RUNNING", "RETRYING_AFTER_ERROR"})
"""Anything else is an end. Source: REST contract, section 3 (read 2026-11-23)."""
TEMPORARY_STATUSES = frozenset({429, 500, 502, 503, 504})
"""Answers after which the same call may succeed. Source: REST contract, section 1.4 (read 2026-11-23)."""
SHOWN_CHARACTERS = 500
"""What is shown of an answer that is not one of the API's."""
_CLASSES: Mapping[int, type[ClientError]] = {401: Unauthorized, 403: Forbidden, 404: NotFound}
_CONFLICTS: Mapping[str, type[ClientError]] = {"WF_1101": AlreadyStarted, "WF_1102": ExecutionClosed}


@dataclass(frozen=True, slots=True)
class Response:
    """What came over HTTP. headers: by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: as it was sent, and as JSON. An answer without content is "" and None."""

    text: str
    value: Any

    def field(self, name: str, kind: type) -> Any:
        """Return a field of the answer. Raises: UnexpectedAnswer if it is not there."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        if not isinstance(found, kind):
            raise UnexpectedAnswer(f"there is no {name!r} in {self.text}")
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a list of objects that the answer holds. Raises: UnexpectedAnswer as `field`."""
        return [row for row in self.field(name, list) if isinstance(row, dict)]

    @property
    def has_ended(self) -> bool:
        """Whether the execution that was shown has ended. Raises: UnexpectedAnswer if none was."""
        self.field("execution_id", str)
        return self.value.get("status") not in OPEN_STATUSES


def answer_in(response: Response, key_source: str) -> Answer:
    """Return the answer in a response. Raises: ClientError, by its subclass, for anything but success."""
    text = response.content.decode("utf-8", "replace").strip()
    status = response.status
    if status // 100 == 3:  # noqa: PLR2004 - redirects
        where = response.headers.get("location", "nowhere")
        raise ClientError(f"the API is not here ({status}, redirects to {where}): correct LEVANTE_SERVER_URL", status)
    if status // 100 != 2:  # noqa: PLR2004 - success
        raise refused(response, text, key_source)
    if not text:
        return Answer("", None)
    try:
        return Answer(text, json.loads(text))
    except (ValueError, RecursionError):
        raise UnexpectedAnswer(f"the answer is no JSON: {text}") from None


def refused(response: Response, text: str, key_source: str) -> ClientError:
    """Return the error that a refusal stands for."""
    status, said = response.status, refusal(response.status, text, key_source)
    body = _object(text)
    code = str(body.get("code") or "")
    if status == HTTPStatus.CONFLICT:
        return _conflict(said, code, body)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return InvalidInput(said, _problems(body), code)
    if status == HTTPStatus.GATEWAY_TIMEOUT and code == "WF_1103":
        return NotReady(said, status, code)
    if status in TEMPORARY_STATUSES:
        return Unavailable(said, status, code, _seconds(response.headers.get("retry-after")))
    return _CLASSES.get(status, ClientError)(said, status, code)


def _conflict(said: str, code: str, body: Mapping[str, Any]) -> ClientError:
    status = HTTPStatus.CONFLICT.value
    match code:
        case "AMBIGUOUS_WORKFLOW":
            return AmbiguousDeployment(said, status, code, tuple(map(str, body.get("deployments") or ())))
        case "HANDLER_FAILED":
            return HandlerFailed(said, status, code, failure_in(body.get("failure")))
        case "EXECUTION_NOT_COMPLETED":
            execution_id, ended_as = str(body.get("execution_id")), str(body.get("status"))
            return WorkflowExecutionFailed(execution_id, ended_as, failure_in(body.get("failure")))
        case _:
            return _CONFLICTS.get(code, Conflict)(said, status, code)


def refusal(status: int, content: str, key_source: str = API_KEY) -> str:
    """Say why the API refused a call, and what to do if that is known."""
    try:
        answer = json.loads(content)
        detail, code = answer["detail"], answer.get("code")
        if isinstance(detail, list):
            detail = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in detail)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = f"the API answered {status}: {content[:SHOWN_CHARACTERS].strip() or 'no reason was given'}"
    else:
        said = f"{detail} ({status} {code})" if code else f"{detail} ({status})"
    if status != HTTPStatus.UNAUTHORIZED:
        return said
    came = "" if key_source == API_KEY else f" (this one is from {key_source})"
    return f"{said}: set {API_KEY} to a key that is not revoked{came} ({HOW_TO_GET_A_KEY})"


def failure_in(value: object) -> Failure | None:
    """Read a failure; None where there is none that can be read."""
    try:
        return Failure.model_validate(value) if isinstance(value, dict) else None
    except ValidationError:
        message, kind = value.get("message"), value.get("type")  # type: ignore[attr-defined] # a dict, see above
        return Failure(message=str(message), type=str(kind or "Exception"))


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _problems(body: Mapping[str, Any]) -> tuple[Problem, ...]:
    detail = body.get("detail")
    return tuple(
        Problem(".".join(map(str, one.get("loc") or ())), str(one.get("msg")))
        for one in (detail if isinstance(detail, list) else ())
        if isinstance(one, dict)
    )


def _seconds(retry_after: str | None) -> float | None:
    text = (retry_after or "").strip()
    return float(text[:9]) if text.isascii() and text.isdigit() else None
