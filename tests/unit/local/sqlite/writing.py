"""A writer of the SQLite file on a disk that fails where a test says so, and what is in the file."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from levante_core.ports.item_store import Change, Item, Key, Put, Write
from levante_local.greenlets import wait_for
from levante_local.sqlite.schema import connect, prepare
from levante_local.sqlite.writer import Feeds, SqliteWriter


class Disk(sqlite3.Connection):
    """A connection on which some statements fail. refused: how those begin, each of them once."""

    refused: list[str]

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """See sqlite3.Connection."""
        for start in self.refused:
            if sql.strip().startswith(start):
                self.refused.remove(start)
                raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


class Opened:
    """A writer on a new file, and what it wrote as somebody else reads it."""

    def __init__(self, path: Path, *, on_loop: bool = False, feeds: Feeds | None = None) -> None:
        prepare(path)
        self.path = path
        self.disk = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Disk)
        self.disk.refused = []
        self.writer = SqliteWriter(self.disk, on_loop=on_loop, feeds=feeds)

    def read(self, sql: str) -> list[Any]:
        """Read a column."""
        with closing(connect(self.path, "NORMAL")) as reader:
            return [row[0] for row in reader.execute(sql)]

    @property
    def items(self) -> list[str]:
        """Sort keys of what there is."""
        return self.read("SELECT sort FROM items ORDER BY sort")

    @property
    def feed(self) -> list[int]:
        """Sequences of the changes that are kept."""
        return self.read("SELECT sequence FROM changes ORDER BY sequence")


def put(sort: str, **documents: object) -> Write:
    return Put(Item(Key("p", sort), documents=documents))


def write(writer: SqliteWriter, *sorts: str) -> None:
    """Write items one after the other, and wait for each."""
    for sort in sorts:
        wait_for(writer.submit([[put(sort)]]), 10)


def sorts(changes: Sequence[Change]) -> list[str]:
    return [change.key.sort for change in changes]
