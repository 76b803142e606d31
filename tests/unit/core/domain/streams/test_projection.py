"""What history events become in streams."""

import json
from typing import Any

import pytest
from mistralai.client.models import ListWorkflowEventResponse

from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityFailed,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionTerminated,
    ExecutionTimedOut,
    FactTaken,
    HistoryEvent,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.notes import CodeFailed
from levante_core.domain.names import RunId
from levante_core.domain.streams.events import StreamEventType, StreamUpdate
from tests.unit.core.domain.streams.projecting import (
    FAILURE,
    ROOT,
    RUN,
    RUN_START,
    START,
    append,
    at,
    begun,
    completed,
    new_projection,
    scheduled,
    types,
)

START_NANOSECONDS = 1767268800_123456_000

KEYS = {
    "event_id", "event_timestamp", "root_workflow_exec_id", "parent_workflow_exec_id", "workflow_exec_id",
    "workflow_run_id", "workflow_name", "continued_run_id", "first_execution_run_id", "chain_run_id", "schedule_id",
    "event_type", "attributes",
}  # fmt: skip
"""Keys of every event. Source: REST contract, section 5; the older client requires all of them, nulls included."""


def json_value(value: Any) -> dict[str, Any]:
    return {"type": "json", "value": value, "encoding_options": None}


def whole_story() -> list[StreamUpdate]:
    """One event of every type that is told today."""
    projection = begun()
    append(projection, scheduled(1), scheduled(2, "pack"), seconds=1)
    projection.retry(1, 1, at(2), FAILURE)
    append(projection, completed(1, {"paid": 12}, 3), seconds=3)
    append(projection, ActivityFailed(seq=2, at=at(4), failure=FAILURE, attempt=3), seconds=4)
    projection.fail_task(at(5), FAILURE)
    append(projection, ExecutionFailed(seq=3, failure=FAILURE), seconds=6)
    other = new_projection()
    other.start(RunId("r2"), RUN_START)
    append(other, ExecutionCompleted(seq=1, result=[1, None]), seconds=7)
    return [*projection.events, *other.events]


STORY = whole_story()
SAID: dict[str, dict[str, Any]] = {
    "WORKFLOW_EXECUTION_STARTED": {
        "task_id": RUN, "workflow_name": "w", "input": json_value([{"a": 1}]), "display_name": None, "attempt": 1,
    },
    "ACTIVITY_TASK_STARTED": {"task_id": "r1:1", "activity_name": "charge", "input": json_value([{"order": 1}])},
    "ACTIVITY_TASK_RETRYING": {
        "task_id": "r1:1", "activity_name": "charge", "attempt": 1, "failure": {"message": "no stock"},
    },
    "ACTIVITY_TASK_COMPLETED": {"task_id": "r1:1", "activity_name": "charge", "result": json_value({"paid": 12})},
    "ACTIVITY_TASK_FAILED": {
        "task_id": "r1:2", "activity_name": "pack", "attempt": 3, "failure": {"message": "no stock"},
    },
    "WORKFLOW_TASK_FAILED": {"task_id": RUN, "failure": {"message": "no stock"}},
    "WORKFLOW_EXECUTION_FAILED": {"task_id": RUN, "failure": {"message": "no stock"}, "attempt": 1},
    "WORKFLOW_EXECUTION_COMPLETED": {"task_id": "r2", "result": json_value([1, None]), "attempt": 1},
}  # fmt: skip
"""Attributes by type. Source: REST contract, section 5."""


@pytest.mark.parametrize("kind", SAID)
def test_event_when_told_then_its_attributes_are_those_of_the_contract(kind: str) -> None:
    """Every attribute of the type is there, the optional ones as well; of a failure nothing but its message."""
    update = next(update for update in STORY if update.event.event_type == kind)
    assert dict(update.event.attributes) == SAID[kind]


def test_events_when_all_types_are_counted_then_none_is_told_that_the_table_above_lacks() -> None:
    """A new type has to come with its row."""
    assert {update.event.event_type for update in STORY} == set(SAID)
    assert set(SAID) < {kind.value for kind in StreamEventType}
    assert len(StreamEventType) == 17


def test_events_when_written_as_json_then_nullable_keys_are_there_as_null() -> None:
    """The older client requires every nullable key; the same ones of every event."""
    for update in STORY:
        written = json.loads(update.event.model_dump_json())
        assert written.keys() == KEYS
        assert (written["parent_workflow_exec_id"], written["schedule_id"], written["continued_run_id"]) == (None,) * 3


