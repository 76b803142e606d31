"""Messages, streams and encoded payloads of the client, and what the clients have in common."""

import inspect
import json
import threading
from datetime import date
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from levante import client as client_package
from levante.client import (
    AsyncClient,
    AsyncHandle,
    Client,
    ClientError,
    ExecutionClosed,
    Handle,
    HandlerFailed,
    NotReady,
    UnexpectedAnswer,
)
from levante.client import errors as client_errors
from levante.encoding import EncodingSettings, EncryptionMode, EncryptionSettings, PayloadCodec, PayloadContext
from levante.errors import WorkflowsException
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
    Receipt,
    Shop,
    Use,
    api,
    brief_pauses,
    use,
)

__all__ = ["api", "brief_pauses", "use"]


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


def test_explain_when_asked_then_it_is_typed(use: Use, api: Api) -> None:
    """What a later version adds is passed over."""
    wait = {"kind": "timer", "message": "m", "until": "2026-01-01T00:00:00Z", "seq": 1, "actor": "nobody", "new": 1}
    answer = {"execution_id": "e1", "run_id": "r", "status": "RUNNING", "summary": "s", "waits": [wait]}
    api.on("GET", f"{ONE}/explain", (200, answer), (200, {"waits": []}))
    found = use("explain", of="e1")
    assert (found.summary, found.waits[0].kind, found.waits[0].until.year) == ("s", "timer", 2026)
    with pytest.raises(UnexpectedAnswer):
        use("explain", of="e1")


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
