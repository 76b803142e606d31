"""What writes the SQLite file: everything waiting goes into one commit, so callers share its fsync."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeAlias

from levante_core.adapters.item_sizes import check_item, check_sizes
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Change, ConditionFailed, Key, Scalar, Update, Write
from levante_local.greenlets import loop_of_call
from levante_local.sqlite.item_columns import (
    Columns,
    attributes_of,
    decode,
    decode_strictly,
    find_refusal,
    places,
    result_of,
)
from levante_local.sqlite.schema import SET_ASIDE

Outcome: TypeAlias = ConditionFailed | None
Feeds: TypeAlias = Callable[[Mapping[str, Scalar] | None, Mapping[str, Scalar] | None], bool]
Listener: TypeAlias = Callable[[Sequence[Change]], None]

_FIND = "SELECT attributes, indexes, documents FROM items WHERE partition = ? AND sort = ?"
_REPLACE = "INSERT OR REPLACE INTO items (partition, sort, attributes, indexes, documents) VALUES (?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM items WHERE partition = ? AND sort = ?"
_LIST = "INSERT INTO index_entries (name, partition, sort, item_partition, item_sort) VALUES (?, ?, ?, ?, ?)"
_UNLIST = """
DELETE FROM index_entries WHERE name = ? AND partition = ? AND sort = ? AND item_partition = ? AND item_sort = ?
"""
_RECORD = """
INSERT INTO changes (
    partition, sort, old_attributes, old_indexes, old_documents, new_attributes, new_indexes, new_documents
) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_SET_ASIDE = "INSERT INTO changes_set_aside SELECT *, ? FROM changes WHERE sequence = ?"
_FORGET = "DELETE FROM changes WHERE sequence <= ?"
_NO_COLUMNS = (None, None, None)

