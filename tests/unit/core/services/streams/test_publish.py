"""Streams as they are made: one gapless sequence of every event, however many publish, race, and die while they do."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import count, islice
from typing import Any

import pytest

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    ExecutionCompleted,
    FactTaken,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.errors import NotFound, Unavailable
from levante_core.ports.item_store import Delete, ItemStore, Page, Put, Query, Write
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import CommitOutcome, WorkflowTaskFailedRequest
from levante_core.services.conflicts import BUDGET
from levante_core.services.executions.start import StartRequest
from levante_core.services.streams import publish as streams
from levante_core.services.streams.publish import ITEM_BYTES, WRITE_BYTES, Sequenced, StreamService
from levante_core.storage import keys
from levante_core.storage.large_documents import OFFLOAD_BYTES
from tests.support.faults import NO_FAULTS, CountingStore, Fate, FaultyStore, OneFault, Operations
from tests.support.place import SPACE, Place

FAILURE = Failure(message="no stock")
STARTED, COMPLETED = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_COMPLETED"
ROOT = ExecutionId("e")


def items_of(place: Place) -> ItemStore:
    """The store that the services use, payloads in place."""
    return place.engine.streams._store


def begun(place: Place) -> RunKey:
    return place.start(execution_id=ROOT)


def scheduled(seq: int) -> ActivityScheduled:
    options = ActivityOptions(retry=RetryPolicy(max_attempts=9))
    return ActivityScheduled(seq=seq, name="a", input=seq, options=options)


def run_step(place: Place, run: RunKey, index: int, result: Any = None) -> None:
    """Commit a batch with the outcome of the step before, and the start of this one."""
    outcome = [ActivityCompleted(seq=index - 1, at=place.clock.now(), result=result)] if index > 1 else []
    assert place.commit(run, index, *outcome, scheduled(index)) is CommitOutcome.RECORDED


def complete(place: Place, run: RunKey, index: int) -> None:
    assert place.commit(run, index, ExecutionCompleted(seq=9999, result=None)) is CommitOutcome.RECORDED


def all_of(place: Place, root: ExecutionId = ROOT) -> list[Sequenced]:
    """Read a stream, and check what holds of each: it begins with 1, has no gap, and has nothing twice."""
    events = list(place.engine.streams.read(SPACE, root, 1))
    assert [one.sequence for one in events] == list(range(1, len(events) + 1))
    assert len({one.update.event.event_id for one in events}) == len(events)
    return events


def types(events: Sequence[Sequenced]) -> list[str]:
    return [one.update.event.event_type for one in events]


def steps_published(events: Sequence[Sequenced]) -> list[tuple[str, str]]:
    """Return what was published of activities, and of which."""
    return [
        (one.update.event.event_type.removeprefix("ACTIVITY_TASK_"), str(one.update.activity_id).partition(":")[2])
        for one in events
        if one.update.scope == "activity"
    ]


def steps_expected(count: int) -> list[tuple[str, str]]:
    """Return what has to be published of steps one after the other, the last of them without an outcome."""
    return [told for seq in range(1, count + 1) for told in (("STARTED", str(seq)), ("COMPLETED", str(seq)))][:-1]


def publish(place: Place, service: StreamService | None = None) -> None:
    (service or place.engine.streams).publish(SPACE, ROOT)


def published(place: Place) -> list[Sequenced]:
    publish(place)
    return all_of(place)


class InterruptedStore(FaultyStore):
    """Calls somebody else in before each write; `writes` counts those that were tried."""

    def __init__(self, store: ItemStore, meanwhile: Callable[[], None]) -> None:
        super().__init__(store, Operations("publisher", NO_FAULTS))
        self.writes = 0
        self._meanwhile = meanwhile

    def write(self, *writes: Write) -> None:
        self.writes += 1
        self._meanwhile()
        super().write(*writes)


# --- the sequence -----------------------------------------------------------------------------------------------------


def test_stream_when_published_now_and_then_then_nothing_is_missing_and_nothing_comes_twice(place: Place) -> None:
    """When somebody looks decides nothing but when the events are written: histories are the source."""
    run = begun(place)
    for index in range(1, 30):
        place.clock.advance(1)
        run_step(place, run, index)
        if index in (1, 2, 9, 10):
            publish(place)
    publish(place)
    complete(place, run, 30)
    events = published(place)
    assert (steps_published(events), types(events)[0], types(events)[-1]) == (steps_expected(29), STARTED, COMPLETED)


def test_publish_when_nothing_is_new_then_nothing_is_written(place: Place) -> None:
    """Nobody pays for readers of an execution that stands still, beyond the four reads of each look."""
    run = begun(place)
    run_step(place, run, 1)
    publish(place)
    store = CountingStore(items_of(place))
    publish(place, StreamService(store, place.conflicts))
    assert (store.reads, store.writes) == (4, 0)


def test_publish_when_events_are_new_then_one_transaction_takes_them_all(place: Place) -> None:
    """A reader who comes late costs no more writes than one write of what there is."""
    run = begun(place)
    for index in range(1, 60):
        run_step(place, run, index)
    store = CountingStore(items_of(place))
    publish(place, StreamService(store, place.conflicts))
    assert (store.writes, len(all_of(place))) == (2, 1 + len(steps_expected(59))), "the start of the run, and all else"


def test_publish_when_batches_are_more_than_one_query_brings_then_all_are_published(place: Place) -> None:
    """A history may have thousands of batches."""
    run = begun(place)
    for index in range(1, 2 * streams.BATCHES_AT_ONCE + 4):
        run_step(place, run, index)
    publish(place)
    assert steps_published(all_of(place)) == steps_expected(2 * streams.BATCHES_AT_ONCE + 3)


def test_read_when_it_begins_anywhere_then_it_goes_on_from_there(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 8: resumable from any point, those within an item and behind the end included."""
    monkeypatch.setattr(streams, "ITEMS_AT_ONCE", 2)
    monkeypatch.setattr(streams, "ITEM_BYTES", 2000)
    run = begun(place)
    for index in range(1, 25):
        run_step(place, run, index)
        if index % 7 == 0:
            publish(place)
    publish(place)
    events = all_of(place)
    assert len(events) == 48
    for first in range(50):
        found = list(place.engine.streams.read(SPACE, ROOT, first))
        assert found == events[max(first - 1, 0) :], first


