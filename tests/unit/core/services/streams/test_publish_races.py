"""Publishers that race, die and fail leave the same stream."""

import threading
from contextlib import suppress
from datetime import timedelta
from itertools import count

import pytest

from levante_core.domain.names import ExecutionId
from levante_core.errors import Unavailable
from levante_core.services.conflicts import BUDGET
from levante_core.services.streams import publish as streams
from levante_core.services.streams.publish import StreamService
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import SPACE, Place
from tests.unit.core.services.streams.published import (
    COMPLETED,
    ROOT,
    InterruptedStore,
    all_of,
    begun,
    complete,
    items_of,
    publish,
    published,
    run_step,
    steps_expected,
    steps_published,
    types,
)


@pytest.mark.slow
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