NOT_KEPT = 0
"""Sequence of a change that only listeners hear of."""
CHECKED_FROM = 48 * 1024
"""Characters of an updated item up to which it has room, however they are counted."""
FORGET_AT_ONCE = 256
"""Changes forgotten by one statement: each statement writes pages, which the fsync has to wait for."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Submission:
    """Groups that one caller waits for."""

    groups: Sequence[Sequence[Write]]
    outcome: Future[list[Outcome]] = field(default_factory=Future)


class _Recorded(NamedTuple):
    """A change as it went into the table."""

    sequence: int
    key: Key
    old: Columns | None
    new: Columns | None


def as_change(sequence: int, key: Key, old: Columns | None, new: Columns | None) -> Change:
    """Build the public form of a change. Sequences sort as texts, too. Raises: ValueError for a damaged row."""
    return Change(f"{sequence:020d}", key, old and decode_strictly(key, old), new and decode_strictly(key, new))


def is_undecodable(error: sqlite3.OperationalError) -> bool:
    """Tell whether a row holds bytes that are no text. Source: CPython, Modules/_sqlite/cursor.c (read 2026-11-30)."""
    return str(error).startswith("Could not decode to UTF-8")


def _change_of(sequence: int, key: Key, old: Columns | None, new: Columns | None) -> Change:
    """Build the change for listeners. What stood there before may be damaged; what was just written is not."""
    try:
        return as_change(sequence, key, old, new)
    except ValueError:
        return as_change(sequence, key, None, new)


class SqliteWriter:
    """Applies groups of writes in the order of their arrival, as many in one transaction as are waiting.

    Every group is judged on its own, on the state that the groups before it leave behind, those of the same commit
    included; nobody is told anything before the commit is durable.

    It works in a thread of its own. With on_loop, what `waiting.call` submits is committed by the event loop itself, in one
    go with all else that this turn of the loop submits: that blocks the loop for the fsync, but nearly everything waits for
    the disk anyway, and handing each write to a thread and back costs more than SQLite does (docs/decisions/0010).
    """

    def __init__(self, connection: sqlite3.Connection, *, feeds: Feeds | None = None, on_loop: bool = False) -> None:
        """Take over the connection: nobody else may use it from now on. feeds: see SqliteItemStore."""
        self._feeds = feeds
        self._on_loop = on_loop
        self._turn: list[_Submission] = []
        self._using = threading.Lock()
        self.commits = 0
        """How many commits have changed anything; each costs one fsync."""
        self.acknowledged = 0
        """The last change that nobody needs any more."""
        self._forgotten = 0
        self._connection = connection
        self._execute = connection.execute
        self._listeners: tuple[Listener, ...] = ()
        self._waiting: SimpleQueue[_Submission | None] = SimpleQueue()
        self._accepting = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="levante-sqlite-writer", daemon=True)
        self._thread.start()

    def submit(self, groups: Sequence[Sequence[Write]]) -> Future[list[Outcome]]:
        """Queue groups for one commit. The future holds one outcome per group.

        It raises Unavailable if nothing was written; any other error is that of a single group (a value that is no
        JSON, say), of which nothing was written either, while the other groups were carried out.
        """
        if threading.current_thread() is self._thread:
            msg = "a listener must not write to the store that called it: it would wait for itself"
            raise RuntimeError(msg)
        submission = _Submission(groups)
        with self._accepting:
            if self._closed:
                msg = "the store is closed"
                raise Unavailable(msg)
            loop = loop_of_call() if self._on_loop else None
            if loop is None:
                self._waiting.put(submission)
            else:
                if not self._turn:
                    loop.call_soon(self._commit_turn)
                self._turn.append(submission)
        return submission.outcome

    def listen(self, listener: Listener) -> None:
        """Call this after each commit, in the writer's thread, with its changes in order.

        It is called when they are durable and before the writers hear of it, so whoever learns of a write finds
        every watcher woken. It delays everybody, so it must be quick; its errors are logged and change nothing.
        """
        self._listeners += (listener,)

    def acknowledge(self, sequence: int) -> None:
        """Let the next commit, or `close`, forget the changes up to this one."""
        self.acknowledged = max(self.acknowledged, sequence)

    def set_aside(self, sequence: int, error: str) -> None:
        """Move a change out of the feed's way, whatever is in it; durable on return. Raises: Unavailable."""
        with self._using:
            try:
                self._execute("BEGIN IMMEDIATE")
                self._execute(SET_ASIDE)
                self._execute(_SET_ASIDE, (error, sequence))
                self._execute("DELETE FROM changes WHERE sequence = ?", (sequence,))
                self._execute("COMMIT")
            except sqlite3.Error as failure:
                self._roll_back()
                raise Unavailable(f"change {sequence} can neither be read nor be set aside: {failure}") from failure

    def close(self) -> None:
        """Finish what is waiting, then close the connection. A repeat is harmless."""
        with self._accepting:
            self._closed = True
        self._commit_turn()  # on a connection that the thread does not close yet: SQLite survives no other order
        self._waiting.put(None)
        self._thread.join()

    def _commit_turn(self) -> None:
        taken, self._turn = self._turn, []
        batch = [entry for entry in taken if entry.outcome.set_running_or_notify_cancel()]
        if batch:
            self._carry_out(batch)

    def _run(self) -> None:
        closing = False
        while not closing:
            taken = self._take_all()
            closing = taken[-1] is None
            batch = [entry for entry in taken if entry and entry.outcome.set_running_or_notify_cancel()]
            if batch:
                self._carry_out(batch)
        with self._using:
            with suppress(sqlite3.Error):
                self._execute(_FORGET, (self.acknowledged,))
            self._connection.close()

    def _take_all(self) -> list[_Submission | None]:
        """Wait for work and take everything there is. A None is the last of all."""
        taken = [self._waiting.get()]
        with suppress(Empty):
            while taken[-1] is not None:
                taken.append(self._waiting.get_nowait())
        return taken

    def _carry_out(self, batch: list[_Submission]) -> None:
        """Commit the batch; then tell the listeners, in the order of the commits, then the callers."""
        try:
            with self._using:
                outcomes, changes = self._commit(batch)
                self._notify_listeners(changes)
        except Exception as error:  # noqa: BLE001 - the thread must outlive every failure, and nobody may wait for ever
            with self._using:
                self._roll_back()
            for submission in batch:
                failure = Unavailable(f"the SQLite file refused a commit: {error}")
                failure.__cause__ = error
                submission.outcome.set_exception(failure)
            return
        for submission, results in zip(batch, outcomes, strict=True):
            _resolve(submission.outcome, results)

    def _commit(self, batch: list[_Submission]) -> tuple[list[list[Outcome | Exception]], list[_Recorded]]:
        changes: list[_Recorded] = []
        self._execute("BEGIN IMMEDIATE")
        outcomes = [[self._attempt(group, changes) for group in submission.groups] for submission in batch]
        forgettable = self.acknowledged
        if changes and forgettable >= self._forgotten + FORGET_AT_ONCE:
            self._forget(forgettable)
        self._execute("COMMIT")
        if changes:
            self.commits += 1
        return outcomes, changes

    def _forget(self, sequence: int) -> None:
        """Forget changes, unless the file does not let go of one: that is no reason to refuse everybody's writes."""
        self._forgotten = sequence
        self._execute("SAVEPOINT forgetting")
        try:
            self._execute(_FORGET, (sequence,))
        except sqlite3.DatabaseError:
            _log.exception("changes up to %d could not be deleted from the feed", sequence)
            self._execute("ROLLBACK TO forgetting")
        self._execute("RELEASE forgetting")

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # after some errors SQLite has done so itself
            if self._connection.in_transaction:
                self._execute("ROLLBACK")

    def _attempt(self, group: Sequence[Write], changes: list[_Recorded]) -> Outcome | Exception:
        """Apply one group or nothing of it, and add its changes to those of the commit."""
        self._execute("SAVEPOINT one_group")
        outcome: Outcome | Exception
        try:
            check_sizes(group)
            olds = [self._find(write.key) for write in group]
            outcome = find_refusal(group, olds)
            if outcome is None:
                applied = [self._apply(write, old) for write, old in zip(group, olds, strict=True)]
                changes += [change for change in applied if change is not None]
        except sqlite3.OperationalError as error:
            if not is_undecodable(error):
                raise  # the disk, not this group
            self._execute("ROLLBACK TO one_group")
            outcome = error
        except Exception as error:  # noqa: BLE001 - one bad group must not take the others down
            self._execute("ROLLBACK TO one_group")
            outcome = error
        self._execute("RELEASE one_group")
        return outcome

    def _find(self, key: Key) -> Columns | None:
        row = self._execute(_FIND, (key.partition, key.sort)).fetchone()
        return row and Columns(*row)

    def _apply(self, write: Write, old: Columns | None) -> _Recorded | None:
        """Write one item, its index entries and its change. What leaves the item as it is is no change, as in DynamoDB."""
        new = result_of(write, old)
        if new == old:
            return None
        address = (write.key.partition, write.key.sort)
        if isinstance(write, Update) and new and sum(map(len, new)) > CHECKED_FROM:
            check_item(decode(write.key, new))
        if new is None:
            self._execute(_DELETE, address)
        else:
            self._execute(_REPLACE, (*address, *new))
        self._list_anew(write.key, places(old), places(new))
        sequence = NOT_KEPT
        if self._keeps(old, new):
            sequence = self._execute(_RECORD, (*address, *(old or _NO_COLUMNS), *(new or _NO_COLUMNS))).lastrowid or NOT_KEPT
        return _Recorded(sequence, write.key, old, new)

    def _keeps(self, old: Columns | None, new: Columns | None) -> bool:
        if self._feeds is None:
            return True
        return self._feeds(attributes_of(old) if old and not new else None, attributes_of(new) if new else None)

    def _list_anew(self, key: Key, old: dict[str, Key], new: dict[str, Key]) -> None:
        for index, place in old.items() - new.items():
            self._execute(_UNLIST, (index, place.partition, place.sort, key.partition, key.sort))
        for index, place in new.items() - old.items():
            self._execute(_LIST, (index, place.partition, place.sort, key.partition, key.sort))

    def _notify_listeners(self, recorded: list[_Recorded]) -> None:
        if not recorded:
            return
        changes = [_change_of(*change) for change in recorded]
        for listener in self._listeners:
            try:
                listener(changes)
            except Exception:  # noqa: BLE001 - the writes are done, whatever a listener makes of them
                _log.exception("a listener of the change feed failed; the changes are durable all the same")


def _resolve(outcome: Future[list[Outcome]], results: list[Outcome | Exception]) -> None:
    settled: list[Outcome] = []
    for result in results:
        if result is None or isinstance(result, ConditionFailed):
            settled.append(result)
        else:
            outcome.set_exception(result)
            return
    outcome.set_result(settled)