def test_read_when_few_events_are_taken_then_few_items_are_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: a reader at the beginning of a long stream does not hold all of it."""
    monkeypatch.setattr(streams, "ITEM_BYTES", 1)
    run = begun(place)
    for index in range(1, 120):
        run_step(place, run, index)
    publish(place)
    store = CountingStore(items_of(place))
    reading = StreamService(store, place.conflicts).read(SPACE, ROOT, 1)
    assert [next(reading).sequence for _ in range(5)] == [1, 2, 3, 4, 5]
    assert store.items <= streams.ITEMS_AT_ONCE + 1
    assert len(list(reading)) == 238 - 5


def test_read_when_events_are_added_between_its_queries_then_it_misses_none(place: Place) -> None:
    """A reader at the end may be given what was added meanwhile or not, but never the second event without the first."""
    run = begun(place)
    steps = iter(range(1, 30))

    class RacedStore(FaultyStore):
        """Lets two items be added after each query."""

        def query(self, query: Query) -> Page:
            page = super().query(query)
            for index in islice(steps, 2):
                run_step(place, run, index)
                publish(place)
            return page

    service = StreamService(RacedStore(items_of(place), Operations("reader", NO_FAULTS)), place.conflicts)
    seen: list[int] = []
    for _ in range(5):
        seen += [one.sequence for one in service.read(SPACE, ROOT, len(seen) + 1)]
    assert len(seen) > 10
    assert seen == list(range(1, len(seen) + 1))


def test_batch_when_one_before_it_cannot_be_seen_then_it_is_not_told_either(place: Place) -> None:
    """The order of the history is the order of the stream, whatever a read brings."""
    run = begun(place)
    for index in (1, 2, 3):
        run_step(place, run, index)
    unseen = place.store.get(keys.batch(run, 2))
    assert unseen
    place.store.write(Delete(unseen.key))
    assert steps_published(published(place)) == steps_expected(1)
    place.store.write(Put(unseen))
    assert steps_published(published(place)) == steps_expected(3)


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [ITEM_BYTES + 1000, OFFLOAD_BYTES + 1000, 2_000_000])
def test_event_when_it_is_larger_than_an_item_then_it_is_published_whole(place: Place, size: int) -> None:
    """Results have up to 2 MB; what is over 64 KiB goes to the payload store, as elsewhere."""
    run = begun(place)
    run_step(place, run, 1)
    run_step(place, run, 2, result="x" * size)
    run_step(place, run, 3)
    events = published(place)
    assert steps_published(events) == steps_expected(3)
    (large,) = [one for one in events if one.size_bytes > size]
    assert large.update.event.attributes["result"]["value"] == "x" * size
    kept = place.store.get(keys.stream_events(SPACE, ROOT, large.sequence))
    assert kept, "it has an item of its own"
    assert isinstance(kept.documents["events"], str) is (size < OFFLOAD_BYTES)


def test_history_when_it_is_larger_than_a_write_then_it_is_published_in_several(place: Place) -> None:
    """A transaction takes 4 MB; a history may have ten times that."""
    run = begun(place)
    for index in range(1, 60):
        run_step(place, run, index, result="x" * 60_000)
    store = CountingStore(items_of(place))
    publish(place, StreamService(store, place.conflicts))
    assert steps_published(all_of(place)) == steps_expected(59)
    assert 59 * 60_000 // WRITE_BYTES < store.writes < 10


def test_fan_out_when_one_batch_has_more_than_a_transaction_takes_then_it_is_published_at_one_blow(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is told whole or not at all; then items are made larger, as there may be a hundred of them at most."""
    monkeypatch.setattr(streams, "ITEM_BYTES", 1000)
    run = begun(place)
    assert place.commit(run, 1, *[scheduled(seq) for seq in range(1, 401)]) is CommitOutcome.RECORDED
    outcomes = [ActivityCompleted(seq=seq, at=place.clock.now(), result=None) for seq in range(1, 401)]
    assert place.commit(run, 2, *outcomes) is CommitOutcome.RECORDED
    assert len(published(place)) == 1 + 800


