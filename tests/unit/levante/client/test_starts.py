"""Starting executions with the client, and the results that come of it."""

from datetime import date
from typing import Any

import httpx
import pytest

from levante.client import (
    AlreadyStarted,
    AmbiguousDeployment,
    ClientError,
    InvalidInput,
    NotFound,
    NotReady,
    Problem,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WorkflowExecutionFailed,
)
from levante.errors import InvalidArguments, WorkflowsException
from tests.unit.levante.client.shop import (
    EXECUTE,
    FAILURE,
    ONE,
    ORDER,
    RECEIPT,
    RESULT,
    RUNNING,
    STREAM,
    Api,
    Order,
    Pay,
    Shop,
    Use,
    api,
    brief_pauses,
    use,
)

__all__ = ["api", "brief_pauses", "use"]


def test_start_when_given_a_model_then_it_is_sent_as_a_child_would_get_it(use: Use, api: Api) -> None:
    """With an id that the client makes up, so that no retry can start another execution."""
    api.on("POST", EXECUTE, (200, RUNNING))
    handle = use("start", Shop, ORDER)
    assert api.bodies == [{"execution_id": handle.execution_id, "input": {"item": "kite", "cents": 3}}]
    assert len(handle.execution_id) == 32
    assert api.asked[0].headers["Authorization"] == "Bearer lev_k"


def test_start_when_given_everything_then_the_request_carries_it(use: Use, api: Api) -> None:
    """A name is enough where the class is not at hand; its input is passed on as it is."""
    api.on("POST", EXECUTE, (200, RUNNING))
    use("start", "shop", {"any": 1}, execution_id="e1", deployment="d")
    assert api.bodies == [{"execution_id": "e1", "input": {"any": 1}, "deployment_name": "d"}]


@pytest.mark.parametrize(
    ("given", "path"),
    [({"item": "kite", "cents": "many"}, "order.cents"), ({"item": "kite"}, "order.cents"), ({"x": 1, **RESULT}, None)],
)
def test_start_when_the_input_does_not_fit_then_nothing_is_sent(use: Use, api: Api, given: Any, path: str | None) -> None:
    """The error says where, and is also that of the SDK."""
    with pytest.raises(InvalidInput) as raised:
        use("start", Shop, given)
    assert api.asked == []
    assert isinstance(raised.value, InvalidArguments)
    assert path is None or path in [problem.path for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("workflow", "given", "said"),
    [
        ("shop", {"day": date(2026, 11, 23)}, "give the class of the workflow"),
        ("shop", {"text": "x" * 3_000_000}, "2 MB fit"),
        (Shop, Order(item="x" * 3_000_000, cents=1), "2 MB fit"),
        ("shop", {"number": float("nan")}, "give the class of the workflow"),
    ],
)
def test_start_when_the_input_cannot_be_sent_then_it_is_an_invalid_input(
    use: Use, api: Api, workflow: Any, given: Any, said: str
) -> None:
    """Found before the API would refuse it."""
    with pytest.raises(InvalidInput, match=said):
        use("start", workflow, given)
    assert api.asked == []


def test_start_when_the_answer_is_lost_then_the_execution_is_looked_for_and_not_started_twice(use: Use, api: Api) -> None:
    """It may have ended by the time of the retry, and its id may be used again then."""
    api.on("POST", EXECUTE, httpx.ReadError("reset"))
    api.elsewhere = (200, RUNNING)
    handle = use("start", Shop, ORDER)
    assert api.paths == [f"POST {EXECUTE}", f"GET /v1/workflows/executions/{handle.execution_id}"]


def test_start_when_the_answer_is_lost_and_it_is_not_there_then_it_is_started(use: Use, api: Api) -> None:
    """The request got lost on its way."""
    api.on("POST", EXECUTE, httpx.ReadError("reset"), (503, {"detail": "busy", "code": "UNAVAILABLE"}), (200, RUNNING))
    handle = use("start", Shop, ORDER)
    assert [one.method for one in api.asked] == ["POST", "GET", "POST", "GET", "POST"]
    assert {body["execution_id"] for body in api.bodies} == {handle.execution_id}


