"""The change feed on one machine: every change reaches the stream handler, in order, at least once."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from levante_core.errors import Unavailable
from levante_core.ports.item_store import Change, Item, Key, Put
from levante_dispatcher.handlers import DispatcherHandlers
from levante_local import pumps
from levante_local.greenlets import call
from levante_local.pumps import ChangePump
from levante_local.sqlite.store import SqliteItemStore
from tests.integration.api.harness import on_a_loop

KEPT = "kept"


class Stream:
    """A stream handler that remembers the batches it was given, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.errors: list[Exception] = []
        self.before: Callable[[], object] = lambda: None

    @property
    def handlers(self) -> DispatcherHandlers:
        return DispatcherHandlers(self.handle, _never, _never)

    @property
    def taken(self) -> list[int]:
        """The numbers of the items whose changes were dealt with."""
        return [number for batch in self.batches for number in batch]

    def handle(self, event: Mapping[str, Any], _: object) -> dict[str, Any]:
        self.before()
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append([int(record["dynamodb"]["Keys"]["sk"]["S"]) for record in event["Records"]])
        return {"batchItemFailures": []}


class Guarded(asyncio.Event):
    """An event that remembers which threads have set it; it is not made for others than the loop's."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def set(self) -> None:
        """See asyncio.Event."""
        self.threads.add(threading.get_ident())
        super().set()


class Interrupted(SqliteItemStore):
    """A store that fails reads of the feed, or lets something happen right after one, before its caller goes on."""

    read_errors: list[Exception]
    after_read: list[Callable[[], object]]

    def __init__(self, path: Path) -> None:
        super().__init__(path, "NORMAL", feeds=lambda _, new: bool(new and new.get(KEPT)))
        self.read_errors, self.after_read = [], []

    def read_changes(self, after: str | None, limit: int) -> list[Change]:
        """See SqliteItemStore."""
        if self.read_errors:
            raise self.read_errors.pop(0)
        changes = super().read_changes(after, limit)
        if self.after_read:
            self.after_read.pop(0)()
        return changes


def _never(_: object, __: object) -> dict[str, Any]:
    raise AssertionError("only the stream handler is called")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "items.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[Interrupted]:
    with closing(Interrupted(path)) as opened:
        yield opened


@pytest.fixture
def stream() -> Stream:
    return Stream()


def write(store: SqliteItemStore, numbers: Sequence[int], *, kept: bool = True) -> None:
    for number in numbers:
        store.write(Put(Item(Key("p", str(number)), {KEPT: kept})))


def left(store: SqliteItemStore) -> list[int]:
    """Return the numbers of the items whose changes the next process would be given."""
    return [int(change.key.sort) for change in SqliteItemStore.read_changes(store, None, 1000)]


async def until_idle() -> None:
    """Let the event loop do everything that it can do by now."""
    for _ in range(10):
        await asyncio.sleep(0)


async def steps(pump: ChangePump) -> None:
    """Let the pump do all that there is to do."""
    going = asyncio.create_task(_going(pump))
    await until_idle()
    while not going.done() and (pump._arrived or pump._is_behind):
        await asyncio.sleep(0)
    going.cancel()
    (outcome,) = await asyncio.gather(going, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError), outcome


async def _going(pump: ChangePump) -> None:
    while True:
        assert await pump.step() == 0.0
        await asyncio.sleep(0)


@pytest.mark.parametrize("is_pushed", [True, False], ids=["pushed", "of an earlier process"])
@on_a_loop
async def test_batch_when_its_handler_fails_then_it_is_handed_over_again_whole(
    store: Interrupted, stream: Stream, *, is_pushed: bool
) -> None:
    """What a batch asks for happens in the end, however often the handler fails, and nothing overtakes it."""
    if not is_pushed:
        write(store, [1, 2])
    pump = ChangePump(store, stream.handlers)
    if is_pushed:
        await steps(pump)
        write(store, [1, 2])
    stream.errors = [Unavailable("down"), ValueError("a bug")]
    for kind in (Unavailable, ValueError):
        with pytest.raises(kind):
            await pump.step()
        write(store, [2 + len(stream.errors)], kept=False)
        assert left(store) == [1, 2]
    write(store, [3])
    await steps(pump)
    assert stream.taken == [1, 2, 3]
    assert left(store) == []


@pytest.mark.parametrize("is_pushed", [True, False], ids=["pushed", "of an earlier process"])
@on_a_loop
async def test_batch_when_its_process_dies_inside_the_handler_then_the_next_process_is_given_it(
    store: Interrupted, stream: Stream, path: Path, *, is_pushed: bool
) -> None:
    """A change is forgotten after it was dealt with, never before."""
    if not is_pushed:
        write(store, [1, 2])
    pump = ChangePump(store, stream.handlers)
    if is_pushed:
        await steps(pump)
        write(store, [1, 2])
    stream.errors = [RuntimeError("killed")]
    with pytest.raises(RuntimeError):
        await pump.step()
    store.close()
    with closing(Interrupted(path)) as reopened:
        await steps(ChangePump(reopened, stream.handlers))
    assert stream.taken == [1, 2]
    with closing(Interrupted(path)) as reopened:
        await steps(ChangePump(reopened, stream.handlers))
    assert stream.taken == [1, 2], "what was dealt with is not given to a third one"


@on_a_loop
async def test_batch_while_the_handler_has_it_then_it_is_still_in_the_feed(store: Interrupted, stream: Stream) -> None:
    """Whoever ends the process inside the handler loses nothing, even if the store is closed in good order."""
    seen: list[list[int]] = []
    write(store, [1])
    pump = ChangePump(store, stream.handlers)
    stream.before = lambda: seen.append(left(store))
    await steps(pump)
    write(store, [2])
    await steps(pump)
    assert seen == [[1], [2]]
    assert left(store) == []


@on_a_loop
async def test_changes_when_some_are_of_an_earlier_process_then_those_come_first_and_each_once(
    store: Interrupted, stream: Stream
) -> None:
    """Order is that of the writes; what is both in the table and pushed is one change."""
    write(store, [1, 2])
    pump = ChangePump(store, stream.handlers)
    write(store, [3])
    store.after_read = [lambda: write(store, [4]), lambda: write(store, [5])]
    await steps(pump)
    write(store, [6])
    await steps(pump)
    assert stream.taken == [1, 2, 3, 4, 5, 6]


@on_a_loop
async def test_change_when_it_arrives_right_after_the_last_look_into_the_table_then_it_is_handed_over(
    store: Interrupted, stream: Stream
) -> None:
    """Between the table and what is pushed there is no gap."""
    pump = ChangePump(store, stream.handlers)
    store.after_read = [lambda: write(store, [1])]
    await steps(pump)
    assert stream.taken == [1]


@on_a_loop
async def test_changes_when_more_are_pushed_than_are_kept_then_the_rest_is_read(
    store: Interrupted, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory has a bound, and no change is lost by it."""
    monkeypatch.setattr(pumps, "MOST_ARRIVED", 3)
    pump = ChangePump(store, stream.handlers)
    await steps(pump)
    write(store, range(1, 9))
    assert len(pump._arrived) <= 3
    await steps(pump)
    write(store, [9, 10])
    await steps(pump)
    assert stream.taken == list(range(1, 11))