def test_events_when_the_official_client_reads_them_then_nothing_is_lost() -> None:
    """The client's own models take every event, and hold what was written."""
    written = [json.loads(update.event.model_dump_json()) for update in STORY]
    read: Any = ListWorkflowEventResponse.model_validate({"events": written, "next_cursor": None})
    for ours, theirs in zip(written, read.events, strict=True):
        assert type(theirs).__name__.lower() == ours["event_type"].replace("_", "").lower() + "response"
        kept = json.loads(theirs.model_dump_json(by_alias=True))
        assert {key: kept[key] for key in ours if key != "attributes"} == {
            key: value for key, value in ours.items() if key != "attributes"
        }
        for key, value in ours["attributes"].items():
            assert kept["attributes"][key] == value, (ours["event_type"], key)


def test_event_when_told_then_it_says_whose_it_is() -> None:
    """The envelope names root, execution, run and workflow; times are nanoseconds since 1970."""
    event = begun().events[0].event
    assert (event.root_workflow_exec_id, event.workflow_exec_id, event.workflow_run_id) == (ROOT, ROOT, RUN)
    assert (event.workflow_name, event.event_timestamp) == ("w", START_NANOSECONDS)
    assert begun().events[0].at == START


def test_events_when_told_then_stream_and_scope_tell_workflow_from_activity() -> None:
    """What filters select by; ids and names of activities are those of the attributes."""
    for update in STORY:
        is_activity = update.event.event_type.startswith("ACTIVITY_")
        assert update.stream == update.scope == ("activity" if is_activity else "workflow")
        assert update.activity_name == update.event.attributes.get("activity_name")
        assert update.activity_id == (update.event.attributes["task_id"] if is_activity else None)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (scheduled(1), ["STARTED"]),
        (TimerStarted(seq=1, fire_at=START), []),
        (TimerCanceled(seq=2, timer=1), []),
        (TimerFired(seq=1, at=START), []),
        (CodeFailed(failure=FAILURE), []),
        (ExecutionCompleted(seq=1, result=1), ["EXECUTION_COMPLETED"]),
        (ExecutionFailed(seq=1, failure=FAILURE), ["EXECUTION_FAILED"]),
        (ExecutionTerminated(at=START), []),
        (ExecutionTimedOut(at=START), []),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_history_event_when_appended_then_this_is_published(event: HistoryEvent, expected: list[str]) -> None:
    """Timers and notes are nobody's business; there is no type for terminated and timed out."""
    projection = begun()
    append(projection, event)
    assert types(projection)[1:] == expected


@pytest.mark.parametrize(
    "closing",
    [
        ExecutionCompleted(seq=1, result=1),
        ExecutionFailed(seq=1, failure=FAILURE),
        ExecutionTerminated(at=START),
        ExecutionTimedOut(at=START),
    ],
    ids=lambda event: str(event.kind),
)
def test_run_when_its_end_is_told_then_it_is_closed_and_not_before(closing: HistoryEvent) -> None:
    """Whatever the end, it ends the stream: readers of a terminated execution are not left waiting."""
    projection = begun()
    append(projection, scheduled(1))
    assert not projection.cursor.is_closed
    append(projection, closing)
    assert projection.cursor.is_closed


def test_fact_when_a_batch_takes_it_then_what_it_says_is_published_at_its_own_time() -> None:
    """History names the fact; readers get the outcome."""
    projection = begun()
    append(projection, scheduled(7))
    append(projection, FactTaken(fact="7"), seconds=30, facts=[completed(7, "done", seconds=20)])
    assert types(projection) == ["EXECUTION_STARTED", "STARTED", "COMPLETED"]
    assert projection.events[-1].at == at(20)


def test_outcome_when_nothing_of_that_seq_is_open_then_it_is_not_told() -> None:
    """An activity that was given up, or has its outcome, has no other end; nor has one that nobody asked for."""
    projection = begun()
    append(projection, scheduled(1), scheduled(2))
    append(projection, ActivityCancelRequested(seq=3, activity=1), completed(2))
    before = types(projection)
    append(projection, completed(1), completed(2), completed(9), ActivityFailed(seq=1, at=START, failure=FAILURE))
    assert types(projection) == before == ["EXECUTION_STARTED", "STARTED", "STARTED", "COMPLETED"]