def test_start_when_its_retry_finds_the_id_in_use_then_it_was_this_one(use: Use, api: Api) -> None:
    """The first request arrived between the look and the retry."""
    api.on("POST", EXECUTE, httpx.ReadError("reset"), (409, {"detail": "running", "code": "WF_1101"}))
    with pytest.raises(NotFound):  # the API of this test shows no execution; that it is asked for is the point
        use("start", Shop, ORDER)
    assert [one.method for one in api.asked] == ["POST", "GET", "POST", "GET"]


def test_start_when_the_caller_s_own_id_is_there_after_a_lost_answer_then_the_error_says_that_it_is_unsure(
    use: Use, api: Api
) -> None:
    """Somebody else may have started it; a result of theirs must not be taken for the caller's."""
    api.on("POST", EXECUTE, httpx.ReadError("reset"))
    api.on("GET", ONE, (200, RUNNING))
    with pytest.raises(Unreachable, match="whether this call started it is not known"):
        use("start", Shop, ORDER, execution_id="e1")


def test_start_when_no_connection_is_made_then_it_is_tried_again_without_a_look(use: Use, api: Api) -> None:
    """What was not sent cannot have been done."""
    api.on("POST", EXECUTE, httpx.ConnectError("refused"), httpx.ConnectError("refused"), (200, RUNNING))
    use("start", Shop, ORDER, execution_id="e1")
    assert [one.method for one in api.asked] == ["POST"] * 3


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, {"detail": "who?", "code": "UNAUTHENTICATED"}, Unauthorized),
        (404, {"detail": "no workflow", "code": "WF_1100"}, NotFound),
        (409, {"detail": "is running", "code": "WF_1101"}, AlreadyStarted),
        (409, {"detail": "which?", "code": "AMBIGUOUS_WORKFLOW", "deployments": ["a", "b"]}, AmbiguousDeployment),
        (422, {"detail": [{"loc": ["body", "input", "x"], "msg": "wrong", "type": "t"}]}, InvalidInput),
        (429, {"detail": "slower", "code": "TOO_MANY"}, Unavailable),
        (302, None, ClientError),
        (418, {"detail": "a teapot"}, ClientError),
    ],
)
def test_start_when_it_is_refused_then_the_class_says_what_to_do_next(
    use: Use, api: Api, status: int, body: Any, error: type[ClientError]
) -> None:
    """All errors of the client have one base, which is one of the SDK's."""
    api.on("POST", EXECUTE, (status, body))
    with pytest.raises(error) as raised:
        use("start", Shop, ORDER)
    assert isinstance(raised.value, WorkflowsException)
    match raised.value:
        case AmbiguousDeployment(deployments=deployments):
            assert deployments == ("a", "b")
        case InvalidInput(problems=problems):
            assert problems == (Problem("body.input.x", "wrong"),)
        case Unauthorized(message=message):
            assert "set LEVANTE_API_KEY" in message


def test_start_when_nothing_answers_then_the_error_names_the_address_and_what_to_start(use: Use, api: Api) -> None:
    """And gives up after `retry_for`."""
    api.on("POST", EXECUTE, httpx.ConnectError("refused"))
    with pytest.raises(Unreachable, match=r"nothing answers at http://127.0.0.1:1 .*`levante dev`"):
        use("start", Shop, ORDER)
    assert len(api.asked) > 1


def test_execute_when_it_completes_in_time_then_one_request_returns_its_result(use: Use, api: Api) -> None:
    """The API waits for the end, and the result has the type that the entrypoint declares."""
    api.on("POST", EXECUTE, (200, {"workflow_name": "shop", "execution_id": "e1", "result": RESULT}))
    assert use("execute", Shop, ORDER) == RECEIPT
    assert [one["wait_for_result"] for one in api.bodies] == [True]


