"""One reader of a stream as it grows."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import pytest

from levante_core.adapters.system import SystemClock
from levante_core.domain.history.events import ActivityScheduled, TimerStarted
from levante_core.domain.names import Workspace
from levante_core.errors import NotFound, Unavailable
from levante_core.services.streams import shared_tail
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.shared_tail import EVENTS_AT_ONCE
from levante_core.services.streams.tails import NOTHING, TailService, TailUpdate
from levante_core.storage import keys
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import CountingStore, Fate, FaultyStore, OneFault, Operations
from tests.support.place import SPACE, Place
from tests.unit.core.services.streams.readers import (
    LONG_SECONDS,
    ROOT,
    Script,
    begun,
    complete,
    items_of,
    live_tails,
    sequences,
    step,
    tails_of,
    tell,
)

SHORT_SECONDS = 0.5
"""Shorter than it takes to notice anything by itself."""


def test_wait_when_events_are_there_then_they_come_at_once_from_where_the_reader_was(place: Place) -> None:
    """Nobody waits for what is recorded already; what was given is not given again."""
    run = begun(place)
    step(place, run, 1, 3)
    script = Script(place)
    tails = tails_of(place, script)
    tail, later = tails.open(SPACE, ROOT, 1), tails.open(SPACE, ROOT, 3)
    assert (sequences(tail.wait(LONG_SECONDS)), tail.next) == ([1, 2, 3, 4], 5)
    assert sequences(later.wait(LONG_SECONDS)) == [3, 4]
    step(place, run, 2)
    assert sequences(tail.wait(LONG_SECONDS)) == [5]
    assert script.waited == []


def test_wait_when_something_is_recorded_then_the_reader_is_given_it(place: Place) -> None:
    """A write to the run's history wakes it; one that tells nothing lets it wait on, for the time that is left."""
    run = begun(place)

    def nothing_to_tell() -> None:
        place.clock.advance(5)
        place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now()))

    script = Script(place, nothing_to_tell, lambda: step(place, run, 2))
    tail = tails_of(place, script).open(SPACE, ROOT, 2)
    assert sequences(tail.wait(LONG_SECONDS)) == [2]
    assert script.waited == [LONG_SECONDS, LONG_SECONDS - 5]
    assert keys.history(SPACE, run.run_id) in script.watched[-1]


def test_wait_when_the_time_is_over_then_it_returns_nothing(place: Place) -> None:
    """That is no error: the reader gets a sign of life, and waits again."""
    begun(place)
    script = Script(place)
    tail = tails_of(place, script).open(SPACE, ROOT, 2)
    assert tail.wait(7) == NOTHING
    assert (script.waited, tail.next) == ([7], 2)
    assert tail.wait(0) == NOTHING
    assert script.waited == [7], "no time at all is for one look"


@pytest.mark.parametrize("missed", [1, 2])
def test_watch_when_it_begins_then_the_reader_looks_once_more_before_it_waits(place: Place, missed: int) -> None:
    """What is recorded between a look and a watch would otherwise be seen when the time is over."""
    run = begun(place)

    class Late(LocalChangeWatch):
        """Watches a history only after something was recorded in it, the first or the second time."""

        def __init__(self) -> None:
            super().__init__()
            self.times = 0

        @contextmanager
        def watch(self, *partitions: str) -> Iterator[Any]:
            if keys.history(SPACE, run.run_id) in partitions:
                self.times += 1
                if self.times == missed:
                    step(place, run, 1)
            with super().watch(*partitions) as watched:
                yield watched

    watch = Late()
    place.store.listen(watch.notify)
    tails = TailService(place.engine.streams, SystemClock(), watch)
    with closing(tails.open(SPACE, ROOT, 2)) as tail:
        assert sequences(tail.wait(SHORT_SECONDS)) == [2]


def test_publishing_when_only_the_stream_has_grown_then_nothing_recorded_is_read_again(place: Place) -> None:
    """Readers of many tokens cost no more than the tokens: histories are read when something was recorded in them."""
    begun(place)
    store = CountingStore(items_of(place))
    tails, _ = live_tails(place, store)
    with closing(tails.open(SPACE, ROOT, 1)) as tail, closing(tails.open(SPACE, ROOT, 1)) as other:
        assert (sequences(tail.wait(SHORT_SECONDS)), sequences(other.wait(SHORT_SECONDS))) == ([1], [1])
        reads = store.reads
        for number in range(2, 12):
            tell(place, number)
            assert sequences(tail.wait(SHORT_SECONDS)) == sequences(other.wait(SHORT_SECONDS)) == [number]
        assert store.reads - reads == 10, "a query for each, which both readers share"


