"""The client against an API that answers as it is told: what is sent, what is returned, what is raised."""

import asyncio
import inspect
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, SecretStr

from levante import client as client_package
from levante import workflow
from levante.client import (
    AlreadyStarted,
    AmbiguousDeployment,
    AsyncClient,
    AsyncHandle,
    Client,
    ClientError,
    ExecutionClosed,
    Handle,
    HandlerFailed,
    InvalidInput,
    NotFound,
    NotReady,
    Problem,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
    Unreachable,
    WorkflowExecutionFailed,
    steps,
    waiting,
)
from levante.client import errors as client_errors
from levante.encoding import EncodingSettings, EncryptionMode, EncryptionSettings, PayloadCodec, PayloadContext
from levante.errors import InvalidArguments, WorkflowsException

EXECUTE = "/v1/workflows/shop/execute"
ONE = "/v1/workflows/executions/e1"
STREAM = "/v1/workflows/events/stream"
RUNNING = {
    "execution_id": "e1",
    "workflow_name": "shop",
    "status": "RUNNING",
    "start_time": "2026-11-23T00:00:00Z",
    "end_time": None,
    "result": None,
    "failure": None,
}
FAILURE = {
    "kind": "application",
    "message": "no refunds",
    "type": "Refused",
    "details": {"cents": -1},
    "cause": {"message": "negative", "type": "ValueError"},
}


class Order(BaseModel):
    item: str
    cents: int


class Receipt(BaseModel):
    order: Order
    day: date


@workflow.define(name="shop")
class Shop:
    @workflow.entrypoint
    async def run(self, order: Order) -> Receipt:
        return Receipt(order=order, day=date(2026, 11, 23))

    @workflow.signal(name="ok")
    def approve(self, by: str, on: date | None = None) -> None: ...

    @workflow.query()
    def total(self) -> tuple[int, date]:
        return 1, date(2026, 11, 23)

    @workflow.update()
    async def add(self, order: Order) -> date:
        return date(2026, 11, 23)


@workflow.define(name="pay")
class Pay:
    @workflow.entrypoint
    async def pay(self, cents: int) -> list[date]:
        return [date(2026, 11, 23)] * cents


RESULT = {"order": {"item": "kite", "cents": 3}, "day": "2026-11-23"}
RECEIPT = Receipt(order=Order(item="kite", cents=3), day=date(2026, 11, 23))
ORDER = Order(item="kite", cents=3)

Reply = tuple[int, Any] | Exception


@dataclass
class Api:
    """Answers in turn, the last answer for ever; an exception is raised where the network would."""

    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    elsewhere: Reply = (404, {"detail": "nothing", "code": "WF_1100"})

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self.replies[method, path] = list(replies)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        replies = self.replies.get((request.method, request.url.path), [self.elsewhere])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        status, content = reply
        if isinstance(content, str):
            return httpx.Response(status, text=content, headers={"Content-Type": "text/event-stream", **self.headers})
        return httpx.Response(status, json=content, headers=self.headers)

    @property
    def paths(self) -> list[str]:
        return [f"{one.method} {one.url.path}" for one in self.asked]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(one.content) for one in self.asked if one.content]


