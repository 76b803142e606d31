"""What of a history is told, in which words: types, attributes, order, and that nothing is told twice."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mistralai.client.models import ListWorkflowEventResponse

from levante_core.domain.executions.execution import RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildFailed,
    ChildScheduled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionTerminated,
    ExecutionTimedOut,
    FactTaken,
    HistoryEvent,
    Outcome,
    ParentClosePolicy,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver, CodeFailed
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, WorkflowName
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.domain.streams.events import StreamEventType, StreamUpdate, task_attributes
from levante_core.domain.streams.projection import StreamCursor, StreamProjection, in_order
from levante_core.errors import InconsistentHistory
from tests.support.forms import either

ROOT = ExecutionId("e")
RUN = RunId("r1")
START = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
START_NANOSECONDS = 1767268800_123456_000
FAILURE = Failure(message="no stock", stack="secret.py, line 7")
RUN_START = RunStart(workflow_name=WorkflowName("w"), input={"a": 1}, started_at=START, deadline_at=START)

KEYS = {
    "event_id", "event_timestamp", "root_workflow_exec_id", "parent_workflow_exec_id", "workflow_exec_id",
    "workflow_run_id", "workflow_name", "continued_run_id", "first_execution_run_id", "chain_run_id", "schedule_id",
    "event_type", "attributes",
}  # fmt: skip
"""Keys of every event. Source: REST contract, section 5; the older client requires all of them, nulls included."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def json_value(value: Any) -> dict[str, Any]:
    return {"type": "json", "value": value, "encoding_options": None}


def new_projection() -> StreamProjection:
    return StreamProjection(ROOT, StreamCursor(execution_id=ROOT))


def begun() -> StreamProjection:
    """A projection that has the start of its run."""
    projection = new_projection()
    projection.start(RUN, RUN_START)
    return projection


def append(projection: StreamProjection, *events: HistoryEvent, seconds: float = 1, facts: Sequence[Outcome] = ()) -> None:
    """Append the next batch. facts: those that it takes, by seq."""
    batch = HistoryBatch(index=projection.cursor.index + 1, commit_id="c", events=events)
    projection.append(batch, at(seconds), {str(fact.seq): fact for fact in facts})


def types(projection: StreamProjection) -> list[str]:
    """Return the types of what was told, without what they have in common."""
    return [update.event.event_type.removeprefix("WORKFLOW_").removeprefix("ACTIVITY_TASK_") for update in projection.events]


def scheduled(seq: int, name: str = "charge") -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name=name, input={"order": seq})


def completed(seq: int, result: Any = None, seconds: float = 2) -> ActivityCompleted:
    return ActivityCompleted(seq=seq, at=at(seconds), result=result)


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


# --- what history events become ---------------------------------------------------------------------------------------


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


# --- retries and failures of the workflow task ------------------------------------------------------------------------


def test_retries_when_seen_again_then_each_attempt_is_published_once_and_in_order() -> None:
    """Publishers see the same failed attempts at every look."""
    projection = begun()
    append(projection, scheduled(1))
    for attempts in ([1], [1, 2], [1, 2], [2, 3]):
        for attempt in attempts:
            projection.retry(1, attempt, at(attempt), FAILURE)
    append(projection, completed(1))
    projection.retry(1, 4, at(4), FAILURE)
    assert types(projection)[2:] == ["RETRYING", "RETRYING", "RETRYING", "COMPLETED"]
    assert [update.event.attributes["attempt"] for update in projection.events[2:5]] == [1, 2, 3]


def test_retry_when_the_activity_was_handed_over_after_a_failure_then_it_is_published_there() -> None:
    """What failed in place has no attempt item; what was handed over unharmed has not failed."""
    projection = begun()
    append(projection, scheduled(1), scheduled(2))
    append(projection, ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, failure=FAILURE))
    append(projection, ActivityHandedOver(activity=2, scheduled_in=1, attempt=1, failure=FAILURE))
    projection.retry(1, 1, at(9), FAILURE)
    assert types(projection)[3:] == ["RETRYING"]
    assert projection.events[-1].event.attributes["task_id"] == "r1:1"


def test_task_failure_when_it_is_seen_again_then_it_is_published_once() -> None:
    """There is one item for the last failure: it is told anew when it was written anew."""
    projection = begun()
    for seconds in (1, 1, 3, 3, 2):
        projection.fail_task(at(seconds), FAILURE)
    assert types(projection)[1:] == ["TASK_FAILED", "TASK_FAILED"]
    assert [update.at for update in projection.events[1:]] == [at(1), at(3)]


# --- order ------------------------------------------------------------------------------------------------------------


def test_times_when_clocks_differ_then_events_of_a_run_do_not_go_back() -> None:
    """Workers' and functions' clocks differ by some milliseconds; the order of the history is the truth."""
    projection = begun()
    append(projection, scheduled(1), seconds=10)
    append(projection, completed(1, seconds=4), scheduled(2), seconds=5)
    assert [update.at for update in projection.events] == [at(0), at(10), at(10), at(10)]


def test_projections_when_merged_then_by_time_and_each_in_its_own_order() -> None:
    """One sequence for a root and all below it."""
    first, second = (
        begun(),
        StreamProjection(ROOT, StreamCursor(execution_id=ExecutionId("child"), parent_execution_id=ROOT)),
    )
    append(first, scheduled(1), scheduled(2), seconds=2)
    second.start(RunId("r9"), RUN_START.model_copy(update={"started_at": at(1)}))
    append(second, scheduled(3), seconds=2)
    merged = [(update.event.workflow_exec_id, update.at) for update in in_order([first, second])]
    assert merged == [("e", at(0)), ("child", at(1)), ("e", at(2)), ("e", at(2)), ("child", at(2))]
    assert {one.event.parent_workflow_exec_id for one in second.events} == {ROOT}


