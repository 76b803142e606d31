"""Streams are sequences: nothing is missing, nothing comes twice, whatever the size and wherever a reader begins."""

from itertools import islice

import pytest

from levante_core.domain.history.events import (
    ActivityCompleted,
)
from levante_core.ports.item_store import Delete, Page, Put, Query
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.streams import publish as streams
from levante_core.services.streams.publish import ITEM_BYTES, WRITE_BYTES, StreamService
from levante_core.storage import keys
from levante_core.storage.large_documents import OFFLOAD_BYTES
from tests.support.faults import NO_FAULTS, CountingStore, FaultyStore, Operations
from tests.support.place import SPACE, Place
from tests.unit.core.services.streams.published import (
    COMPLETED,
    ROOT,
    STARTED,
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