@on_a_loop
async def test_changes_when_there_are_many_then_they_come_in_batches_of_a_bounded_size(
    store: Interrupted, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch is never larger than Lambda's, whether its changes are read or pushed."""
    monkeypatch.setattr(pumps, "STREAM_BATCH", 2)
    write(store, [1, 2, 3, 4, 5])
    pump = ChangePump(store, stream.handlers)
    await steps(pump)
    write(store, [6, 7, 8])
    await steps(pump)
    assert stream.batches == [[1, 2], [3, 4], [5], [6, 7], [8]]


@on_a_loop
async def test_feed_when_it_cannot_be_read_then_the_next_round_reads_it(store: Interrupted, stream: Stream) -> None:
    """An error of the file is the supervisor's to repeat; what was not read is still to be read."""
    write(store, [1, 2])
    pump = ChangePump(store, stream.handlers)
    store.read_errors = [Unavailable("disk")]
    with pytest.raises(Unavailable):
        await pump.step()
    await steps(pump)
    assert stream.taken == [1, 2]


@pytest.mark.parametrize("by", ["a thread", "the loop"])
@on_a_loop
async def test_pump_when_nothing_happens_then_it_waits_until_something_is_written(
    store: Interrupted, stream: Stream, by: str
) -> None:
    """It never polls, and whoever writes wakes it; what the feed does not keep is not its business."""
    pump = ChangePump(store, stream.handlers)
    pump._wake = woken = Guarded()
    async with asyncio.timeout(10):
        step = asyncio.create_task(pump.step())
        await until_idle()
        await call(write, store, [1])
        await step
        step = asyncio.create_task(pump.step())
        await until_idle()
        await asyncio.to_thread(lambda: write(store, [2], kept=False))
        await until_idle()
        assert not step.done()
        if by == "a thread":
            await asyncio.to_thread(write, store, [3])
        else:
            await call(write, store, [3])
        await step
    assert stream.batches == [[1], [3]]
    assert woken.threads == {threading.get_ident()}
