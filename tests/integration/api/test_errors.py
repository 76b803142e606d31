from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import TypeAdapter, ValidationError

from levante_api.app import create_app
from levante_core.errors import (
    HTTP_ANSWERS,
    AlreadyRunning,
    AmbiguousWorkflow,
    BatchJobExists,
    Forbidden,
    HandlerFailed,
    InconsistentHistory,
    InvalidInput,
    InvalidSchedule,
    LevanteError,
    NotApplicable,
    NotFound,
    NotRunning,
    NotStorable,
    ResultNotReady,
    ScheduleExists,
    ScheduleNotFound,
    TooManyStreams,
    Unauthenticated,
    Unavailable,
    Unreadable,
)
from levante_core.ports.item_store import ConditionFailed
from tests.integration.api.harness import SETTINGS, Answer, Api

GENERIC = "An error occurred"


def invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("card number 4111")
    return caught.value


class Unheard(NotFound):
    """A class that no table lists; its base does."""


CASES: list[tuple[Exception, int, dict[str, Any]]] = [
    (NotFound("no such thing"), 404, {"detail": "no such thing", "code": "WF_1100"}),
    (Unheard("no such thing"), 404, {"detail": "no such thing", "code": "WF_1100"}),
    (ScheduleNotFound("no such schedule"), 404, {"detail": "no such schedule", "code": "WF_1201"}),
    (ScheduleExists("it exists"), 409, {"detail": "it exists", "code": "WF_1200"}),
    (
        InvalidSchedule.at(("body", "schedule"), "wrong", "kind"),
        422,
        {"detail": [{"loc": ["body", "schedule"], "msg": "wrong", "type": "kind"}], "code": "WF_1200"},
    ),
    (BatchJobExists("taken"), 409, {"detail": "taken", "code": "BATCH_EXISTS"}),
    (AlreadyRunning("it runs"), 409, {"detail": "it runs", "code": "WF_1101"}),
    (NotRunning("it ended", "FAILED"), 409, {"detail": "it ended", "code": "WF_1102", "status": "FAILED"}),
    (NotApplicable("it runs"), 409, {"detail": "it runs", "code": "NOT_APPLICABLE"}),
    (
        HandlerFailed("it raised", {"message": "m"}),
        409,
        {"detail": "it raised", "code": "HANDLER_FAILED", "failure": {"message": "m"}},
    ),
    (
        AmbiguousWorkflow("name one", ["a", "b"]),
        409,
        {"detail": "name one", "code": "AMBIGUOUS_WORKFLOW", "deployments": ["a", "b"]},
    ),
    (Unauthenticated("who?"), 401, {"detail": "who?", "code": "UNAUTHENTICATED"}),
    (Forbidden("no"), 403, {"detail": "no", "code": "FORBIDDEN"}),
    (
        InvalidInput.at(("body", "x", 0), "wrong", "kind"),
        422,
        {"detail": [{"loc": ["body", "x", 0], "msg": "wrong", "type": "kind"}], "code": "WF_1001"},
    ),
    (
        NotStorable("too large"),
        422,
        {"detail": [{"loc": ["body"], "msg": "too large", "type": "not_storable"}], "code": "NOT_STORABLE"},
    ),
    (ResultNotReady("still running"), 504, {"detail": "still running", "code": "WF_1103"}),
    (
        Unavailable("table t-1 throttled"),
        503,
        {"detail": "a service behind this one is busy or down: try again", "code": "UNAVAILABLE"},
    ),
    (TooManyStreams("too many"), 429, {"detail": "too many", "code": "TOO_MANY_STREAMS"}),
    (Unreadable("attribute a of item i"), 500, {"detail": "attribute a of item i", "code": "WF_1105"}),
    (InconsistentHistory("run r has a hole"), 500, {"detail": "run r has a hole", "code": "WF_1105"}),
    (LevanteError("secret of ours"), 500, {"detail": GENERIC, "code": "WF_1000"}),
    (ConditionFailed([0], [None]), 500, {"detail": GENERIC, "code": "WF_1000"}),
    (KeyError("secret of ours"), 500, {"detail": GENERIC, "code": "WF_1000"}),
    (invalid(), 500, {"detail": GENERIC, "code": "WF_1000"}),
]


@pytest.fixture
def failing(api: Api) -> Any:
    """Calls an endpoint whose service raises what the test says."""

    def call(error: Exception) -> Answer:
        def get(*_: object) -> None:
            raise error

        engine = replace(api.engine, executions=cast("Any", SimpleNamespace(status=get)))
        api.handler = create_app(engine, SETTINGS)
        return api.call("GET", "/v1/workflows/executions/e1")

    return call


@pytest.mark.parametrize(
    ("error", "status", "body"), CASES, ids=lambda value: type(value).__name__ if isinstance(value, Exception) else ""
)
def test_error_when_raised_by_a_service_then_it_is_answered_by_the_table(
    failing: Any, error: Exception, status: int, body: dict[str, Any]
) -> None:
    """What the caller can act on is told; what is ours is not; what is unknown is an internal error."""
    answer = failing(error)
    assert (answer.status, answer.body) == (status, body)
    assert answer.headers["Content-Type"] == "application/json"
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert ("Retry-After" in answer.headers) == (status in {429, 503})


def test_table_when_it_grows_then_these_cases_grow_too() -> None:
    """Every row of the table has a case here."""
    assert HTTP_ANSWERS.keys() <= {type(error) for error, _, _ in CASES}


def test_error_of_ours_when_answered_then_it_is_logged_without_what_the_caller_sent(
    failing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator finds what happened and where; messages of others may hold payloads, so they are left out."""
    failing(invalid())
    failing(InconsistentHistory("run r has a hole"))
    first, second = capsys.readouterr().err.splitlines()
    assert "ValidationError" in first
    assert "test_errors.py" in first
    assert "4111" not in first
    assert "InconsistentHistory: run r has a hole" in second


@pytest.mark.parametrize("error", [NotFound("x"), ResultNotReady("x"), InvalidInput.at(("x",), "x")])
def test_error_of_the_caller_when_answered_then_nothing_is_logged(
    failing: Any, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log full of other people's mistakes hides ours."""
    failing(error)
    assert capsys.readouterr().err == ""


def test_event_when_it_is_no_request_at_all_then_500_and_no_exception(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """The handler fails closed, whatever it is called with."""
    answer = api.handler({"version": "2.0"}, None)
    assert answer["statusCode"] == 500
    assert GENERIC in answer["body"]
    assert "request failed" in capsys.readouterr().err
