import asyncio
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from levante_core.errors import NotStorable
from levante_core.ports.item_store import Absent, Change, ConditionFailed, Item, Key, Put, Query, Update
from levante_local.greenlets import call
from levante_local.sqlite.store import SqliteItemStore

COUNTER = Key("partition", "counter")
STARTER = Put(Item(Key("starter", "s")))


def put(sort: str, **documents: object) -> Put:
    return Put(Item(Key("partition", sort), documents=documents), Absent())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteItemStore]:
    with closing(SqliteItemStore(tmp_path / "items.db")) as opened:
        yield opened


class Hold:
    """A listener that holds the writer right after its first commit, so that all other writes queue up behind it."""

    def __init__(self) -> None:
        self.is_durable = threading.Event()
        self.is_released = threading.Event()

    def __call__(self, changes: Sequence[Change]) -> None:
        self.is_durable.set()
        assert self.is_released.wait(30)


async def write_held(store: SqliteItemStore, hold: Hold, write: Put) -> asyncio.Task[None]:
    """Start a write, and return when its commit is durable and held."""
    store.listen(hold)
    task = asyncio.create_task(call(store.write, write))
    await asyncio.to_thread(hold.is_durable.wait, 30)
    return task


async def write_together(store: SqliteItemStore, *writes: Put | Update) -> list[object]:
    """Let all these writers wait at the same moment. Returns what each of them got."""
    hold = Hold()
    starter = await write_held(store, hold, STARTER)
    tasks = [asyncio.create_task(call(store.write, write)) for write in writes]
    await asyncio.sleep(0)
    hold.is_released.set()
    await starter
    return list(await asyncio.gather(*tasks, return_exceptions=True))


def test_write_when_fifty_are_waiting_shares_one_commit(store: SqliteItemStore) -> None:
    """Everything that waits goes into the next commit: fifty writers, one fsync."""
    outcomes = asyncio.run(write_together(store, *[Update(COUNTER, add={"count": 1})] * 50))
    assert outcomes == [None] * 50
    assert store.commits == 2
    assert store.get(COUNTER) == Item(COUNTER, {"count": 50})


def test_write_when_a_group_of_the_same_commit_came_first_is_refused(store: SqliteItemStore) -> None:
    """A condition is judged on what the groups before it leave behind, committed or not."""
    outcomes = asyncio.run(write_together(store, put("a", owner=1), put("a", owner=2), put("a", owner=3)))
    assert outcomes[0] is None
    for outcome in outcomes[1:]:
        assert isinstance(outcome, ConditionFailed)
        assert outcome.existing == (put("a", owner=1).item,)
    assert store.commits == 2


@pytest.mark.parametrize("bad", [{"value": object()}, {"value": "\ud800"}], ids=["no JSON", "no Unicode"])
def test_write_when_another_group_of_the_commit_is_broken_is_carried_out(
    store: SqliteItemStore, bad: dict[str, object]
) -> None:
    """An error in one group is that caller's alone; its neighbours commit, and of it there is no trace."""
    outcomes = asyncio.run(write_together(store, put("a"), put("broken", **bad), put("b")))
    assert [type(outcome) for outcome in outcomes[::2]] == [type(None)] * 2
    assert isinstance(outcomes[1], TypeError | ValueError | NotStorable)
    assert [found.key.sort for found in store.query(Query("partition")).items] == ["a", "b"]
    assert store.commits == 2


def test_write_when_its_second_item_is_broken_leaves_no_trace_of_the_first(store: SqliteItemStore) -> None:
    """A group that fails halfway is undone, its feed entries included."""
    with pytest.raises(TypeError):
        store.write(put("a"), put("b", value=object()))
    store.write(put("c"))
    assert [found.key.sort for found in store.query(Query("partition")).items] == ["c"]
    assert [change.key.sort for change in store.read_changes(None, 10)] == ["c"]


def test_write_when_its_caller_was_cancelled_before_its_turn_is_not_carried_out(store: SqliteItemStore) -> None:
    """Who is gone before the commit begins has written nothing; the others are not disturbed."""

    async def main() -> None:
        hold = Hold()
        going_on = await write_held(store, hold, put("a"))
        waiting = asyncio.create_task(call(store.write, put("b")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        hold.is_released.set()
        await going_on

    asyncio.run(main())
    store.write(put("c"))
    assert [found.key.sort for found in store.query(Query("partition")).items] == ["a", "c"]


def test_listen_is_told_after_the_commit_is_durable_and_before_the_writer_hears_of_it(
    store: SqliteItemStore, tmp_path: Path
) -> None:
    """Whoever learned of a write finds every watcher woken, and a watcher that reads finds the write."""
    heard: list[tuple[list[str], int]] = []

    def listener(changes: Sequence[Change]) -> None:
        with closing(sqlite3.connect(tmp_path / "items.db")) as reader:
            (items,) = reader.execute("SELECT count(*) FROM items").fetchone()
        heard.append(([change.key.sort for change in changes], items))

    store.listen(listener)
    store.write(put("a"), put("b"))
    assert heard == [(["a", "b"], 2)]
    with pytest.raises(ConditionFailed):
        store.write(put("a"))
    assert len(heard) == 1


def test_listen_when_the_listener_fails_the_write_stands(store: SqliteItemStore, caplog: pytest.LogCaptureFixture) -> None:
    """A durable write is never reported as failed, and the other listeners are told as well."""
    heard: list[Sequence[Change]] = []

    def fail(_: Sequence[Change]) -> None:
        raise KeyError

    store.listen(fail)
    store.listen(heard.append)
    with caplog.at_level(logging.ERROR):
        store.write(put("a"))
    assert len(heard) == 1
    assert "listener" in caplog.text


def test_listen_when_the_listener_writes_is_an_error_and_no_deadlock(
    store: SqliteItemStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The writer cannot wait for itself, so it says so."""
    store.listen(lambda _: store.write(put("from the listener")))
    store.write(put("a"))
    assert "wait for itself" in caplog.text
    assert [found.key.sort for found in store.query(Query("partition")).items] == ["a"]


def test_close_finishes_the_writes_that_are_waiting(store: SqliteItemStore) -> None:
    """What was accepted is carried out, whoever closes meanwhile."""

    async def main() -> list[object]:
        hold = Hold()
        going_on = await write_held(store, hold, STARTER)
        tasks = [asyncio.create_task(call(store.write, put(str(number)))) for number in range(5)]
        await asyncio.sleep(0)
        closing_down = asyncio.create_task(asyncio.to_thread(store.close))
        hold.is_released.set()
        await asyncio.gather(going_on, closing_down)
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    assert asyncio.run(main()) == [None] * 5


def test_listen_when_threads_and_the_loop_write_then_changes_are_told_in_their_order(tmp_path: Path) -> None:
    """Whoever follows the feed takes what comes later for all that there was before."""
    heard: list[int] = []

    async def write(store: SqliteItemStore) -> None:
        threads = [asyncio.to_thread(put_all, store, f"thread-{number}") for number in range(4)]
        calls = [call(put_all, store, f"loop-{number}") for number in range(4)]
        await asyncio.gather(*threads, *calls)

    def put_all(store: SqliteItemStore, name: str) -> None:
        for number in range(25):
            store.write(Put(Item(Key(name, str(number)))))

    with closing(SqliteItemStore(tmp_path / "ordered.sqlite", "NORMAL", on_loop=True)) as store:
        store.listen(lambda changes: heard.extend(int(change.sequence) for change in changes))
        asyncio.run(write(store))
    assert heard == sorted(heard)
    assert len(heard) == 200