# --- races and deaths -------------------------------------------------------------------------------------------------


def test_publishers_when_they_race_in_threads_then_each_event_is_published_once_in_its_place(place: Place) -> None:
    """Invariant 8: any number may publish at once while the history grows; the store's conditions order them."""
    run = begun(place)
    over = threading.Event()
    failures: list[BaseException] = []

    def publish_on() -> None:
        try:
            is_published = False
            while not (over.is_set() and is_published):
                is_published = False
                with suppress(Unavailable):  # the pauses of all racers pass on one clock, and so the time of each is up soon
                    publish(place)
                    is_published = True
        except BaseException as error:
            failures.append(error)
            raise

    racers = [threading.Thread(target=publish_on) for _ in range(4)]
    for racer in racers:
        racer.start()
    for index in range(1, 50):
        place.clock.advance(0.001)
        run_step(place, run, index)
    complete(place, run, 50)
    over.set()
    for racer in racers:
        racer.join(30)
    events = all_of(place)
    assert failures == []
    assert (steps_published(events), types(events)[-1]) == (steps_expected(49), COMPLETED)


def test_publisher_when_another_is_first_between_read_and_write_then_it_looks_again(place: Place) -> None:
    """Who lost the race writes nothing of what it had made, and goes on behind the other's events."""
    run = begun(place)
    steps = iter(range(1, 11))

    def meanwhile() -> None:
        publish(place)
        for index in steps:
            run_step(place, run, index)
            return

    store = InterruptedStore(items_of(place), meanwhile)
    publish(place, StreamService(store, place.conflicts))
    assert steps_published(all_of(place)) == steps_expected(10)
    assert store.writes == 11


def test_publisher_when_it_loses_every_race_then_it_gives_up_and_says_so(place: Place) -> None:
    """Nobody tries for ever; the events are there, told by the others."""
    run = begun(place)
    steps, began_at = count(1), place.clock.now()

    def meanwhile() -> None:
        publish(place)
        run_step(place, run, next(steps))

    store = InterruptedStore(items_of(place), meanwhile)
    with pytest.raises(Unavailable, match="again"):
        publish(place, StreamService(store, place.conflicts))
    assert timedelta(0) < place.clock.now() - began_at < BUDGET
    assert steps_published(all_of(place)) == steps_expected(store.writes - 1)


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
def test_publisher_when_it_dies_at_any_write_then_the_next_one_carries_on(
    place: Place, fate: Fate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that was refused, was done but not answered, or came to nothing leaves neither a gap nor a repeat."""
    monkeypatch.setattr(streams, "WRITE_BYTES", 400)
    died = 0
    for position in range(1, 12):
        root = ExecutionId(f"e{position}")
        run = place.start(execution_id=root)
        for index in range(1, 9):
            run_step(place, run, index)
        fault = OneFault("write", position, fate, is_armed=True)
        mortal = StreamService(FaultyStore(items_of(place), Operations("publisher", fault)), place.conflicts)
        for publisher in (mortal, place.engine.streams, mortal):
            try:
                publisher.publish(SPACE, root)
            except (Unavailable, RuntimeError):
                died += 1
        events = all_of(place, root)
        assert steps_published(events) == steps_expected(8), position
    assert died >= 4, "one publish has several writes, each of which was the fatal one once"


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.CRASHED])
def test_publisher_when_a_read_fails_anywhere_then_nothing_is_told_out_of_order(place: Place, fate: Fate) -> None:
    """Half of what was read is never told."""
    run = begun(place)
    for index in range(1, 9):
        run_step(place, run, index)
    for position in range(1, 12):
        fault = OneFault("read", position, fate, is_armed=True)
        mortal = StreamService(FaultyStore(items_of(place), Operations("publisher", fault)), place.conflicts)
        try:
            mortal.publish(SPACE, ROOT)
        except (Unavailable, RuntimeError):
            assert steps_published(all_of(place)) in ([], steps_expected(8))
    assert steps_published(published(place)) == steps_expected(8)


# --- retries and failures ---------------------------------------------------------------------------------------------


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


# --- ends, and what comes after ---------------------------------------------------------------------------------------


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