def test_execute_when_named_by_the_entrypoint_then_its_workflow_is_started(use: Use, api: Api) -> None:
    """For workflows whose entrypoint is not named `run`."""
    found = {"workflow_name": "pay", "execution_id": "e1", "result": {"result": ["2026-11-23"]}}
    api.on("POST", "/v1/workflows/pay/execute", (200, found))
    assert use("execute", Pay.pay, {"cents": 1}) == [date(2026, 11, 23)]


def test_execute_when_it_takes_longer_then_it_is_waited_for_by_a_stream(use: Use, api: Api) -> None:
    """504 says that the execution goes on; nothing is asked again before the stream has closed."""
    api.on("POST", EXECUTE, (504, {"detail": "not yet", "code": "WF_1103", "execution_id": "e1"}))
    api.on("GET", ONE, (200, RUNNING), (200, {**RUNNING, "status": "COMPLETED", "result": RESULT}))
    api.on("GET", STREAM, (200, "retry: 1000\n\n: keep-alive\n\n"))
    assert use("execute", Shop, ORDER, execution_id="e1") == RECEIPT
    assert api.paths == [f"POST {EXECUTE}", f"GET {ONE}", f"GET {STREAM}", f"GET {ONE}"]


@pytest.mark.parametrize("is_told_at_once", [True, False])
def test_execute_when_it_fails_then_the_failure_is_there_with_its_causes(
    use: Use, api: Api, *, is_told_at_once: bool
) -> None:
    """Type, message, details and cause; the same whether the API waited or the client did."""
    told = {"detail": "d", "code": "EXECUTION_NOT_COMPLETED", "status": "FAILED", "failure": FAILURE, "execution_id": "e1"}
    api.on("POST", EXECUTE, (409, told) if is_told_at_once else (200, {**RUNNING, "status": "FAILED", "failure": FAILURE}))
    with pytest.raises(WorkflowExecutionFailed, match="e1 ended as FAILED: Refused: no refunds") as raised:
        use("execute", Shop, ORDER, execution_id="e1")
    failed = raised.value
    assert (failed.execution_status, failed.failure_type, failed.details) == ("FAILED", "Refused", {"cents": -1})
    assert failed.cause is not None
    assert str(failed.cause.__cause__) == "negative"


def test_result_when_the_time_is_over_then_the_error_says_that_it_goes_on(use: Use, api: Api) -> None:
    """It is also a TimeoutError."""
    api.on("GET", ONE, (200, RUNNING))
    api.on("GET", STREAM, (200, ""))
    with pytest.raises(NotReady, match=r"e1 is still open after 0.02 s") as raised:
        use("result", timeout=0.02, of="e1")
    assert isinstance(raised.value, TimeoutError)


def test_result_when_streams_are_refused_for_a_while_then_it_is_asked_for_with_pauses(use: Use, api: Api) -> None:
    """A key may have so many streams open."""
    ended = (200, {**RUNNING, "status": "COMPLETED", "result": RESULT})
    api.on("GET", ONE, (200, RUNNING), (503, {"detail": "busy"}), (200, RUNNING), ended)
    api.on("GET", STREAM, (429, {"detail": "too many", "code": "TOO_MANY_STREAMS"}))
    assert use("result", of="e1") == RECEIPT


def test_result_when_the_execution_is_not_there_then_it_is_not_waited_for(use: Use, api: Api) -> None:
    """What does not go away by waiting is raised at once."""
    with pytest.raises(NotFound):
        use("result", of="e1")
    assert api.paths == [f"GET {ONE}"]


def test_result_when_the_type_is_not_known_then_it_is_json(use: Use, api: Api) -> None:
    """A handle without a class."""
    api.on("GET", ONE, (200, {**RUNNING, "status": "COMPLETED", "result": RESULT}))
    assert use("result", of="e1", workflow=None) == RESULT


@pytest.mark.parametrize("answer", [None, [], {}, {"execution_id": 1}])
def test_result_when_another_server_answers_then_the_error_says_so(use: Use, api: Api, answer: Any) -> None:
    """It might go on for ever otherwise."""
    api.on("GET", ONE, (200, answer))
    with pytest.raises(UnexpectedAnswer, match="is it Levante"):
        use("result", of="e1")
