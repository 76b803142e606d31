"""Events of custom tasks that are sent to the API: into the stream of an open execution, each once, or not at all."""

import json
import threading
from typing import Any

import pytest
from mistralai.client.models import ListWorkflowEventResponse

from levante_api.streams.models import EVENT_BYTES, EventBody, outside_events
from levante_core.domain.dispatch.plan import StartChild
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ChildScheduled, ParentClosePolicy
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotRunning
from levante_core.services.streams.external_events import EVENTS_AT_ONCE, OutsideEventService
from tests.integration.api.harness import HOME, Answer, Api
from tests.support.faults import OvertakenStore

ONE, MANY, LIST = "/v1/workflows/events", "/v1/workflows/events/batch", "/v1/workflows/events/list"
TASK = {"custom_task_id": "t", "custom_task_type": "token"}
PAYLOAD = {"type": "json", "value": {"text": ""}, "encoding_options": None}
APPEND = {"type": "json_patch", "value": [{"op": "append", "path": "/text", "value": "a"}]}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "CUSTOM_TASK_STARTED": {**TASK, "payload": PAYLOAD},
    "CUSTOM_TASK_IN_PROGRESS": {**TASK, "payload": APPEND},
    "CUSTOM_TASK_COMPLETED": {**TASK, "payload": PAYLOAD},
    "CUSTOM_TASK_FAILED": {**TASK, "failure": {"message": "no"}},
    "CUSTOM_TASK_TIMED_OUT": {**TASK, "timeout_type": "START_TO_CLOSE"},
    "CUSTOM_TASK_CANCELED": {**TASK, "reason": None},
}
DEEP = json.loads("[" * 101 + "]" * 101)


@pytest.fixture
def run_id(api: Api) -> str:
    """Run of the open execution `e`."""
    api.register("greet")
    return str(api.start("e")["run_id"])


def event(run_id: str, event_id: str = "1", /, kind: str = "CUSTOM_TASK_IN_PROGRESS", **changes: Any) -> dict[str, Any]:
    sent = {
        "event_id": event_id,
        "event_timestamp": 1_767_225_600_000_000_000,
        "root_workflow_exec_id": "e",
        "parent_workflow_exec_id": None,
        "workflow_exec_id": "e",
        "workflow_run_id": run_id,
        "workflow_name": "greet",
        "event_type": kind,
        "attributes": ATTRIBUTES.get(kind, {}),
    }
    return {**sent, **changes}


def send(api: Api, *events: Any, key: str = "worker") -> Answer:
    return api.call("POST", MANY, {"events": list(events)}, key=key)


def place_of(answer: Answer) -> list[str | int]:
    """Return where the first problem is, without the names of the kinds of events."""
    return [part for part in answer.body["detail"][0]["loc"] if part not in ATTRIBUTES]


def stream_events(api: Api, execution_id: str = "e") -> list[dict[str, Any]]:
    """Return what the stream has, read to its end."""
    answer = api.call("GET", LIST, query={"root_workflow_exec_id": execution_id, "limit": 1000}, key="client")
    assert answer.status == 200
    ListWorkflowEventResponse.model_validate(answer.body)
    found: list[dict[str, Any]] = answer.body["events"]
    return found


def ids(api: Api) -> list[str]:
    return [one["event_id"] for one in stream_events(api)[1:]]


# --- what is taken ----------------------------------------------------------------------------------------------------


def test_event_when_it_is_of_a_custom_task_then_it_is_in_the_stream_as_it_was_sent(api: Api, run_id: str) -> None:
    """All six types, after what the history tells, and readable by the official client."""
    sent = [event(run_id, f"id {number}", kind) for number, kind in enumerate(ATTRIBUTES)]
    for one in sent:
        answer = api.call("POST", ONE, {"event": one}, key="worker")
        assert (answer.status, answer.body) == (200, {"status": "success", "message": None})
    started, *rest = stream_events(api)
    assert started["event_type"] == "WORKFLOW_EXECUTION_STARTED"
    assert [one["event_type"] for one in rest] == list(ATTRIBUTES)
    for one, found in zip(sent, rest, strict=True):
        assert {name: found[name] for name in ("event_id", "event_timestamp")} == {
            name: one[name] for name in ("event_id", "event_timestamp")
        }
        attributes = {name: value for name, value in found["attributes"].items() if name != "payload"}
        assert attributes == {name: value for name, value in one["attributes"].items() if name != "payload"}
    assert rest[1]["attributes"]["payload"]["value"] == APPEND["value"]


def test_event_when_it_starts_a_task_without_a_state_then_its_payload_is_null(api: Api, run_id: str) -> None:
    """Clients want a payload there."""
    assert send(api, event(run_id, kind="CUSTOM_TASK_STARTED", attributes=TASK)).status == 200
    assert stream_events(api)[1]["attributes"]["payload"] == {"type": "json", "value": None, "encoding_options": None}


