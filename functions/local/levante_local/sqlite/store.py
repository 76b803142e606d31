"""The item store in an SQLite file: reads, and the entrance to the writer."""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from levante_core.adapters.page_tokens import page_token, place_of
from levante_core.adapters.write_rules import check_group
from levante_core.errors import Unavailable, loggable
from levante_core.ports.item_store import (
    EXPIRES_AT,
    Change,
    ConditionFailed,
    Delete,
    Item,
    Key,
    Matches,
    Page,
    Query,
    Write,
)
from levante_local.data_directory import create_private, prepare_directory
from levante_local.greenlets import wait_for
from levante_local.sqlite.item_columns import Columns, decode
from levante_local.sqlite.schema import FIND_EXPIRED, Synchronous, connect, lock, prepare
from levante_local.sqlite.writer import Feeds, Listener, SqliteWriter, as_change, is_undecodable

_ALL = -1
"""SQLite's LIMIT for no limit."""

_GET = "SELECT attributes, indexes, documents FROM items WHERE partition = ? AND sort = ?"
_COUNT = "SELECT count(*) FROM index_entries WHERE name = ? AND partition = ?"
_SEQUENCES = "SELECT sequence FROM changes WHERE sequence > ? ORDER BY sequence LIMIT ?"
_CHANGE = """
SELECT partition, sort, old_attributes, old_indexes, old_documents, new_attributes, new_indexes, new_documents
FROM changes WHERE sequence = ?
"""


logger = logging.getLogger("levante.host")


def _log_unreadable(error: Exception) -> None:
    logger.error("a row of the change feed cannot be read and was set aside: %s", loggable(error))


