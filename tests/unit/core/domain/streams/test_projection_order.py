"""The order of stream events: of retries, of several runs, and when another publisher carries on."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    ChildFailed,
    ChildScheduled,
    ExecutionTerminated,
    FactTaken,
    ParentClosePolicy,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.domain.streams.events import task_attributes
from levante_core.domain.streams.projection import StreamCursor, StreamProjection, in_order
from levante_core.errors import InconsistentHistory
from tests.support.forms import either
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
    scheduled,
    types,
)


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