def test_events_when_they_come_together_then_they_are_published_in_order(api: Api, run_id: str) -> None:
    """Also more than a transaction takes, and with an id twice among them."""
    sent = [event(run_id, str(number)) for number in range(2 * EVENTS_AT_ONCE + 3)]
    answer = send(api, *sent, sent[0])
    assert (answer.status, answer.body) == (
        200,
        {"status": "success", "message": None, "events_received": len(sent) + 1},
    )
    assert ids(api) == [one["event_id"] for one in sent]


def test_events_when_they_come_again_then_they_are_known_by_their_ids(api: Api, run_id: str) -> None:
    """However late, and whatever else comes with them; what was told first stays."""
    assert send(api, event(run_id, "1"), event(run_id, "2")).status == 200
    assert send(api, *(event(run_id, f"later {number}") for number in range(50))).status == 200
    again = event(run_id, "2", kind="CUSTOM_TASK_FAILED")
    assert send(api, event(run_id, "3"), again, event(run_id, "1"), event(run_id, "4")).status == 200
    assert ids(api) == ["1", "2", *(f"later {number}" for number in range(50)), "3", "4"]
    assert stream_events(api)[2]["event_type"] == "CUSTOM_TASK_IN_PROGRESS"


def test_events_when_many_send_the_same_at_once_then_each_is_published_once(api: Api, run_id: str) -> None:
    """Whoever is second for a place or an id looks again."""
    statuses: list[int] = []

    def tell(name: str) -> None:
        for number in range(5):
            answer = send(api, event(run_id, f"shared {number}"), event(run_id, f"{name} {number}"))
            statuses.append(answer.status)

    senders = [threading.Thread(target=tell, args=(name,)) for name in "abcd"]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(30)
    assert statuses == [200] * 20
    found = ids(api)
    assert sorted(found) == sorted([*(f"shared {n}" for n in range(5)), *(f"{a} {n}" for a in "abcd" for n in range(5))])
    for name in "abcd":
        assert [one for one in found if one.startswith(name)] == [f"{name} {number}" for number in range(5)]


def test_events_when_they_are_of_children_then_they_are_in_its_stream(api: Api, run_id: str) -> None:
    """Children have their own executions, and share the sequence of their root."""
    api.register("greet", "part")
    child = ChildScheduled(
        seq=9, workflow_name="part", execution_id=ExecutionId("c"), input={"a": 1}, close_policy=ParentClosePolicy.TERMINATE
    )
    api.engine.effects.carry_out(
        [StartChild(RunKey(HOME, ExecutionId("e"), RunId(run_id)), WorkerPool.parse("prod"), child)]
    )
    own = api.call("GET", "/v1/workflows/executions/c", key="client").body["run_id"]
    of_child = {"workflow_exec_id": "c", "parent_workflow_exec_id": "e", "workflow_name": "part", "workflow_run_id": own}
    assert send(api, event(run_id, "1"), event(run_id, "2", **of_child)).status == 200
    owners = {one["event_id"]: one["workflow_exec_id"] for one in stream_events(api)}
    assert (owners["1"], owners["2"]) == ("e", "c")


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["WORKFLOW_EXECUTION_COMPLETED", "WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT", "ACTIVITY_TASK_STARTED"],
)
def test_event_when_it_is_told_of_histories_then_it_is_refused_and_the_answer_says_why(
    api: Api, run_id: str, kind: str
) -> None:
    """Nobody ends an execution for its readers but the execution."""
    answer = send(api, event(run_id, "1"), event(run_id, "2", kind=kind))
    assert (answer.status, answer.body["code"]) == (422, "WF_1001")
    problem = answer.body["detail"][0]
    assert (problem["loc"], problem["type"]) == (["body", "events", 1], "event_type")
    assert "nobody can send them" in problem["msg"]
    assert ids(api) == []


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"event_type": "CUSTOM_TASK_SLEPT"}, []),
        ({"event_type": None}, []),
        ({"event_id": ""}, ["event_id"]),
        ({"event_id": "x" * 257}, ["event_id"]),
        ({"event_timestamp": -1}, ["event_timestamp"]),
        ({"event_timestamp": 2**63}, ["event_timestamp"]),
        ({"mood": "good"}, ["mood"]),
        ({"attributes": {**TASK}}, ["attributes", "payload"]),
        ({"attributes": {**TASK, "payload": {"type": "yaml"}}}, ["attributes", "payload"]),
        ({"attributes": {"custom_task_type": "t", "payload": PAYLOAD}}, ["attributes", "custom_task_id"]),
        (
            {
                "attributes": {
                    **TASK,
                    "payload": {"type": "json_patch", "value": [{"op": "append", "path": "/a", "value": 1}]},
                }
            },
            ["attributes", "payload"],
        ),
        (
            {"attributes": {**TASK, "payload": {"type": "json_patch", "value": [{"op": "add", "path": "a", "value": 1}]}}},
            ["attributes", "payload"],
        ),
        ({"attributes": {**TASK, "payload": {**PAYLOAD, "encoding_options": ["magic"]}}}, ["attributes", "payload"]),
        ({"root_workflow_exec_id": "f"}, ["root_workflow_exec_id"]),
        ({"parent_workflow_exec_id": "f"}, ["parent_workflow_exec_id"]),
        ({"workflow_name": "other"}, ["workflow_name"]),
        ({"attributes": {**TASK, "payload": {"type": "json", "value": "x" * 1024 * 1024}}}, []),
        ({"attributes": {**TASK, "payload": {"type": "json", "value": DEEP}}}, []),
    ],
)
def test_event_when_something_of_it_is_wrong_then_the_answer_names_the_place_and_nothing_is_told(
    api: Api, run_id: str, changes: dict[str, Any], place: list[str]
) -> None:
    """Of a batch with one such event, none is told."""
    answer = send(api, event(run_id, "good"), event(run_id, "bad", **changes))
    assert answer.status == 422, answer
    assert place_of(answer)[: 3 + len(place)] == ["body", "events", 1, *place]
    single = api.call("POST", ONE, {"event": event(run_id, "bad", **changes)}, key="worker")
    assert single.status == 422
    assert place_of(single)[: 2 + len(place)] == ["body", "event", *place]
    assert ids(api) == []


