"""What the store reads of its feed when rows are damaged or dealt with, what it lets expire, and where pages end."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from levante_core.ports.item_store import EXPIRES_AT, ConditionFailed, Item, Key, Put, Query, Write
from levante_local.sqlite.store import SqliteItemStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "items.sqlite"


@pytest.fixture
def unreadable() -> list[Exception]:
    """What the store said of rows that it could not read."""
    return []


@pytest.fixture
def store(path: Path, unreadable: list[Exception]) -> Iterator[SqliteItemStore]:
    with closing(SqliteItemStore(path, "NORMAL", on_unreadable=unreadable.append)) as opened:
        for number in range(1, 7):
            opened.write(Put(Item(Key("p", str(number)))))
        yield opened


def damage(path: Path, *sequences: int) -> None:
    with closing(sqlite3.connect(path)) as vandal, vandal:
        vandal.executemany(
            "UPDATE changes SET new_documents = ? WHERE sequence = ?", [("{", number) for number in sequences]
        )


def read(store: SqliteItemStore, after: int | None, limit: int = 2) -> list[str]:
    changes = store.read_changes(None if after is None else str(after), limit)
    return [change.key.sort for change in changes]


def set_aside(path: Path) -> list[int]:
    with closing(sqlite3.connect(path)) as reader:
        return [row[0] for row in reader.execute("SELECT sequence FROM changes_set_aside ORDER BY sequence")]


@pytest.mark.parametrize(
    ("damaged", "expected"),
    [([1], ["2"]), ([2], ["1"]), ([1, 2], ["3", "4"]), ([1, 2, 3, 4], ["5", "6"]), ([1, 2, 3, 4, 5, 6], [])],
)
def test_read_changes_when_rows_are_damaged_then_the_others_are_read_and_each_damage_is_told_once(
    store: SqliteItemStore, path: Path, unreadable: list[Exception], damaged: list[int], expected: list[str]
) -> None:
    """A row holds up no other one, not even a page of them; it is kept until somebody has mended it."""
    damage(path, *damaged)
    assert read(store, None) == expected
    assert set_aside(path) == damaged
    assert len(unreadable) == len(damaged)
    assert read(store, None)[: len(expected)] == expected
    assert len(unreadable) == len(damaged)


@pytest.mark.parametrize(("after", "acknowledged", "expected"), [(None, 2, "3"), (1, 3, "4"), (4, 2, "5")])
def test_read_changes_when_some_were_dealt_with_then_it_goes_on_after_the_later_of_both(
    store: SqliteItemStore, after: int | None, acknowledged: int, expected: str
) -> None:
    """Rows that were acknowledged may still be there, and are not read again."""
    store.acknowledge_changes(str(acknowledged))
    assert read(store, after, limit=1) == [expected]


class Overtaken(SqliteItemStore):
    """A store in which somebody writes right after what has expired was found. meanwhile: those writes, once."""

    meanwhile: tuple[Write, ...] = ()

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """See SqliteItemStore."""
        mine, self.meanwhile = self.meanwhile, ()
        if mine:
            super().write_each([mine])
        return super().write_each(groups)


def test_delete_expired_when_an_item_is_written_right_after_it_was_found_then_it_stays(path: Path) -> None:
    """Whoever writes an item anew means it to be there; the others go."""
    with closing(Overtaken(path, "NORMAL")) as store:
        for sort in "ab":
            store.write(Put(Item(Key("p", sort), {EXPIRES_AT: SECONDS})))
        store.meanwhile = (Put(Item(Key("p", "a"), {EXPIRES_AT: SECONDS + 1})),)
        store.delete_expired(NOW, 10)
        assert [item.key.sort for item in store.query(Query("p")).items] == ["a"]
        assert store.delete_expired(NOW, 10) == 0


@pytest.mark.parametrize(("count", "limit", "deleted"), [(3, 2, 2), (2, 2, 2), (0, 2, 0)])
def test_delete_expired_when_there_are_more_than_it_may_delete_then_it_says_how_many_it_has(
    path: Path, count: int, limit: int, deleted: int
) -> None:
    """Whoever calls it goes on until it deletes fewer."""
    with closing(SqliteItemStore(path, "NORMAL")) as store:
        for number in range(count):
            store.write(Put(Item(Key("p", str(number)), {EXPIRES_AT: SECONDS})))
        assert store.delete_expired(NOW, limit) == deleted
        assert len(store.query(Query("p")).items) == count - deleted


def test_close_while_somebody_reads_then_that_connection_is_closed_when_the_read_is_done(store: SqliteItemStore) -> None:
    """Nothing keeps the file open but reads that are still going on."""
    lent = store._borrow()
    store.close()
    assert lent.execute("SELECT count(*) FROM items").fetchone() == (6,)
    store._give_back(lent)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        lent.execute("SELECT 1")


@pytest.mark.parametrize(("limit", "has_more"), [(5, True), (6, False), (7, False), (None, False)])
def test_query_when_its_page_holds_the_last_item_then_there_is_no_further_page(
    store: SqliteItemStore, limit: int | None, *, has_more: bool
) -> None:
    """Nobody is sent to an empty page."""
    assert (store.query(Query("p", limit=limit)).next is not None) is has_more
