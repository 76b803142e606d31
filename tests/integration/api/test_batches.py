"""Batch jobs over HTTP: previewed, started once, followed, aborted; in the audit trail with their filters."""

from typing import Any

import pytest

from levante_core.services.dispatch.sender import TIMERS_QUEUE
from tests.integration.api.harness import Answer, Api
from tests.integration.api.test_audit import entries

PATH = "/v1/batches"
CANCEL = {"kind": "cancel"}
GREETINGS = {"workflow_identifier": "greet"}
JOB = {"batch_id": "b1", "filter": GREETINGS, "action": CANCEL, "reason": "because"}
JOB_FIELDS = {
    *("batch_id", "status", "action", "filter", "reason", "requested_by", "created_at", "updated_at", "ended_at", "reached"),
    *("matched", "done", "skipped", "skipped_because", "failed"),
}


@pytest.fixture
def greeted(api: Api) -> Api:
    """Start three executions that nobody works on; the last one takes signals."""
    api.register("greet", signals=[{"name": "s", "input_schema": {"type": "object"}}])
    for number in range(3):
        api.start(f"e{number}")
        api.clock.advance(1)
    return api


def start(api: Api, key: str = "client", **changes: Any) -> Answer:
    """Start a job like `JOB`."""
    return api.call("POST", PATH, {**JOB, **changes}, key=key)


def step(api: Api) -> None:
    """Let the sweep ask for the step of each job that has stood still, and take it."""
    api.clock.advance(121)
    api.engine.due.sweep()
    while messages := api.queues.receive(TIMERS_QUEUE, limit=10, wait_seconds=0, visibility_seconds=60):
        for message in messages:
            api.engine.due.handle(message.body)
        api.queues.delete(TIMERS_QUEUE, [message.receipt for message in messages])


def test_preview_when_a_viewer_asks_then_it_counts_and_shows_some(greeted: Api) -> None:
    """Nothing is done to them."""
    answer = greeted.call("POST", f"{PATH}/preview", {"filter": GREETINGS}, key="viewer")
    assert (answer.status, answer.body.keys()) == (200, {"matched", "is_complete", "executions"})
    assert (answer.body["matched"], answer.body["is_complete"]) == (3, True)
    assert [one["execution_id"] for one in answer.body["executions"]] == ["e0", "e1", "e2"]
    assert answer.body["executions"][0].keys() == greeted.call("GET", "/v1/workflows/runs").body["executions"][0].keys()
    assert greeted.call("POST", f"{PATH}/preview", {}, key="viewer").body["matched"] == 3
    assert entries(greeted) == []


def test_job_when_started_then_every_field_is_there_and_says_who_asked_for_what(greeted: Api) -> None:
    """As it stands before its first step."""
    answer = start(greeted)
    assert (answer.status, answer.body.keys()) == (200, JOB_FIELDS)
    job = answer.body
    assert (job["status"], job["action"], job["filter"], job["reason"]) == ("RUNNING", CANCEL, GREETINGS, "because")
    assert (job["requested_by"]["key_name"], job["requested_by"]["role"]) == ("client", "client")
    assert (job["matched"], job["reached"], job["ended_at"], job["skipped_because"]) == (0, None, None, {})
    assert greeted.call("GET", f"{PATH}/b1", key="viewer").body == job
    assert start(greeted).body == job
    other = start(greeted, reason="something else")
    assert (other.status, other.body["code"]) == (409, "BATCH_EXISTS")


def test_job_when_it_takes_its_steps_then_it_tells_how_far_it_has_come(greeted: Api) -> None:
    """To the end, and with what failed."""
    assert start(greeted, action={"kind": "signal", "name": "s"}, input={"by": "ann"}).status == 200
    assert start(greeted, action={"kind": "signal", "name": "t"}, batch_id="b2").status == 200
    for _ in range(4):
        step(greeted)
    first, second = (greeted.call("GET", f"{PATH}/{one}").body for one in ("b1", "b2"))
    assert (first["status"], first["matched"], first["done"], first["failed"]) == ("COMPLETED", 3, 3, 0)
    assert (second["status"], second["matched"], second["done"], second["failed"]) == ("COMPLETED", 3, 0, 3)
    assert second["reached"] == greeted.call("GET", "/v1/workflows/executions/e2").body["start_time"]
    found, query = [], {"limit": 2}
    while query.get("cursor", "") is not None:
        page = greeted.call("GET", f"{PATH}/b2/failures", query=query, key="viewer").body
        found += page["failures"]
        query["cursor"] = page["next_cursor"]
    assert [one["execution_id"] for one in found] == ["e0", "e1", "e2"]
    assert all(one.keys() == {"execution_id", "run_id", "at", "reason"} for one in found)
    assert greeted.call("GET", f"{PATH}/b1/failures").body == {"failures": [], "next_cursor": None}


