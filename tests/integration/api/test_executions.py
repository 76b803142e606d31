import dataclasses
import json
from datetime import timedelta
from typing import Any

import pytest

from levante_api.app import create_app
from levante_api.streams import redirects as elsewhere_module
from levante_local.payload_files import PayloadFiles
from tests.integration.api.harness import SETTINGS, Api, completed, failed, outcomes

NOW = "2026-01-01T00:00:00.000000Z"
VALID = "00-11111111111111111111111111111111-2222222222222222-01"
OTHER = "00-33333333333333333333333333333333-4444444444444444-00"
ALL_ZERO = "00-00000000000000000000000000000000-2222222222222222-01"

KEYS_OF_AN_EXECUTION = {
    "workflow_name", "execution_id", "root_execution_id", "status", "start_time", "end_time", "result", "input",
    "workflow_id", "deployment_name", "parent_execution_id", "run_id", "user_id", "total_duration_ms", "search_keys",
    "failure", "build_id", "parked", "blockers", "deadline_at", "paused_at",
}  # fmt: skip


def test_execute_when_started_then_every_key_is_there_and_what_is_open_is_null(api: Api) -> None:
    """A client cannot decode an execution that lacks a nullable key."""
    registered = api.register("greet")
    answer = api.call("POST", "/v1/workflows/greet/execute", {"execution_id": "e1", "input": {"a": 1}}, key="client")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.body.keys() == KEYS_OF_AN_EXECUTION
    assert answer.body.pop("run_id")
    assert answer.body == {
        "workflow_name": "greet",
        "execution_id": "e1",
        "root_execution_id": "e1",
        "status": "RUNNING",
        "start_time": NOW,
        "end_time": None,
        "result": None,
        "input": None,
        "workflow_id": registered["workflow_registration_refs"][0]["workflow_id"],
        "deployment_name": "prod",
        "parent_execution_id": None,
        "user_id": next(one["key_id"] for one in api.call("GET", "/v1/keys").body["keys"] if one["name"] == "client"),
        "total_duration_ms": None,
        "search_keys": None,
        "failure": None,
        "build_id": None,
        "parked": None,
        "blockers": None,
        "deadline_at": "2026-01-01T01:00:00.000000Z",
        "paused_at": None,
    }


def test_execute_by_id_and_by_registration_when_started_then_it_is_the_same_workflow(api: Api) -> None:
    """A workflow goes by its name, its id, or what a deployment registered of it."""
    (ref,) = api.register("greet")["workflow_registration_refs"]
    by_id = api.call("POST", f"/v1/workflows/{ref['workflow_id']}/execute", {"input": {"a": 1}})
    path = f"/v1/workflows/registrations/{ref['workflow_registration_id']}/execute"
    by_registration = api.call("POST", path, {"input": {"a": 1}})
    assert (by_id.status, by_registration.status) == (200, 200)
    assert by_id.body["workflow_name"] == by_registration.body["workflow_name"] == "greet"
    assert by_id.body["execution_id"] != by_registration.body["execution_id"]