def test_event_when_it_is_just_too_large_then_422_names_it(api: Api, run_id: str) -> None:
    """1 MiB as JSON, with all that it says."""

    def sized(size: int) -> dict[str, Any]:
        return event(run_id, attributes={**TASK, "payload": {"type": "json", "value": "x" * size}})

    refused = api.call("POST", ONE, {"event": sized(EVENT_BYTES)}, key="worker").body["detail"][0]["msg"]
    beside = int(refused.split(" bytes")[0].rpartition(" ")[2].replace(",", "")) - EVENT_BYTES
    for more, status in ((1, 422), (0, 200)):
        answer = api.call("POST", ONE, {"event": sized(EVENT_BYTES - beside + more)}, key="worker")
        assert answer.status == status
        assert status == 200 or place_of(answer)[:2] == ["body", "event"]


def test_events_when_they_are_too_large_together_then_they_are_refused(api: Api, run_id: str) -> None:
    """Each has less than 1 MB, and all of them more than 2 MB."""
    large: dict[str, Any] = {"attributes": {**TASK, "payload": {"type": "json", "value": "x" * 900_000}}}
    answer = send(api, *(event(run_id, str(number), **large) for number in range(3)))
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "events"])
    assert ids(api) == []
    assert send(api, *(event(run_id, str(number), **large) for number in range(2))).status == 200
    assert ids(api) == ["0", "1"]


@pytest.mark.parametrize("body", [{}, {"events": []}, {"events": {}}, {"event": []}])
def test_events_when_there_are_none_then_422(api: Api, run_id: str, body: dict[str, Any]) -> None:
    """Nothing to tell is a mistake of the caller's."""
    assert api.call("POST", MANY, body, key="worker").status == 422


@pytest.mark.parametrize("changes", [{"workflow_exec_id": "unknown"}, {"workflow_run_id": "another"}])
def test_event_when_its_execution_or_run_is_unknown_then_404(api: Api, run_id: str, changes: dict[str, str]) -> None:
    """And those that come with it are not told either."""
    answer = send(api, event(run_id, "1"), event(run_id, "2", **changes))
    assert (answer.status, answer.body["code"]) == (404, "WF_1100")
    assert ids(api) == []


def test_event_when_its_execution_is_of_another_workspace_then_404(api: Api, run_id: str) -> None:
    """Invariant 9: to another workspace it does not exist."""
    assert send(api, event(run_id), key="stranger").status == 404
    assert ids(api) == []


def test_event_when_its_execution_has_ended_then_409(api: Api, run_id: str) -> None:
    """Nothing is told after the end."""
    api.complete("e")
    answer = send(api, event(run_id))
    assert (answer.status, answer.body["code"], answer.body["status"]) == (409, "WF_1102", "COMPLETED")
    assert [one["event_type"] for one in stream_events(api)] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]


def test_event_when_its_execution_ends_between_look_and_write_then_409(api: Api, run_id: str) -> None:
    """The write itself makes sure that the execution is open."""
    store = OvertakenStore(api.engine.streams._store, lambda: api.complete("e"))
    service = OutsideEventService(store, api.engine.streams, api.engine.outside_events._conflicts)
    sent = outside_events(EventBody.model_validate({"event": event(run_id, kind="CUSTOM_TASK_CANCELED")}))
    with pytest.raises(NotRunning, match="COMPLETED"):
        service.append(HOME, sent)
    assert [one["event_type"] for one in stream_events(api)] == [
        "WORKFLOW_EXECUTION_STARTED",
        "WORKFLOW_EXECUTION_COMPLETED",
    ]