Use = Callable[..., Any]


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (steps, waiting):
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
        monkeypatch.setattr(module, "LAST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "RECONNECT_SECONDS", 0.001)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest, api: Api) -> Use:
    """Call a method of the client, or with `of` of a handle; the same for both clients."""
    mock = httpx.MockTransport(api)

    def sync(method: str, *args: Any, of: str | None = None, workflow: Any = Shop, **options: Any) -> Any:
        with Client("http://127.0.0.1:1", "lev_k", retry_for=0.5, transport=mock, **options.pop("client", {})) as client:
            found = getattr(client.handle(of, workflow) if of else client, method)(*args, **options)
            return list(found) if isinstance(found, Iterator) else found

    async def asynchronous(method: str, *args: Any, of: str | None = None, workflow: Any = Shop, **options: Any) -> Any:
        made = AsyncClient("http://127.0.0.1:1", "lev_k", retry_for=0.5, transport=mock, **options.pop("client", {}))
        async with made as client:
            found = getattr(client.handle(of, workflow) if of else client, method)(*args, **options)
            return [one async for one in found] if hasattr(found, "__aiter__") else await found

    def run(*args: Any, **options: Any) -> Any:
        return asyncio.run(asynchronous(*args, **options))

    return sync if request.param == "sync" else run


# --- starting ---------------------------------------------------------------------------------------------------------


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


# --- results ----------------------------------------------------------------------------------------------------------


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


# --- messages ---------------------------------------------------------------------------------------------------------


def test_signal_when_it_gets_lost_then_it_is_sent_again_under_the_same_id(use: Use, api: Api) -> None:
    """The API takes it once."""
    api.on("POST", f"{ONE}/signals", httpx.ReadTimeout("slow"), (502, None), (202, {"message": "Signal accepted"}))
    use("signal", Shop.approve, {"by": "me", "on": date(2026, 11, 23)}, of="e1")
    assert api.bodies == [{"name": "ok", "input": {"by": "me", "on": "2026-11-23"}}] * 3
    assert len({one.headers["Idempotency-Key"] for one in api.asked}) == 1


def test_query_when_answered_then_the_result_has_its_type(use: Use, api: Api) -> None:
    """By the method with or without the class of the workflow, by the name with it."""
    api.on("POST", f"{ONE}/queries", (200, {"query_name": "total", "result": [1, "2026-11-23"]}))
    for query, of in ((Shop.total, Shop), (Shop.total, None), ("total", Shop)):
        assert use("query", query, of="e1", workflow=of) == (1, date(2026, 11, 23))
    assert use("query", "total", of="e1", workflow=None) == [1, "2026-11-23"]


def test_query_when_nobody_answers_then_it_is_not_ready(use: Use, api: Api) -> None:
    """Not as if the API were out of reach."""
    api.on("POST", f"{ONE}/queries", httpx.ReadTimeout("slow"))
    with pytest.raises(NotReady, match="is a worker there"):
        use("query", Shop.total, of="e1", timeout=60)


def test_update_when_it_takes_long_then_it_is_asked_for_again_under_the_same_id(use: Use, api: Api) -> None:
    """The API goes on waiting for the answer to the first."""
    not_yet = (504, {"detail": "it goes on", "code": "WF_1103"})
    answered = (200, {"update_name": "add", "result": "2026-11-23"})
    api.on("POST", f"{ONE}/updates", not_yet, httpx.ReadTimeout("slow"), answered)
    assert use("update", Shop.add, ORDER, of="e1") == date(2026, 11, 23)
    assert len({one.headers["Idempotency-Key"] for one in api.asked}) == 1
    api.on("POST", f"{ONE}/updates", not_yet)
    with pytest.raises(NotReady, match=r"update 'add' has no answer after 0.01 s; it goes on"):
        use("update", "add", ORDER, of="e1", timeout=0.01)


def test_update_when_its_handler_raises_then_the_failure_is_there(use: Use, api: Api) -> None:
    """What it raised is the cause."""
    api.on("POST", f"{ONE}/updates", (409, {"detail": "failed", "code": "HANDLER_FAILED", "failure": FAILURE}))
    with pytest.raises(HandlerFailed) as raised:
        use("update", Shop.add, ORDER, of="e1")
    assert (raised.value.failure_type, str(raised.value.cause)) == ("Refused", "no refunds")


@pytest.mark.parametrize(
    ("method", "handler", "said"),
    [
        ("query", Shop.approve, "approve is marked as signal, not as query"),
        ("signal", Shop.run, "run is marked as entrypoint, not as signal"),
        ("update", print, "is no handler"),
    ],
)
def test_message_when_the_method_is_of_another_kind_then_nothing_is_sent(
    use: Use, api: Api, method: str, handler: Any, said: str
) -> None:
    """A slip that a type checker does not see."""
    with pytest.raises(WorkflowsException, match=said):
        use(method, handler, of="e1")
    assert api.asked == []


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_end_when_the_answer_is_lost_then_a_closed_execution_is_a_success(use: Use, api: Api, verb: str) -> None:
    """Without a lost answer it is an error: it ended before."""
    closed = (409, {"detail": "closed", "code": "WF_1102", "status": "TERMINATED"})
    api.on("POST", f"{ONE}/{verb}", httpx.ReadError("reset"), closed)
    use(verb, of="e1")
    with pytest.raises(ExecutionClosed):
        use(verb, of="e1")
    api.on("POST", f"{ONE}/{verb}", httpx.ConnectError("refused"), closed)
    with pytest.raises(ExecutionClosed):
        use(verb, of="e1")


def test_describe_when_asked_then_it_is_typed(use: Use, api: Api) -> None:
    """With its search keys."""
    api.on("GET", ONE, (200, {**RUNNING, "search_keys": {"a": "b"}}))
    found = use("describe", of="e1")
    assert (found.status, found.is_open, found.search_keys) == ("RUNNING", True, {"a": "b"})


# --- streams ----------------------------------------------------------------------------------------------------------


def frame(sequence: int, event_type: str = "ACTIVITY_TASK_COMPLETED", **attributes: Any) -> str:
    event = {
        "event_id": str(sequence),
        "event_timestamp": 0,
        "root_workflow_exec_id": "e1",
        "parent_workflow_exec_id": None,
        "workflow_exec_id": "e1",
        "workflow_run_id": "r",
        "workflow_name": "shop",
        "event_type": event_type,
        "attributes": {"task_id": "t", **attributes},
    }
    data = {"stream": "activity", "data": event, "broker_sequence": sequence, "timestamp": "2026-11-23T00:00:00Z"}
    return f"id: {sequence}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def test_stream_when_it_breaks_off_then_it_goes_on_after_the_last_event(use: Use, api: Api) -> None:
    """Each event once. Line separators of Unicode within a text do not end a line."""
    value = {"type": "json", "value": "a\u2028b\x85c"}
    broken = 'event: error\ndata: {"error": "x", "reason": "stream_error"}\n\n'
    api.on("GET", ONE, (200, RUNNING), (200, RUNNING), (200, {**RUNNING, "status": "COMPLETED"}))
    first = f"retry: 1\n\n{frame(1)}: keep-alive\n\n{frame(2, result=value)}{broken}"
    api.on("GET", STREAM, (200, first), (200, frame(3) + "id: 4\ndata: cut"), (200, ""))
    events = use("stream", of="e1", types=["ACTIVITY_TASK_COMPLETED"])
    assert [event.sequence for event in events] == [1, 2, 3]
    assert events[1].value == "a\u2028b\x85c"
    streams = [one for one in api.asked if one.url.path == STREAM]
    assert [one.url.params["start_seq"] for one in streams] == ["1", "3", "4"]
    assert {one.url.params["workflow_event_types"] for one in streams} == {"ACTIVITY_TASK_COMPLETED"}


def test_stream_when_the_api_ends_it_for_good_then_the_error_is_raised(use: Use, api: Api) -> None:
    """A reason that does not pass."""
    api.on("GET", ONE, (200, RUNNING))
    api.on("GET", STREAM, (200, 'event: error\ndata: {"error": "damaged", "reason": "internal_error"}\n\n'))
    with pytest.raises(ClientError, match="the stream broke off: damaged"):
        use("stream", of="e1")


def test_stream_when_it_is_elsewhere_then_the_ticket_leads_there_and_the_key_stays(use: Use, api: Api) -> None:
    """Of redirects, only the API's own are followed."""
    api.on("GET", ONE, (200, {**RUNNING, "status": "COMPLETED"}))
    api.on("GET", STREAM, (307, None))
    api.on("GET", "/there", (200, frame(1)), (200, ""))
    api.headers = {"Location": "https://stream.example/there?ticket=t"}
    assert [event.sequence for event in use("stream", of="e1")] == [1]
    there = [one for one in api.asked if one.url.path == "/there"]
    assert [(one.url.host, "Authorization" in one.headers) for one in there] == [("stream.example", False)] * 2
    api.headers = {"Location": "http://stream.example/there?ticket=t"}
    with pytest.raises(ClientError, match="redirects to"):
        use("stream", of="e1")


# --- encoded payloads -------------------------------------------------------------------------------------------------


def test_payloads_when_encrypted_then_the_api_sees_no_plain_value(use: Use, api: Api) -> None:
    """Input, messages, results and events, as workers encode them."""
    settings = EncodingSettings(
        payload_encryption=EncryptionSettings(mode=EncryptionMode.FULL, main_key=SecretStr("ab" * 16))
    )
    codec, context = PayloadCodec(settings), PayloadContext("ws", "e1")
    api.on("GET", "/v1/workflows/workers/whoami", (200, {"namespace": "ws"}))
    sealed = codec.encode(RESULT, context)
    api.on("POST", EXECUTE, (200, {"workflow_name": "shop", "execution_id": "e1", "result": sealed}))
    api.on("POST", f"{ONE}/signals", (202, {}))
    options = {"client": {"encoding": settings}}
    assert use("execute", Shop, ORDER, execution_id="e1", **options) == RECEIPT
    use("signal", Shop.approve, {"by": "kite"}, of="e1", **options)
    assert "kite" not in "".join(one.content.decode() for one in api.asked)
    assert codec.decode(api.bodies[0]["encoded_input"], context) == {"item": "kite", "cents": 3}
    assert codec.decode(api.bodies[1]["input"], context) == {"by": "kite"}
    payload = {"type": "json", "value": sealed["b64payload"], "encoding_options": sealed["encoding_options"]}
    api.on("GET", ONE, (200, {**RUNNING, "status": "COMPLETED"}))
    api.on("GET", STREAM, (200, frame(1, result=payload)), (200, ""))
    assert [event.value for event in use("stream", of="e1", **options)] == [RESULT]


# --- the clients themselves -------------------------------------------------------------------------------------------


def test_names_when_listed_then_all_of_them_are_there() -> None:
    """`__all__` is complete, errors and what is imported late included."""
    errors = {
        name for name, value in vars(client_errors).items() if isinstance(value, type) and issubclass(value, ClientError)
    }
    assert {name for name in errors if not name.startswith("_")} <= set(client_package.__all__)
    assert all(hasattr(client_package, name) for name in client_package.__all__)


def test_clients_when_compared_then_one_has_what_the_other_has() -> None:
    """Written twice where types ask for it: neither may be forgotten."""
    for blocking, awaited in ((Client, AsyncClient), (Handle, AsyncHandle)):
        for name, method in vars(blocking).items():
            if not name.startswith("_"):
                other = vars(awaited)[name]
                assert list(inspect.signature(method).parameters) == list(inspect.signature(other).parameters)
                assert method.__doc__ == other.__doc__.replace("AsyncHandle", "Handle")


def test_client_when_used_by_several_threads_then_each_gets_its_own_answer(api: Api) -> None:
    """One client for a whole program."""
    api.on("GET", ONE, (200, {**RUNNING, "status": "COMPLETED", "result": RESULT}))
    found: list[Receipt] = []
    with Client("http://127.0.0.1:1", "lev_k", transport=httpx.MockTransport(api)) as client:
        handle = client.handle("e1", Shop)
        threads = [threading.Thread(target=lambda: found.append(handle.result())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [RECEIPT] * 8