def test_execute_when_it_waits_for_what_fails_then_409_says_why(api: Api) -> None:
    """A caller who waits for a result that will never be is told so, never with a 2xx."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    api.commit(delivered, failed("no such greeting"))
    closed = api.call("GET", "/v1/workflows/executions/e1")
    assert (closed.body["status"], closed.body["failure"]["message"]) == ("FAILED", "no such greeting")
    assert closed.body["result"] is None


def test_execute_when_the_wait_is_over_then_504_names_the_execution_which_goes_on(api: Api) -> None:
    """A wait that was in vain costs nothing: the caller has the id, and the execution carries on."""
    api.register("greet")
    body = {"execution_id": "e1", "input": {"a": 1}, "wait_for_result": True, "timeout_seconds": 0}
    answer = api.call("POST", "/v1/workflows/greet/execute", body)
    assert answer.status == 504
    assert (answer.body["code"], answer.body["execution_id"]) == ("WF_1103", "e1")
    assert "still running" in answer.body["detail"]
    assert api.call("GET", "/v1/workflows/executions/e1").body["status"] == "RUNNING"


def test_execute_when_the_wait_is_longer_than_allowed_then_it_is_cut(api: Api) -> None:
    """API Gateway would cut the connection: the API answers before that."""
    api.register("greet")
    api.handler = create_app(api.engine, type(SETTINGS)(max_wait_seconds=0, quiet=True))
    body = {"input": {"a": 1}, "wait_for_result": True, "timeout_seconds": 3600}
    assert api.call("POST", "/v1/workflows/greet/execute", body).status == 504


@pytest.mark.parametrize(
    ("in_body", "in_header", "kept"),
    [
        (VALID, OTHER, VALID),  # the body is authoritative
        (None, OTHER, OTHER),
        ("no trace", OTHER, OTHER),  # malformed: as if it were not there
        (ALL_ZERO, None, None),
        (VALID.upper().replace("1", "A"), None, None),
        ("ff" + VALID[2:], None, None),
        (VALID + "0", None, None),
    ],
)
def test_traceparent_when_sent_then_only_a_valid_one_is_kept(
    api: Api, in_body: str | None, in_header: str | None, kept: str | None
) -> None:
    """Tracing never fails a request."""
    api.register("greet")
    body = {"execution_id": "e1", "input": {"a": 1}, "traceparent": in_body}
    headers = {"traceparent": in_header} if in_header else {}
    assert api.call("POST", "/v1/workflows/greet/execute", body, headers=headers).status == 200
    assert api.engine.executions.get(api.home, "e1").tracing.traceparent == kept


def test_execute_when_tracing_fields_are_sent_then_they_are_kept(api: Api) -> None:
    """What is not interpreted is handed on unchanged."""
    api.register("greet")
    api.start("e1", custom_tracing_attributes={"k": "v"}, force_new_trace=True, extensions={"x": [1]})
    tracing = api.engine.executions.get(api.home, "e1").tracing
    assert (tracing.attributes, tracing.force_new_trace, tracing.extensions) == ({"k": "v"}, True, {"x": [1]})


@pytest.mark.parametrize(
    "named", [{"deployment_name": "prod"}, {"task_queue": "prod"}, {"deployment_name": "prod", "task_queue": "prod"}]
)
def test_execute_when_several_deployments_serve_it_then_the_named_one_runs_it(api: Api, named: dict[str, str]) -> None:
    """task_queue is the older name of deployment_name."""
    api.register("greet")
    api.register("greet", deployment="beta", worker="w2")
    assert api.start("e1", **named)["deployment_name"] == "prod"


def test_execute_when_several_deployments_serve_it_and_none_is_named_then_409_lists_them(api: Api) -> None:
    """The API never guesses between two active deployments."""
    api.register("greet")
    api.register("greet", deployment="beta", worker="w2")
    answer = api.call("POST", "/v1/workflows/greet/execute", {"input": {"a": 1}})
    assert answer.status == 409
    assert (answer.body["code"], answer.body["deployments"]) == ("AMBIGUOUS_WORKFLOW", ["beta", "prod"])


def test_execute_when_the_id_is_running_then_409_and_when_closed_then_it_is_free(api: Api) -> None:
    """At most one run of an execution is open."""
    api.register("greet")
    first = api.start("e1")
    again = api.call("POST", "/v1/workflows/greet/execute", {"execution_id": "e1", "input": {"a": 1}})
    assert (again.status, again.body["code"]) == (409, "WF_1101")
    api.complete("e1")
    assert api.start("e1")["run_id"] != first["run_id"]


def test_execution_when_completed_then_result_end_and_duration_are_told(api: Api) -> None:
    """What a poller waits for."""
    api.register("greet")
    api.start("e1")
    api.clock.advance(1.5)
    api.complete("e1", {"result": [1, None, "ü"]})
    body = api.call("GET", "/v1/workflows/executions/e1", query={"include_search_keys": "true"}).body
    assert body.keys() == KEYS_OF_AN_EXECUTION
    assert (body["status"], body["result"]) == ("COMPLETED", {"result": [1, None, "ü"]})
    assert (body["end_time"], body["total_duration_ms"]) == ("2026-01-01T00:00:01.500000Z", 1500)
    assert body["search_keys"] == {}


@pytest.mark.parametrize("query", ["", "decode_payloads=true", "decode_payloads=false"])
def test_history_when_asked_for_then_events_come_in_order(api: Api, query: str) -> None:
    """The history is JSON for people and tools; decode_payloads has nothing to decode."""
    api.register("greet")
    api.start("e1")
    api.complete("e1", {"result": 1})
    answer = api.call("GET", "/v1/workflows/executions/e1/history", query=query, key="worker")
    assert answer.status == 200
    assert [one["kind"] for one in answer.body["events"]] == ["execution_started", "execution_completed"]


def test_history_when_it_is_larger_than_a_lambda_answers_then_it_is_told_where_streams_are(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticket opens the way, as clients do not send their key to another host. The one-machine host answers itself."""
    api.register("greet")
    api.start("e1")
    path = "/v1/workflows/executions/e1/history"
    whole = api.call("GET", path, query="decode_payloads=true")
    monkeypatch.setattr(elsewhere_module, "LARGEST_ANSWER", len(json.dumps(json.dumps(whole.body, separators=(",", ":")))))
    assert api.call("GET", path).status == 200
    monkeypatch.setattr(elsewhere_module, "LARGEST_ANSWER", elsewhere_module.LARGEST_ANSWER - 1)
    elsewhere = api.call("GET", path, query="decode_payloads=true", key="client")
    assert elsewhere.status == 307
    (location,) = (value for name, value in elsewhere.headers.items() if name.lower() == "location")
    assert location.startswith(f"https://streams.example{path}?decode_payloads=true&ticket=")
    api.handler = create_app(api.engine, dataclasses.replace(SETTINGS, streams_at=None))
    assert api.call("GET", path).body == whole.body


