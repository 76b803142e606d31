"""Explain and repairs by hand over HTTP: what is asked, what is answered, what is refused."""

from typing import Any

import pytest

from tests.integration.api.harness import Answer, Api

E1 = "/v1/workflows/executions/e1"
WAIT_FIELDS = {
    *("kind", "message", "since", "until", "seq", "name", "attempt", "max_attempts", "failure", "worker", "heartbeat_at"),
    *("child_execution_id", "signals", "updates", "actor", "remedies"),
}


@pytest.fixture
def waiting(api: Api) -> Api:
    """Start an execution that waits for an activity (1), a timer (2) and a child (3)."""
    api.register("greet")
    api.start("e1")
    (task,) = api.poll()
    scheduled = {"kind": "activity_scheduled", "seq": 1, "name": "charge", "input": {}}
    timer = {"kind": "timer_started", "seq": 2, "fire_at": "2099-01-01T00:00:00Z"}
    child = {"kind": "child_scheduled", "seq": 3, "workflow_name": "greet", "execution_id": "c1", "input": {"a": 1}}
    api.commit(task, scheduled, timer, {**child, "close_policy": "abandon"})
    return api


def explained(api: Api, key: str = "viewer") -> Answer:
    """Explain the execution."""
    return api.call("GET", f"{E1}/explain", key=key)


def test_explain_when_a_viewer_asks_then_every_field_is_there(waiting: Api) -> None:
    """What does not apply is null, so that typed clients need not look whether it is there."""
    answer = explained(waiting)
    assert (answer.status, answer.body.keys()) == (200, {"execution_id", "run_id", "status", "summary", "waits"})
    assert (answer.body["execution_id"], answer.body["status"]) == ("e1", "RUNNING")
    assert [wait["kind"] for wait in answer.body["waits"]] == ["activity_queued", "timer", "child"]
    assert all(wait.keys() == WAIT_FIELDS for wait in answer.body["waits"])
    assert waiting.call("GET", "/v1/workflows/executions/nobody/explain").status == 404


BODIES: dict[str, Any] = {
    "activities/1/complete": {"result": {"paid": 1}, "reason": "by telephone"},
    "activities/1/fail": {"message": "no"},
    "timers/2/skip": {},
    "children/3/complete": {"result": None},
    "children/3/fail": {"message": "no", "type": "Lost"},
}


@pytest.mark.parametrize("path", BODIES)
def test_repair_when_done_and_repeated_then_204_and_it_is_waited_for_no_longer(waiting: Api, path: str) -> None:
    """A worker takes in the outcome."""
    seq = int(path.split("/")[1])
    for _ in range(2):
        answer = waiting.call("POST", f"{E1}/{path}", BODIES[path], key="client")
        assert (answer.status, answer.body) == (204, None)
    waits = explained(waiting).body["waits"]
    assert waits[0]["kind"] == "workflow_task_queued"
    assert seq not in [wait["seq"] for wait in waits]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("activities/1/retry", {}, 409, "NOT_APPLICABLE"),
        ("activities/2/complete", {"result": 1}, 404, "WF_1100"),
        ("timers/1/skip", {}, 404, "WF_1100"),
        ("timers/x/skip", {}, 404, "WF_1100"),
        ("timers/-1/skip", {}, 404, "WF_1100"),
        ("activities/1/complete", {}, 422, "WF_1001"),
        ("activities/1/complete", {"result": 1, "why": "x"}, 422, "WF_1001"),
        ("activities/1/fail", {"message": ""}, 422, "WF_1001"),
        ("timers/2/skip", {"reason": "x" * 1001}, 422, "WF_1001"),
    ],
)
def test_repair_when_it_cannot_be_done_then_the_answer_says_so_and_nothing_changes(
    waiting: Api, path: str, body: Any, status: int, code: str
) -> None:
    """With what can be done."""
    before = explained(waiting).body
    answer = waiting.call("POST", f"{E1}/{path}", body, key="client")
    assert answer.status == status
    assert answer.body.get("code", "WF_1001") == code
    assert explained(waiting).body == before