class SqliteItemStore:
    """An item store and its change feed in one file, for one process, thread safe.

    Reads run beside the writer, each on a connection of its own, and see every acknowledged write. A write returns
    after its fsync, which it shares with all the writes that were waiting at that moment.
    """

    def __init__(
        self,
        path: Path,
        synchronous: Synchronous = "FULL",
        *,
        feeds: Feeds | None = None,
        on_loop: bool = False,
        on_unreadable: Callable[[Exception], object] = _log_unreadable,
    ) -> None:
        """Open the file, or create it.

        feeds: which changes the feed keeps, by the item's attributes before, if it was deleted, or else afterwards; None
        keeps all. Listeners hear of all, with the sequence 0 for those that are not kept. on_loop: see SqliteWriter.
        on_unreadable: called when a row of the feed was set aside.

        Raises: StoreNotOpened if another process has it, or if this version cannot read it.
        """
        prepare_directory(path.parent)
        create_private(path)
        self._path, self._synchronous = path, synchronous
        self._lock = lock(path)
        try:
            prepare(path)
            self._writer = SqliteWriter(connect(path, synchronous), feeds=feeds, on_loop=on_loop)
        except BaseException:
            os.close(self._lock)
            raise
        self._inode = path.stat().st_ino
        self._on_unreadable = on_unreadable
        self._lending = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @property
    def is_in_place(self) -> bool:
        """Whether the file is still at its path."""
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    @property
    def commits(self) -> int:
        """How many commits have changed anything; each costs one fsync."""
        return self._writer.commits

    @property
    def size_bytes(self) -> int:
        """How large the file is, with its write-ahead log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def get(self, key: Key) -> Item | None:
        """Read one item as of its last acknowledged write."""
        rows = self._fetch(_GET, (key.partition, key.sort))
        return decode(key, Columns(*rows[0])) if rows else None

    def write(self, *writes: Write) -> None:
        """Carry out all writes or none; durable on return.

        Raises: ConditionFailed; Unavailable; NotStorable; ValueError for what no store could carry out.
        Cost: a share of one fsync.
        """
        (outcome,) = self.write_each((writes,))
        if outcome is not None:
            raise outcome

    def write_each(self, groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
        """Carry out every group as `write` would, all in one commit; durable on return. Cost: a share of one fsync."""
        for group in groups:
            check_group(group)
        return wait_for(self._writer.submit(groups)) if groups else []

    def query(self, query: Query) -> Page:
        """Page through items, or through an index by the sort key there and then by the item's key.

        Those of an index come without documents; here they are as fresh as the others.
        Raises: InvalidInput if `after` is no token of this query.
        """
        return self._items(query) if query.index is None else self._listed(query)

    def _items(self, query: Query) -> Page:
        first, last, limit = query.first, query.last, query.limit
        low, high, order = (">=", "<=", "DESC") if query.descending else (">=", "<=", "ASC")
        if query.after is not None:
            (last_read,) = place_of(query, query.after, 1)
            if query.descending:
                high, last = "<", last_read
            else:
                low, first = ">", last_read
        sql = f"""
            SELECT sort, attributes, indexes, documents FROM items
            WHERE partition = ? AND sort {low} ? AND sort {high} ? ORDER BY sort {order} LIMIT ?
        """  # noqa: S608 - operators only, values are bound
        rows = self._fetch(sql, (query.partition, first, last, _one_more(limit)))
        items = [decode(Key(query.partition, sort), Columns(*columns)) for sort, *columns in rows[:limit]]
        more = limit is not None and len(rows) > limit
        return Page(items, page_token(query, [items[-1].key.sort]) if more else None)

    def _listed(self, query: Query) -> Page:
        limit = query.limit
        order, further = ("DESC", "<") if query.descending else ("ASC", ">")
        continued = "" if query.after is None else f"AND (e.sort, e.item_partition, e.item_sort) {further} (?, ?, ?)"
        last_read = () if query.after is None else place_of(query, query.after, 3)
        sql = f"""
            SELECT e.sort, e.item_partition, e.item_sort, i.attributes, i.indexes
            FROM index_entries AS e JOIN items AS i ON i.partition = e.item_partition AND i.sort = e.item_sort
            WHERE e.name = ? AND e.partition = ? AND e.sort >= ? AND e.sort <= ? {continued}
            ORDER BY e.sort {order}, e.item_partition {order}, e.item_sort {order} LIMIT ?
        """  # noqa: S608 - operators only, values are bound
        where = (query.index, query.partition, query.first, query.last)
        rows = self._fetch(sql, (*where, *last_read, _one_more(limit)))
        items = [decode(Key(*row[1:3]), Columns(row[3], row[4], "{}")) for row in rows[:limit]]
        more = limit is not None and len(rows) > limit
        return Page(items, page_token(query, rows[len(items) - 1][:3]) if more else None)

    def count(self, index: str, partition: str) -> int:
        """Count what a partition of an index lists. Cost: reads its entries, and no items."""
        ((count,),) = self._fetch(_COUNT, (index, partition))
        return int(count)

    def delete_expired(self, until: datetime, limit: int) -> int:
        """Delete items that were to be kept until this time at most, as DynamoDB does by itself. Returns how many.

        One that was written anew meanwhile stays. Cost: a query and a write for each.
        """
        found = self._fetch(FIND_EXPIRED, (int(until.timestamp()), limit))
        self.write_each([[Delete(Key(partition, sort), Matches({EXPIRES_AT: at}))] for partition, sort, at in found])
        return len(found)

    def read_changes(self, after: str | None, limit: int) -> list[Change]:
        """Read the changes that follow a sequence (None: the oldest kept), oldest first.

        A row that cannot be read is set aside: the feed goes on, and the row is tried again when the file is next opened.
        """
        known = max(int(after or 0), self._writer.acknowledged)
        while sequences := [sequence for (sequence,) in self._fetch(_SEQUENCES, (known, limit))]:
            changes = [change for change in map(self._read_change, sequences) if change]
            if changes:
                return changes
            known = sequences[-1]
        return []

    def _read_change(self, sequence: int) -> Change | None:
        try:
            for row in self._fetch(_CHANGE, (sequence,)):
                return as_change(sequence, Key(*row[:2]), _columns(row[2:5]), _columns(row[5:]))
        except (ValueError, TypeError, sqlite3.DatabaseError, Unavailable) as error:
            self._writer.set_aside(sequence, str(error))
            self._on_unreadable(error)
        return None

    def acknowledge_changes(self, sequence: str) -> None:
        """Let the store forget the changes up to this one. Free: the next commit does it.

        After a crash some may be read again.
        """
        self._writer.acknowledge(int(sequence))

    def listen(self, listener: Listener) -> None:
        """Call this with the changes of each commit, after they are durable and before the writers hear of it.

        It runs in the writer's thread: it must be quick and must not write here. Its errors are logged.
        """
        self._writer.listen(listener)

    def close(self) -> None:
        """Finish the writes that are waiting and close the file. A repeat is harmless; other calls raise Unavailable."""
        with self._lending:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        self._writer.close()
        for connection in idle:
            connection.close()
        os.close(self._lock)

    def _fetch(self, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        connection = self._borrow()
        try:
            return connection.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if is_undecodable(error):
                return _fetch_damaged(connection, sql, parameters)
            msg = f"cannot read {self._path}: {error}"
            raise Unavailable(msg) from error
        finally:
            self._give_back(connection)

    def _borrow(self) -> sqlite3.Connection:
        with self._lending:
            if self._closed:
                msg = "the store is closed"
                raise Unavailable(msg)
            if self._idle:
                return self._idle.pop()
        return connect(self._path, self._synchronous)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._lending:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()


def _fetch_damaged(connection: sqlite3.Connection, sql: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Read rows of which some are no text; those then hold what is no JSON either."""
    connection.text_factory = _text_or_damage
    try:
        return connection.execute(sql, parameters).fetchall()
    finally:
        connection.text_factory = str


def _text_or_damage(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return "\0"


def _one_more(limit: int | None) -> int:
    """One row beyond the page tells whether there is a next one."""
    if limit is None:
        return _ALL
    if limit < 1:
        msg = f"limit {limit}: a page holds at least one item"
        raise ValueError(msg)
    return limit + 1


def _columns(texts: Sequence[str | None]) -> Columns | None:
    attributes, indexes, documents = texts
    if attributes is None or indexes is None or documents is None:
        return None
    return Columns(attributes, indexes, documents)