def test_terminate_when_running_then_204_without_a_body_and_afterwards_409(api: Api) -> None:
    """The official client takes nothing but an empty 204."""
    api.register("greet")
    api.start("e1")
    answer = api.call("POST", "/v1/workflows/executions/e1/terminate", key="client")
    assert (answer.status, answer.body) == (204, None)
    again = api.call("POST", "/v1/workflows/executions/e1/terminate", key="client")
    assert (again.status, again.body["code"], again.body["status"]) == (409, "WF_1102", "TERMINATED")


def test_reset_when_the_event_is_wrong_then_the_valid_ones_are_beside_the_detail(api: Api) -> None:
    """The contract's place for them; a valid one is answered with an empty 204."""
    api.register("greet")
    api.start("e1")
    wrong = api.call("POST", "/v1/workflows/executions/e1/reset", {"event_id": 5}, key="client")
    assert (wrong.status, wrong.body["code"], wrong.body["valid_reset_events"]) == (422, "WF_1001", [1])
    assert wrong.body["detail"][0]["loc"] == ["body", "event_id"]
    right = api.call("POST", "/v1/workflows/executions/e1/reset", {"event_id": 1}, key="client")
    assert (right.status, right.body) == (204, None)
    assert api.call("POST", "/v1/workflows/executions/nobody/reset", {"event_id": 1}).status == 404


def test_batch_terminate_when_some_are_closed_or_unknown_then_each_has_its_own_result(api: Api) -> None:
    """One id that cannot be ended stops no other."""
    api.register("greet")
    for execution_id in ("e1", "e2"):
        api.start(execution_id)
    api.complete("e1")
    answer = api.call("POST", "/v1/workflows/executions/terminate", {"execution_ids": ["e1", "e2", "e2", "nobody"]})
    assert answer.status == 200
    results: dict[str, Any] = answer.body["results"]
    assert {name: one["status"] for name, one in results.items()} == {"e1": "failure", "e2": "success", "nobody": "failure"}
    assert "COMPLETED" in results["e1"]["error"]
    assert results["e2"]["error"] is None


@pytest.mark.parametrize("count", [0, 101])
def test_batch_terminate_when_there_are_none_or_too_many_ids_then_422(api: Api, count: int) -> None:
    """1 to 100 ids per call."""
    answer = api.call("POST", "/v1/workflows/executions/terminate", {"execution_ids": [f"e{n}" for n in range(count)]})
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"] == ["body", "execution_ids"]