def test_repair_when_the_execution_has_ended_then_409_says_how(waiting: Api) -> None:
    """Nothing can be repaired any more."""
    waiting.call("POST", f"{E1}/terminate")
    answer = waiting.call("POST", f"{E1}/timers/2/skip", {})
    assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "WF_1102", "TERMINATED")
    assert (explained(waiting).body["status"], explained(waiting).body["waits"]) == ("TERMINATED", [])


# --- where it can go on anew, once more, deleted ----------------------------------------------------------------------


def test_reset_points_when_listed_page_by_page_then_each_is_there_once(api: Api) -> None:
    """And is one that a reset takes."""
    api.register("greet")
    api.start("e1")
    (task,) = api.poll()
    api.commit(task, {"kind": "activity_scheduled", "seq": 1, "name": "charge", "input": {}})
    first = api.call("GET", f"{E1}/reset-points", query="limit=1", key="viewer").body
    assert ([point["kind"] for point in first["points"]], first["next_after"]) == (["execution_started"], 1)
    second = api.call("GET", f"{E1}/reset-points", query="limit=1&after=1").body
    assert ([(point["event_id"], point["name"]) for point in second["points"]], second["next_after"]) == (
        [(2, "charge")],
        None,
    )
    assert api.call("POST", f"{E1}/reset", {"event_id": 2}).status == 204
    assert api.call("GET", f"{E1}/reset-points", query="limit=0").status == 422


def test_rerun_when_asked_for_then_the_answer_is_that_of_a_start(api: Api) -> None:
    """With the input of before, or another one that fits."""
    api.register("greet")
    api.start("e1")
    answer = api.call("POST", f"{E1}/rerun", {"execution_id": "e2"}, key="client")
    assert (answer.status, answer.body["execution_id"], answer.body["status"]) == (200, "e2", "RUNNING")
    assert api.call("POST", f"{E1}/rerun", {"execution_id": "e2"}).status == 409
    assert api.call("POST", f"{E1}/rerun", {"input": {"a": "no number"}}).status == 422
    assert api.call("POST", f"{E1}/rerun", {"input": {"a": 1}, "encoded_input": {}}).status == 422


def test_delete_when_the_execution_has_ended_then_204_and_it_is_gone(api: Api) -> None:
    """An open one is not deleted."""
    api.register("greet")
    api.start("e1")
    refused = api.call("DELETE", E1, key="client")
    assert (refused.status, refused.body["code"]) == (409, "NOT_APPLICABLE")
    api.call("POST", f"{E1}/terminate")
    assert api.call("DELETE", E1, key="client").status == 204
    assert [api.call(method, E1).status for method in ("GET", "DELETE")] == [404, 404]


# --- histories page by page -------------------------------------------------------------------------------------------


def test_history_when_read_page_by_page_then_the_pages_are_the_whole(waiting: Api) -> None:
    """From either end, of an execution and of its run, for whoever may read."""
    whole = waiting.call("GET", f"{E1}/history").body
    assert whole["next_after"] is None
    run = f"/v1/workflows/runs/{whole['run_id']}/history"
    for path in (f"{E1}/history", run):
        first = waiting.call("GET", path, query="limit=3", key="viewer").body
        second = waiting.call("GET", path, query=f"limit=3&after={first['next_after']}").body
        assert [*first["events"], *second["events"]] == whole["events"]
        assert (first.keys(), second["next_after"]) == (whole.keys(), None)
        newest = waiting.call("GET", path, query="order=desc&kinds=timer_started&kinds=child_scheduled").body
        assert [event["kind"] for event in newest["events"]] == ["child_scheduled", "timer_started"]
    bare = waiting.call("GET", f"{E1}/history", query="include_payloads=false").body
    assert not any("input" in event for event in bare["events"])
    assert waiting.call("GET", f"{E1}/history", query="after=4&wait_seconds=0").body["events"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "order=up", "kinds=nothing", "wait_seconds=-1", "after=-1"])
def test_history_when_the_page_is_none_then_422(waiting: Api, query: str) -> None:
    """A filter that is not applied would lie."""
    assert waiting.call("GET", f"{E1}/history", query=query).status == 422