def test_jobs_when_listed_then_the_newest_comes_first_page_by_page(greeted: Api) -> None:
    """Those with a status, too."""
    for number in range(3):
        start(greeted, batch_id=f"b{number}")
        greeted.clock.advance(1)
    greeted.call("POST", f"{PATH}/b1/abort", key="client")
    page = greeted.call("GET", PATH, query={"limit": 2}, key="viewer").body
    rest = greeted.call("GET", PATH, query={"limit": 2, "cursor": page["next_cursor"]}).body
    assert [one["batch_id"] for one in (*page["batches"], *rest["batches"])] == ["b2", "b1", "b0"]
    assert rest["next_cursor"] is None
    stopped = greeted.call("GET", PATH, query={"status": "ABORTED"}).body["batches"]
    assert [(one["batch_id"], one["status"]) for one in stopped] == [("b1", "ABORTED")]


def test_job_when_aborted_then_204_and_once_more_but_not_when_it_has_ended(greeted: Api) -> None:
    """It says how it has ended."""
    start(greeted)
    assert [greeted.call("POST", f"{PATH}/b1/abort", key="client").status for _ in range(2)] == [204, 204]
    start(greeted, batch_id="b2", filter={"search": "nobody"})
    step(greeted)
    answer = greeted.call("POST", f"{PATH}/b2/abort", key="client")
    assert (answer.status, answer.body["code"]) == (409, "NOT_APPLICABLE")
    assert "COMPLETED" in answer.body["detail"]


def test_job_when_its_filter_names_the_caller_then_it_is_about_what_that_key_started(greeted: Api) -> None:
    """Also when a step is taken, where there is no caller."""
    greeted.call("POST", "/v1/workflows/greet/execute", {"execution_id": "mine", "input": {"a": 1}}, key="admin")
    greeted.clock.advance(1)
    job = start(greeted, "admin", filter={"user_id": "current"}, action={"kind": "terminate"}).body
    assert job["filter"]["user_id"] == job["requested_by"]["key_id"]
    for _ in range(3):
        step(greeted)
    statuses = [greeted.call("GET", f"/v1/workflows/executions/{one}").body["status"] for one in ("e0", "mine")]
    assert statuses == ["RUNNING", "TERMINATED"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"filter": {}}, ["body", "filter"]),
        ({"everything": True}, ["body", "everything"]),
        ({"input": {"a": 1}}, ["body", "input"]),
        ({"batch_id": "no id"}, ["body", "batch_id"]),
        ({"action": {"kind": "explode"}}, ["body", "action"]),
        ({"action": {"kind": "signal"}}, ["body", "action", "signal", "name"]),
        ({"filter": {"status": ["DEAD"]}}, ["body", "filter", "status"]),
        ({"filter": {"start_time_after": "yesterday"}}, ["body", "filter", "start_time_after"]),
        ({"filter": {"start_time_after": 5}}, ["body", "filter", "start_time_after"]),
        ({"filter": {"page_size": 5}}, ["body", "filter", "page_size"]),
        ({"reason": "x" * 1001}, ["body", "reason"]),
    ],
    ids=str,
)
def test_job_when_it_is_asked_for_in_a_wrong_way_then_422_says_where(
    greeted: Api, changes: dict[str, Any], place: list[str]
) -> None:
    """And nothing is started."""
    answer = start(greeted, **changes)
    assert (answer.status, answer.body["detail"][0]["loc"][: len(place)]) == (422, place)
    assert greeted.call("GET", PATH).body["batches"] == []


def test_job_when_its_workflow_is_not_known_then_404(greeted: Api) -> None:
    """For a preview as well."""
    assert start(greeted, filter={"workflow_identifier": "gret"}).status == 404
    body = {"filter": {"workflow_identifier": "gret"}}
    assert greeted.call("POST", f"{PATH}/preview", body).status == 404


def test_job_when_started_then_the_trail_has_its_filter_and_no_payload(greeted: Api) -> None:
    """Once, however many executions it acts on."""
    start(greeted, action={"kind": "signal", "name": "s"}, input={"card": 4111})
    for _ in range(2):
        step(greeted)
    (entry,) = entries(greeted)
    assert (entry["operation"], entry["key_name"]) == ("start_batch", "client")
    details = entry["details"]
    assert (details["batch_id"], details["reason"], details["everything"]) == ("b1", "because", "false")
    assert '"greet"' in details["filter"]
    assert '"signal"' in details["action"]
    assert "4111" not in str(entry)


def test_job_when_another_workspace_asks_then_it_is_not_there(greeted: Api) -> None:
    """Nor does a job of theirs find anything of ours."""
    start(greeted)
    for method, path in (("GET", "b1"), ("GET", "b1/failures"), ("POST", "b1/abort")):
        assert greeted.call(method, f"{PATH}/{path}", key="stranger").status == 404
    assert greeted.call("GET", PATH, key="stranger").body["batches"] == []
    assert greeted.call("POST", f"{PATH}/preview", {}, key="stranger").body["matched"] == 0
    theirs = {"batch_id": "b1", "everything": True, "action": {"kind": "terminate"}}
    assert greeted.call("POST", PATH, theirs, key="stranger").status == 200
    for _ in range(2):
        step(greeted)
    assert greeted.call("GET", f"{PATH}/b1", key="stranger").body["matched"] == 0
    assert greeted.call("GET", "/v1/workflows/executions/e0").body["status"] == "RUNNING"
