"""Many readers of one stream: one of them publishes, the others follow."""

import asyncio
import threading
from contextlib import closing
from typing import Any

import pytest

from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.tails import LEADERLESS_SECONDS, NOTHING, Tail, TailService
from levante_core.storage import keys
from levante_local.greenlets import call
from tests.support.faults import CountingStore
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
)

STREAM = (SPACE, ROOT)


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


async def read_all(tail: Tail, seen: list[int]) -> None:
    """Read until all is told, and leave."""
    with closing(tail):
        while True:
            update = await call(tail.wait, LONG_SECONDS)
            seen += sequences(update)
            if update.is_over:
                return


@pytest.mark.slow
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
