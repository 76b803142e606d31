import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from levante_core.ports.item_store import Item, Key, Put
from levante_core.ports.surroundings import ChangeWatch
from levante_local.change_watch import LocalChangeWatch
from levante_local.greenlets import call
from levante_local.sqlite.store import SqliteItemStore


@pytest.fixture
def watch() -> LocalChangeWatch:
    return LocalChangeWatch()


@pytest.fixture
def store(tmp_path: Path, watch: LocalChangeWatch) -> Iterator[SqliteItemStore]:
    with closing(SqliteItemStore(tmp_path / "items.db")) as opened:
        opened.listen(watch.notify)
        yield opened


def put(partition: str, count: int = 0) -> Put:
    return Put(Item(Key(partition, "sort"), {"count": count}))


def test_wait_when_the_partition_is_written_returns_for_all_who_watch_it(store: SqliteItemStore, watch: ChangeWatch) -> None:
    """A write wakes every watcher of its partition and finds them reading what was written; no other watcher stirs."""

    def follow(partition: str) -> Item | None:
        with watch.watch(partition) as watched:
            watched.wait(30)
            return store.get(Key(partition, "sort"))

    async def main() -> None:
        followers = [asyncio.create_task(call(follow, partition)) for partition in ("p", "p", "q")]
        await asyncio.sleep(0)
        await call(store.write, put("p"))
        assert await asyncio.gather(*followers[:2]) == [put("p").item] * 2
        assert not followers[2].done()
        await call(store.write, put("q"))
        assert await followers[2] == put("q").item

    asyncio.run(main())


def test_wait_when_the_write_came_after_the_watch_began_returns_at_once(store: SqliteItemStore, watch: ChangeWatch) -> None:
    """Open it before you read, then no change is missed: not between read and wait, nor between two waits."""
    with watch.watch("p") as watched:
        for count in range(3):
            store.write(put("p", count))
            watched.wait(30)


def test_wait_when_nothing_is_written_returns_when_the_time_is_over(watch: ChangeWatch) -> None:
    """The end of the time is no error: the caller looks again either way."""
    with watch.watch("p") as watched:
        watched.wait(0.001)
        watched.wait(0)


def test_has_changed_when_asked_then_it_says_so_once_and_waits_for_nothing(
    store: SqliteItemStore, watch: ChangeWatch
) -> None:
    """Whoever shares what was read looks again only where something was written, and only once for it."""
    with watch.watch("p") as watched, watch.watch("q") as other:
        assert not watched.has_changed()
        store.write(put("p"))
        assert (watched.has_changed(), other.has_changed()) == (True, False)
        assert not watched.has_changed()
        store.write(put("p", 1))
        watched.wait(30)
        assert not watched.has_changed(), "the wait has taken it"


def test_watch_when_left_in_any_way_keeps_nothing(watch: LocalChangeWatch) -> None:
    """Clients come and go; a partition that nobody watches costs nothing."""

    def follow() -> None:
        with watch.watch("p") as watched:
            watched.wait(30)

    async def main() -> None:
        follower = asyncio.create_task(call(follow))
        await asyncio.sleep(0)
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)

    with watch.watch("p"), watch.watch("q"):
        pass
    asyncio.run(main())
    assert not watch._watchers


def test_watch_when_it_is_of_several_partitions_then_each_of_them_wakes_it(
    store: SqliteItemStore, watch: ChangeWatch
) -> None:
    """Whoever waits for an answer looks after the execution, too."""
    with watch.watch("p", "q") as watched:
        for partition in ("p", "q"):
            store.write(put(partition))
            assert watched.has_changed()


def test_watch_when_another_one_of_its_partition_is_left_then_it_goes_on(store: SqliteItemStore, watch: ChangeWatch) -> None:
    """A client that goes takes no other one with it."""
    with watch.watch("p") as watched:
        with watch.watch("p"):
            pass
        store.write(put("p"))
        assert watched.has_changed()