def test_completed_when_committed_twice_then_it_is_recorded_once(api: Api) -> None:
    """A commit may be repeated: its answer may have been lost."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    assert [outcomes(api.commit(delivered, completed({"n": 1}))) for _ in range(2)] == [["recorded"], ["recorded"]]
    assert len(api.call("GET", "/v1/workflows/executions/e1/history").body["events"]) == 2


# --- what is in the way -----------------------------------------------------------------------------------------------


def stuck(api: Api) -> None:
    """Start an execution whose code fails, and let a moment pass in which its worker goes away."""
    api.register("greet")
    api.start("e1")
    (delivered,) = api.poll()
    failure = {"type": "KeyError", "message": "'name'"}
    failed_task = {"token": delivered["task"]["token"], "receipt": delivered["receipt"], "attempt": 1, "failure": failure}
    api.call("POST", "/v1/workflows/workers/workflow-task-failures", failed_task, key="worker")
    api.clock.advance(70)


def test_execution_when_its_code_fails_and_nobody_is_there_then_both_are_told(api: Api) -> None:
    """By its status, in fields that the official client ignores; the newer an execution, the less there is to say."""
    stuck(api)
    body = api.call("GET", "/v1/workflows/executions/e1").body
    assert [one["kind"] for one in body["blockers"]] == ["code_failing", "no_worker"]
    assert body["blockers"][0]["failure"]["type"] == "KeyError"
    assert body["deadline_at"] == "2026-01-01T01:00:00.000000Z"
    api.start("e2")
    assert api.call("GET", "/v1/workflows/executions/e2").body["blockers"] is None
    query = {"is_blocked": "true", "include_blockers": "true"}
    (run,) = api.call("GET", "/v1/workflows/runs", query=query).body["executions"]
    assert (run["execution_id"], run["blockers"]) == ("e1", body["blockers"])
    assert api.call("GET", f"/v1/workflows/runs/{run['run_id']}").body["blockers"] == body["blockers"]
    metrics = api.call("GET", "/v1/workflows/greet/metrics").body
    assert (metrics["execution_count"]["value"], metrics["blocked_count"]["value"]) == (1, 1)


def test_execute_when_the_wait_is_over_then_504_says_what_was_in_the_way(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The official client shows the text of the error and nothing else."""
    monkeypatch.setattr("levante_core.services.executions.blockers.SETTLING", timedelta(0))
    api.register("greet")
    seconds = {"wait_for_result": True, "timeout_seconds": 0}
    detail = api.call("POST", "/v1/workflows/greet/execute", {"input": {"a": 1}, **seconds}).body["detail"]
    assert "it goes on: ask for it again; no worker of deployment 'prod' is there: start one (`levante worker" in detail


def test_get_when_asked_for_the_input_then_it_is_that_of_the_latest_run(api: Api) -> None:
    """Whoever wants to start the same again need not read the history."""
    api.register("greet")
    api.start("e1")
    path = "/v1/workflows/executions/e1"
    assert api.call("GET", path, key="viewer", query="include_input=true").body["input"] == {"a": 1}
    assert api.call("GET", path, key="viewer").body["input"] is None
    (delivered,) = api.poll()
    api.commit(delivered, completed({}))
    closed = api.call("GET", path, key="viewer", query="include_input=true").body
    assert (closed["status"], closed["input"]) == ("COMPLETED", {"a": 1})


def test_get_when_nobody_asks_for_the_input_then_a_large_one_is_not_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input over 64 KiB is kept apart: polling the status does not pay for it, and whoever asks for it pays once."""
    read: list[str] = []
    get = PayloadFiles.get

    def counted(files: PayloadFiles, place: str, sha256: str) -> bytes:
        read.append(sha256)
        return get(files, place, sha256)

    monkeypatch.setattr(PayloadFiles, "get", counted)
    api.register("any", input_schema={})
    large = {"text": "x" * 100_000}
    started = api.call("POST", "/v1/workflows/any/execute", {"execution_id": "e1", "input": large})
    assert started.status == 200, started
    read.clear()
    path = "/v1/workflows/executions/e1"
    assert api.call("GET", path).body["input"] is None
    assert read == []
    assert api.call("GET", path, query="include_input=true").body["input"] == large
    assert len(read) == 1