@pytest.mark.parametrize("ends", ["completes", "is terminated"])
def test_end_when_it_is_recorded_then_the_reader_is_told_with_the_last_events(place: Place, ends: str) -> None:
    """Also where no event says so; and whoever comes after the end learns it at once."""
    run = begun(place)

    def end() -> None:
        if ends == "completes":
            complete(place, run, 1)
        else:
            place.engine.closing.terminate(SPACE, ROOT)

    tails = tails_of(place, Script(place, end))
    tail = tails.open(SPACE, ROOT, 1)
    assert tail.wait(LONG_SECONDS) == TailUpdate(tuple(place.engine.streams.read(SPACE, ROOT, 1)), is_over=False)
    last = tail.wait(LONG_SECONDS)
    assert (sequences(last), last.is_over) == ([2] if ends == "completes" else [], True)
    assert tail.wait(LONG_SECONDS) == TailUpdate((), is_over=True)
    assert tails.open(SPACE, ROOT, 1).wait(LONG_SECONDS).is_over


def test_end_when_there_is_more_than_a_reader_is_given_at_a_time_then_it_comes_with_the_last_part(place: Place) -> None:
    """Memory of a reader is bounded: so many events at a time, though the execution has long ended."""
    run = begun(place)
    step(place, run, 1, 2 * EVENTS_AT_ONCE)
    complete(place, run, 2)
    tail = tails_of(place, Script(place)).open(SPACE, ROOT, 1)
    given = [tail.wait(LONG_SECONDS) for _ in range(3)]
    assert [(len(update.events), update.is_over) for update in given] == [
        (EVENTS_AT_ONCE, False),
        (EVENTS_AT_ONCE, False),
        (2, True),
    ]
    assert [number for update in given for number in sequences(update)] == list(range(1, 2 * EVENTS_AT_ONCE + 3))


def test_end_when_the_last_part_is_exactly_full_then_the_end_comes_with_it(place: Place) -> None:
    """Nothing is held back, and whoever looks again is told the same."""
    run = begun(place)
    step(place, run, 1, EVENTS_AT_ONCE - 2)
    complete(place, run, 2)
    tail = tails_of(place, Script(place)).open(SPACE, ROOT, 1)
    first, second = tail.wait(LONG_SECONDS), tail.wait(LONG_SECONDS)
    assert (len(first.events), first.is_over) == (EVENTS_AT_ONCE, True)
    assert second == TailUpdate((), is_over=True)


def test_events_when_they_are_large_then_a_reader_is_given_fewer_at_a_time(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events have up to 2 MB each: their number alone bounds nothing."""
    monkeypatch.setattr(shared_tail, "BYTES_AT_ONCE", 10_000)
    run = begun(place)
    for index in range(1, 7):
        large = ActivityScheduled(seq=index, name="a", input="x" * 6_000)
        place.commit(run, index, large, commit_id=f"c{index}")
    complete(place, run, 7)
    tail = tails_of(place, Script(place)).open(SPACE, ROOT, 1)
    given = list(islice(iter(lambda: tail.wait(LONG_SECONDS), None), 5))
    assert max(len(update.events) for update in given) == 3, "the start, and two that exceed it"
    assert [number for update in given for number in sequences(update)] == list(range(1, 9))
    assert [update.is_over for update in given].index(True) >= 3


@pytest.mark.parametrize(("space", "execution"), [(SPACE, "unknown"), (Workspace("other"), ROOT)])
def test_open_when_the_workspace_has_no_such_execution_then_not_found(
    place: Place, space: Workspace, execution: str
) -> None:
    """Invariant 9: to another workspace the execution does not exist."""
    begun(place)
    with pytest.raises(NotFound, match=execution):
        place.engine.tails.open(space, execution, 1)


@pytest.mark.parametrize("first", [-5, 0, 1])
def test_open_when_the_place_is_before_the_first_then_it_begins_with_the_first(place: Place, first: int) -> None:
    """Readers say 0 when they have seen nothing."""
    begun(place)
    tail = tails_of(place, Script(place)).open(SPACE, ROOT, first)
    assert (sequences(tail.wait(0)), tail.next) == ([1], 2)


def test_wait_when_publishing_fails_then_the_next_one_publishes(place: Place) -> None:
    """A reader whose publish failed is told so, and stands in nobody's way."""
    run = begun(place)
    step(place, run, 1)
    fault = OneFault("write", 1, Fate.REFUSED, is_armed=True)
    streams = StreamService(FaultyStore(items_of(place), Operations("publisher", fault)), place.conflicts)
    tails = TailService(streams, place.clock, Script(place))
    unlucky, other = tails.open(SPACE, ROOT, 1), tails.open(SPACE, ROOT, 1)
    with pytest.raises(Unavailable):
        unlucky.wait(LONG_SECONDS)
    assert sequences(other.wait(LONG_SECONDS)) == [1, 2]
    assert sequences(unlucky.wait(LONG_SECONDS)) == [1, 2]