def test_run_when_another_follows_then_nothing_of_the_one_before_is_open() -> None:
    """Numbers of commands begin anew with each run, and so do attempts and failures."""
    projection = begun()
    append(projection, scheduled(1))
    projection.retry(1, 5, at(1), FAILURE)
    projection.fail_task(at(2), FAILURE)
    append(projection, ExecutionTerminated(at=at(3)), seconds=3)
    projection.start(RunId("r2"), RUN_START)
    append(projection, completed(1))
    assert (types(projection)[-1], projection.cursor.is_closed) == ("EXECUTION_STARTED", False)
    append(projection, scheduled(1))
    projection.retry(1, 1, at(4), FAILURE)
    projection.fail_task(at(1), FAILURE)
    assert types(projection)[-3:] == ["STARTED", "RETRYING", "TASK_FAILED"]
    assert {update.event.workflow_run_id for update in projection.events[-4:]} == {"r2"}


def as_history_has_them(steps: list[Any]) -> list[Any]:
    """Leave out what schedules a second activity of the same seq: seqs are given once."""
    kept, seqs = [], set()
    for step in steps:
        seq = step[1].seq if isinstance(step[1], ActivityScheduled) else None
        if seq is None or seq not in seqs:
            kept.append(step)
        seqs.add(seq)
    return kept


STEPS = st.lists(
    st.one_of(
        st.builds(scheduled, st.integers(1, 4)).map(lambda event: ("batch", event)),
        st.builds(completed, st.integers(1, 4)).map(lambda event: ("batch", event)),
        st.builds(ActivityCancelRequested, seq=st.just(9), activity=st.integers(1, 4)).map(lambda event: ("batch", event)),
        st.tuples(st.just("retry"), st.integers(1, 4), st.integers(1, 5)),
        st.tuples(st.just("fail"), st.integers(0, 9)),
    ),
    max_size=30,
).map(as_history_has_them)


@settings(max_examples=either(short=15, full=60), deadline=None)
@given(steps=STEPS, cuts=st.sets(st.integers(0, 30)))
def test_projection_when_another_publisher_carries_on_anywhere_then_the_events_are_the_same(
    steps: list[Any], cuts: set[int]
) -> None:
    """How far an execution was told, as it is kept, is all that the next publisher needs; ids are never given twice."""
    whole, part = begun(), begun()
    events = list(part.events)
    for number, step in enumerate(steps):
        if number in cuts:
            part = StreamProjection(ROOT, StreamCursor.model_validate_json(part.cursor.model_dump_json()))
        before = len(part.events)
        for projection in (whole, part):
            tell(projection, step, number)
        events += part.events[before:]
    assert events == whole.events
    ids = [update.event.event_id for update in events]
    assert len(set(ids)) == len(ids)
    times = [update.at for update in events]
    assert times == sorted(times)


def tell(projection: StreamProjection, step: Any, number: int) -> None:
    """Carry out one step of the test above."""
    match step:
        case ("batch", event):
            append(projection, event, seconds=number)
        case ("retry", seq, attempt):
            projection.retry(seq, attempt, at(number), FAILURE)
        case (_, seconds):
            projection.fail_task(at(seconds), FAILURE)


def test_child_when_it_could_not_be_started_then_it_is_not_followed() -> None:
    """Nothing was born, so nothing will ever be published of it."""
    projection = StreamProjection(ROOT, StreamCursor(execution_id=ROOT))
    projection.start(RUN, RUN_START)
    child: dict[str, Any] = {"workflow_name": "w", "input": None, "close_policy": ParentClosePolicy.ABANDON}
    asked = [ChildScheduled(seq=seq, execution_id=ExecutionId(f"c{seq}"), **child) for seq in (1, 2)]
    ended = [
        ChildFailed(seq=1, at=START, failure=FAILURE),
        ChildFailed(seq=2, at=START, failure=FAILURE, status=ExecutionStatus.FAILED),
    ]
    projection.append(HistoryBatch(index=1, commit_id="c", events=(*asked, *ended)), START, {})
    assert (projection.not_started, projection.ended) == ({1}, {2})


@pytest.mark.parametrize(
    ("phase", "message", "expected"),
    [
        (TaskPhase.FAILED, None, {"failure": {"message": "the task failed"}}),
        (TaskPhase.TIMED_OUT, "START_TO_CLOSE", {"timeout_type": "START_TO_CLOSE"}),
        (TaskPhase.CANCELED, "no longer wanted", {"reason": "no longer wanted"}),
        (TaskPhase.CANCELED, None, {"reason": "canceled"}),
    ],
)
def test_task_when_it_ends_otherwise_than_well_then_its_event_says_why(
    phase: TaskPhase, message: str | None, expected: dict[str, Any]
) -> None:
    """Each end has a field of its own for that."""
    event = TaskEvent(task_id="t", task_type="token", phase=phase, message=message)
    found = task_attributes(event)
    assert found.items() >= expected.items()
    assert (found["custom_task_id"], found["custom_task_type"]) == ("t", "token")


def test_append_when_a_fact_is_missing_then_the_history_is_what_is_wrong() -> None:
    """A hostile worker commits what it likes; whoever reads it hears that, and not of an error of the reader."""
    projection = StreamProjection(ROOT, StreamCursor(execution_id=ROOT))
    projection.start(RUN, RUN_START)
    batch = HistoryBatch(index=1, commit_id="c", events=(FactTaken(fact="none"),))
    with pytest.raises(InconsistentHistory, match="fact none, which is not recorded"):
        projection.append(batch, START, {})
