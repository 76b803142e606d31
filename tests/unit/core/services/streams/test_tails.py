"""Readers at the end of a stream: they wait, are woken, share one publisher, and are told when all is told."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from typing import Any

import pytest

from levante_core.adapters.system import SystemClock
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted, TimerStarted
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.errors import NotFound, Unavailable
from levante_core.ports.item_store import ItemStore
from levante_core.protocol.activities import Publication, TaskEventReport
from levante_core.services.streams import shared_tail
from levante_core.services.streams.activity_events import GrantedPublication
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.shared_tail import EVENTS_AT_ONCE
from levante_core.services.streams.tails import LEADERLESS_SECONDS, NOTHING, Tail, TailService, TailUpdate
from levante_core.storage import keys
from levante_local.change_watch import LocalChangeWatch
from levante_local.greenlets import call
from tests.support.faults import CountingStore, Fate, FaultyStore, OneFault, Operations
from tests.support.place import SPACE, Place

ROOT = ExecutionId("e")
STREAM = (SPACE, ROOT)
LONG_SECONDS = 20.0
"""Longer than anything here takes."""
SHORT_SECONDS = 0.5
"""Shorter than it takes to notice anything by itself."""


class Script:
    """A ChangeWatch whose waits do, one after the other, what a test says; then they let the time pass."""

    def __init__(self, place: Place, *actions: Callable[[], object]) -> None:
        self.waited: list[float] = []
        self.watched: list[Sequence[str]] = []
        self._actions = iter(actions)
        self._clock = place.clock

    @contextmanager
    def watch(self, *partitions: str) -> Iterator["Script"]:
        """See ChangeWatch."""
        self.watched.append(partitions)
        yield self

    def wait(self, seconds: float) -> None:
        """See Watched."""
        self.waited.append(seconds)
        action = next(self._actions, None)
        if action is None:
            self._clock.advance(seconds)
        else:
            action()

    def has_changed(self) -> bool:
        """See Watched: this one cannot tell."""
        return True


def items_of(place: Place) -> ItemStore:
    return place.engine.streams._store


def tails_of(place: Place, script: Script) -> TailService:
    return TailService(place.engine.streams, place.clock, script)


def live_tails(place: Place, store: ItemStore | None = None) -> tuple[TailService, LocalChangeWatch]:
    """Tails that are woken by the store's own writer, on a clock that goes."""
    watch = LocalChangeWatch()
    place.store.listen(watch.notify)
    return TailService(StreamService(store or items_of(place), place.conflicts), SystemClock(), watch), watch


def begun(place: Place) -> RunKey:
    return place.start(execution_id=ROOT)


def step(place: Place, run: RunKey, index: int, count: int = 1) -> None:
    """Commit a batch that makes so many events."""
    events = [ActivityScheduled(seq=1000 * index + number, name="a", input=None) for number in range(count)]
    place.commit(run, index, *events, commit_id=f"c{index}")


def tell(place: Place, number: int) -> None:
    """Add an event of a custom task that so many events are in front of."""
    report = TaskEventReport(
        number=number, at=place.clock.now(), event=TaskEvent(task_id="t", task_type="t", phase=TaskPhase.IN_PROGRESS)
    )
    execution = place.engine.executions.get(SPACE, ROOT)
    publication = Publication(
        token="not read here",
        activity_name="a",
        publisher="p",
        events=(report,),
        after=number - 1,
    )
    assert place.engine.task_events.append(SPACE, [GrantedPublication(place.attempt(execution.key), publication)]) == [
        number
    ]


def complete(place: Place, run: RunKey, index: int) -> None:
    place.commit(run, index, ExecutionCompleted(seq=9999, result=None))


def sequences(update: TailUpdate) -> list[int]:
    return [one.sequence for one in update.events]


# --- one reader -------------------------------------------------------------------------------------------------------


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


# --- those who follow -------------------------------------------------------------------------------------------------


def test_follower_when_another_reader_publishes_then_it_reads_and_writes_nothing(place: Place) -> None:
    """One publisher a process and stream: the others wait for what it writes, and look whether it is still there."""
    run = begun(place)
    step(place, run, 1)

    def publish() -> None:
        StreamService(items_of(place), place.conflicts).publish(SPACE, ROOT)

    store, script = CountingStore(items_of(place)), Script(place, publish)
    tails = TailService(StreamService(store, place.conflicts), place.clock, script)
    tails._led.add(STREAM)
    tail = tails.open(SPACE, ROOT, 1)
    assert sequences(tail.wait(LONG_SECONDS)) == [1, 2]
    assert (store.writes, script.waited) == (0, [LEADERLESS_SECONDS])
    assert set(script.watched) == {(keys.stream(SPACE, ROOT),)}


def test_follower_when_the_publisher_leaves_then_it_takes_over(place: Place) -> None:
    """What was recorded while nobody published is not lost, and not late by more than a moment."""
    run = begun(place)
    script = Script(place, lambda: step(place, run, 1), lambda: tails._led.discard(STREAM))
    tails = tails_of(place, script)
    tails._led.add(STREAM)
    tail = tails.open(SPACE, ROOT, 1)
    assert tail.wait(LONG_SECONDS) == NOTHING
    assert script.waited == [LEADERLESS_SECONDS] * 2
    assert sequences(tail.wait(LONG_SECONDS)) == [1, 2]
    assert STREAM not in tails._led


