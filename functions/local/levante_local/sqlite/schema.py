"""The SQLite file: its tables, how it is opened, and that only one process opens it."""

import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Literal, TypeAlias

from levante_core.errors import LevanteError

Synchronous: TypeAlias = Literal["FULL", "NORMAL"]
"""FULL survives a power failure with everything acknowledged; NORMAL may then lose the last moments, never consistency."""

SCHEMA_VERSION = 2

_EXPIRY = "json_extract(attributes, '$.expires_at')"
FIND_EXPIRED = f"SELECT partition, sort, {_EXPIRY} FROM items WHERE {_EXPIRY} <= ? LIMIT ?"  # noqa: S608 - no input
"""Items whose time is over: their keys and times."""
_INDEX_OF_EXPIRY = f"CREATE INDEX items_by_expiry ON items ({_EXPIRY}) WHERE {_EXPIRY} IS NOT NULL;"
_FROM_VERSION_1 = f"""
BEGIN IMMEDIATE;
{_INDEX_OF_EXPIRY}
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""
_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE items (
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    attributes TEXT NOT NULL,
    indexes TEXT NOT NULL,
    documents TEXT NOT NULL,
    PRIMARY KEY (partition, sort)
) WITHOUT ROWID;
CREATE TABLE index_entries (
    name TEXT NOT NULL,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    item_partition TEXT NOT NULL,
    item_sort TEXT NOT NULL,
    PRIMARY KEY (name, partition, sort, item_partition, item_sort)
) WITHOUT ROWID;
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    partition TEXT NOT NULL,
    sort TEXT NOT NULL,
    old_attributes TEXT,
    old_indexes TEXT,
    old_documents TEXT,
    new_attributes TEXT,
    new_indexes TEXT,
    new_documents TEXT
);
{_INDEX_OF_EXPIRY}
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""


SET_ASIDE = "CREATE TABLE IF NOT EXISTS changes_set_aside AS SELECT *, '' AS error FROM changes WHERE 0"
"""A table for changes that cannot be read, made when there is one; versions that do not know it pass it over."""
_COLUMNS_OF_CHANGES = (
    "sequence, partition, sort, old_attributes, old_indexes, old_documents, new_attributes, new_indexes, new_documents"
)
_BRING_BACK = f"""
BEGIN IMMEDIATE;
INSERT OR IGNORE INTO changes ({_COLUMNS_OF_CHANGES}) SELECT {_COLUMNS_OF_CHANGES} FROM changes_set_aside;
DROP TABLE changes_set_aside;
COMMIT;
"""  # noqa: S608 - no input


class StoreNotOpened(LevanteError):
    """The file is in use, or not one that this version can read. The message says what to do."""


def lock(path: Path) -> int:
    """Claim the file for this process until the descriptor returned is closed, or the process ends in any way.

    Raises: StoreNotOpened if another process, or another store of this one, has it.
    """
    lock_path = path.with_name(path.name + ".lock")
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.read(descriptor, 20).decode(errors="replace").strip()
        os.close(descriptor)
        msg = f"{path} is in use by process {owner or 'unknown'}: stop that one first, or choose another data directory"
        raise StoreNotOpened(msg) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def connect(path: Path, synchronous: Synchronous) -> sqlite3.Connection:
    """Open one more connection to a prepared file. Transactions are begun by hand; any one thread at a time may use it."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    return connection


def prepare(path: Path) -> None:
    """Create the tables in a new file, bring an older one up to date, and refuse one that is not known. Needs the lock.

    Changes that were set aside are fed once more: somebody may have mended them.
    Raises: StoreNotOpened.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version == 0 and tables == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_TABLES)
        elif version == 1:
            connection.executescript(_FROM_VERSION_1)
        elif version != SCHEMA_VERSION:
            raise StoreNotOpened(_unknown(path, version))
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'changes_set_aside'").fetchone():
            connection.executescript(_BRING_BACK)
    except sqlite3.DatabaseError as error:
        msg = f"cannot open {path}: {error}; choose another data directory, or restore a backup"
        raise StoreNotOpened(msg) from error
    finally:
        connection.close()


def _unknown(path: Path, version: int) -> str:
    if version > SCHEMA_VERSION:
        return (
            f"{path} was written by a newer Levante (schema version {version}, this one knows {SCHEMA_VERSION}): "
            "upgrade Levante, or choose another data directory"
        )
    return f"{path} is an SQLite file, but not one of Levante: choose another data directory"
