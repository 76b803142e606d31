"""Retries, failures and ends in streams, and what comes after an end."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    FactTaken,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import Workspace
from levante_core.errors import NotFound
from levante_core.ports.item_store import Query
from levante_core.protocol.workers import CommitOutcome, WorkflowTaskFailedRequest
from levante_core.services.executions.start import StartRequest
from levante_core.services.streams.publish import StreamService
from levante_core.storage import keys
from tests.support.place import SPACE, Place
from tests.unit.core.services.streams.published import (
    COMPLETED,
    ROOT,
    STARTED,
    InterruptedStore,
    all_of,
    begun,
    complete,
    items_of,
    publish,
    published,
    run_step,
    scheduled,
    steps_expected,
    steps_published,
    types,
)

FAILURE = Failure(message="no stock")


def report(place: Place, run: RunKey, seq: int, attempt: int, failure: Failure | None) -> None:
    """Report how an attempt from the queue ended."""
    place.clock.advance(1)
    assert place.report(run, attempt, seq=seq, failure=failure)


@pytest.mark.parametrize("looks", [(), (1,), (1, 2, 3)])
def test_retries_when_somebody_looks_meanwhile_or_not_then_they_are_published_in_order_before_the_outcome(
    place: Place, looks: Sequence[int]
) -> None:
    """A reader who comes after the outcome still learns of the attempts that failed."""
    run = begun(place)
    assert place.commit(run, 1, scheduled(1), scheduled(2)) is CommitOutcome.RECORDED
    for attempt in (1, 2, 3):
        report(place, run, 1, attempt, FAILURE)
        if attempt in looks:
            publish(place)
            publish(place)
    report(place, run, 1, 4, None)
    assert place.commit(run, 2, FactTaken(fact=keys.outcome_fact(1))) is CommitOutcome.RECORDED
    events = published(place)
    assert steps_published(events) == [("STARTED", "1"), ("STARTED", "2"), *[("RETRYING", "1")] * 3, ("COMPLETED", "1")]
    retries = [one.update.event.attributes["attempt"] for one in events if one.update.event.event_type.endswith("RETRYING")]
    assert retries == [1, 2, 3]


def test_retry_when_the_owner_handed_the_activity_over_then_the_queue_goes_on_counting(place: Place) -> None:
    """An attempt that failed in place, and one that failed in the queue, are told alike."""
    run = begun(place)
    assert place.commit(run, 1, scheduled(1).model_copy(update={"owner": "w"})) is CommitOutcome.RECORDED
    handed_over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, failure=FAILURE)
    assert place.commit(run, 2, handed_over) is CommitOutcome.RECORDED
    report(place, run, 1, 2, FAILURE)
    events = published(place)
    assert [one.update.event.attributes["attempt"] for one in events[2:]] == [1, 2]


def task_failed(place: Place, run: RunKey) -> None:
    """Report that the workflow code could not be run."""
    place.clock.advance(1)
    request = WorkflowTaskFailedRequest(token="not read here", receipt="gone", attempt=1, failure=FAILURE)
    place.engine.tasks.workflow_task_failed(place.grant(run), request)


@pytest.mark.parametrize("looks", [True, False])
def test_task_failure_when_the_run_went_on_then_it_is_told_where_it_happened(place: Place, *, looks: bool) -> None:
    """A reader who comes late must not take a failure that is overcome for the last thing that happened."""
    run = begun(place)
    run_step(place, run, 1)
    task_failed(place, run)
    if looks:
        publish(place)
        publish(place)
    place.clock.advance(1)
    run_step(place, run, 2)
    events = published(place)
    kinds = [kind.removeprefix("ACTIVITY_") for kind in types(events)[1:]]
    assert kinds == ["TASK_STARTED", "WORKFLOW_TASK_FAILED", "TASK_COMPLETED", "TASK_STARTED"]
    task_failed(place, run)
    assert types(published(place))[5:] == ["WORKFLOW_TASK_FAILED"]


def test_execution_when_terminated_then_nothing_is_told_and_the_end_is_known(place: Place) -> None:
    """There is no event for that end, so the head is where readers learn of it."""
    run = begun(place)
    run_step(place, run, 1)
    publish(place)
    assert not place.engine.streams.head(SPACE, ROOT).has_published_all_of(ROOT)
    place.engine.closing.terminate(SPACE, ROOT)
    assert not place.engine.streams.head(SPACE, ROOT).has_published_all_of(ROOT)
    assert place.engine.streams.publish(SPACE, ROOT).has_published_all_of(ROOT)
    assert steps_published(all_of(place)) == steps_expected(1)


def test_execution_when_it_times_out_then_the_end_is_known(place: Place) -> None:
    """As above, for the other end that has no event."""
    run = place.start(timedelta(seconds=5), execution_id=ROOT)
    place.clock.advance(5)
    place.engine.closing.time_out(run)
    assert place.engine.streams.publish(SPACE, ROOT).has_published_all_of(ROOT)
    assert types(all_of(place)) == [STARTED]


@pytest.mark.parametrize("between", [60.0, 0.0, -60.0])
@pytest.mark.parametrize("looks", [True, False])
def test_id_when_it_is_used_again_then_the_sequence_goes_on_with_the_next_run(
    place: Place, between: float, *, looks: bool
) -> None:
    """A stream is never begun anew, and each run is told, whatever the clocks of those who started them said."""
    runs = []
    for _ in range(3 if between > 0 else 2):
        run = begun(place)
        runs.append(run.run_id)
        run_step(place, run, 1)
        complete(place, run, 2)
        if looks:
            publish(place)
        place.clock.advance(between)
    events = published(place)
    assert [one.update.event.workflow_run_id for one in events] == [run for run in runs for _ in range(3)]
    assert types(events)[::3] == [STARTED] * len(runs)


def test_id_when_it_is_used_again_in_the_middle_of_a_projection_then_both_runs_are_published(place: Place) -> None:
    """A run that begins between the reads of a publisher is not lost."""
    first = begun(place)
    complete(place, first, 1)

    def once() -> Iterator[None]:
        place.clock.advance(1)
        complete(place, begun(place), 1)
        yield

    again = once()
    publish(place, StreamService(InterruptedStore(items_of(place), lambda: next(again, None)), place.conflicts))
    assert types(published(place)) == [STARTED, COMPLETED] * 2


def test_stream_when_another_workspace_asks_then_there_is_none(place: Place) -> None:
    """Invariant 9: the same id in another workspace is another execution, with a stream of its own."""
    run = begun(place)
    run_step(place, run, 1)
    publish(place)
    other = Workspace("other")
    with pytest.raises(NotFound):
        place.engine.streams.root_of(other, ROOT)
    place.engine.streams.publish(other, ROOT)
    assert list(place.engine.streams.read(other, ROOT, 1)) == []
    assert place.engine.streams.root_of(SPACE, ROOT) == ROOT
    assert len(all_of(place)) == 2


def test_stream_when_nobody_reads_then_nothing_is_written_for_it(place: Place) -> None:
    """Nobody pays for events that nobody reads."""
    run = begun(place)
    run_step(place, run, 1)
    assert place.commit(run, 2, TimerStarted(seq=2, fire_at=place.clock.now())) is CommitOutcome.RECORDED
    assert place.store.query(Query(keys.stream(SPACE, ROOT))).items == []
    assert place.engine.executions.get(SPACE, ROOT).status is ExecutionStatus.RUNNING
    assert place.engine.executions.start(SPACE, "w", StartRequest(execution_id="f")).is_open