def test_follower_when_the_publisher_left_with_the_news_then_they_are_read_all_the_same(place: Place) -> None:
    """The publisher is gone for as long as it takes to send to its own reader: that costs the others nothing."""
    run = begun(place)

    def publish_and_leave() -> None:
        step(place, run, 1)
        place.engine.streams.publish(SPACE, ROOT)
        tails._led.discard(STREAM)

    tails = tails_of(place, Script(place, publish_and_leave))
    tails._led.add(STREAM)
    assert sequences(tails.open(SPACE, ROOT, 1).wait(LONG_SECONDS)) == [1, 2]


def test_follower_when_the_time_is_over_then_it_returns_nothing(place: Place) -> None:
    """It waits in moments, which do not add up to more than its time."""
    begun(place)
    place.engine.streams.publish(SPACE, ROOT)
    script = Script(place)
    tails = tails_of(place, script)
    tails._led.add(STREAM)
    tail = tails.open(SPACE, ROOT, 2)
    assert tail.wait(2.5) == NOTHING
    assert script.waited == [1.0, 1.0, 0.5]


@pytest.mark.parametrize("again", [False, True])
def test_follower_when_all_was_told_then_it_makes_sure_that_this_was_the_end(place: Place, *, again: bool) -> None:
    """The publisher may be slow, and the id may be used again: the last look is the reader's own."""
    first = begun(place)
    complete(place, first, 1)
    place.engine.streams.publish(SPACE, ROOT)
    if again:
        place.clock.advance(1)
        begun(place)
    tails = tails_of(place, Script(place))
    tails._led.add(STREAM)
    update = tails.open(SPACE, ROOT, 1).wait(LONG_SECONDS)
    assert (sequences(update), update.is_over) == (([1, 2, 3], False) if again else ([1, 2], True))


# --- many at once -----------------------------------------------------------------------------------------------------


async def read_all(tail: Tail, seen: list[int]) -> None:
    """Read until all is told, and leave."""
    with closing(tail):
        while True:
            update = await call(tail.wait, LONG_SECONDS)
            seen += sequences(update)
            if update.is_over:
                return


def test_readers_when_many_share_a_process_then_each_gets_everything_once_though_publishers_leave(place: Place) -> None:
    """Readers come at any point; the one that publishes leaves in the middle, twice; nobody publishes in vain."""
    run = begun(place)
    store = CountingStore(items_of(place))
    tails, watch = live_tails(place, store)

    async def main() -> list[list[int]]:
        seen: list[list[int]] = [[] for _ in range(20)]
        reading = [asyncio.create_task(read_all(tails.open(SPACE, ROOT, 1), mine)) for mine in seen[:15]]
        for index in range(1, 31):
            await call(step, place, run, index)
            while seen[14][-1:] != [index + 1]:
                await asyncio.sleep(0)
            if index in (10, 20):
                leaver = reading.pop(0)
                leaver.cancel()
                await asyncio.gather(leaver, return_exceptions=True)
            if index % 6 == 0:
                mine = seen[14 + index // 6]
                reading.append(asyncio.create_task(read_all(tails.open(SPACE, ROOT, 1), mine)))
        await call(complete, place, run, 31)
        await asyncio.wait_for(asyncio.gather(*reading), LONG_SECONDS)
        return seen

    seen = asyncio.run(main())
    assert all(mine == list(range(1, 33)) for mine in seen[2:])
    assert all(mine == list(range(1, len(mine) + 1)) for mine in seen[:2])
    assert store.writes == place.engine.streams.head(SPACE, ROOT).version, "no race was lost, as nobody raced"
    assert (tails._led, tails._ends, watch._watchers) == (set(), {}, {}), "nothing is left of them"


def test_reader_when_it_is_slow_then_nobody_waits_for_it(place: Place) -> None:
    """It may be the one that published last; the others go on, and what it has not taken stays in the store."""
    run = begun(place)
    tails, _ = live_tails(place)

    async def main() -> tuple[list[int], list[int]]:
        slow, quick = tails.open(SPACE, ROOT, 1), tails.open(SPACE, ROOT, 1)
        late = sequences(await call(slow.wait, LONG_SECONDS))
        seen: list[int] = []
        reading = asyncio.create_task(read_all(quick, seen))
        for index in range(1, 20):
            await call(step, place, run, index)
        await call(complete, place, run, 20)
        await asyncio.wait_for(reading, LONG_SECONDS)
        await read_all(slow, late)
        return seen, late

    seen, late = asyncio.run(main())
    assert seen == late == list(range(1, 22))


def test_readers_when_they_are_threads_then_each_gets_everything_once(place: Place) -> None:
    """Behind another server, synchronous code runs in threads; there two may publish at once, and no harm is done."""
    run = begun(place)
    tails, _ = live_tails(place)
    seen: list[list[int]] = [[] for _ in range(6)]

    def read(mine: list[int]) -> None:
        tail = tails.open(SPACE, ROOT, 1)
        update: Any = NOTHING
        while not update.is_over:
            update = tail.wait(LONG_SECONDS)
            mine += sequences(update)

    readers = [threading.Thread(target=read, args=(mine,)) for mine in seen]
    for reader in readers:
        reader.start()
    for index in range(1, 30):
        step(place, run, index)
    complete(place, run, 30)
    for reader in readers:
        reader.join(LONG_SECONDS)
    assert seen == [list(range(1, 32))] * 6
