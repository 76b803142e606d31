"""A copy of the data directory that is consistent, made while a host works in it."""

import contextlib
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from levante_core.errors import LevanteError
from levante_local.data_directory import BEING_WRITTEN, DATABASE, PAYLOADS, PRIVATE_DIRECTORY, create_private, make_durable

UNFINISHED = ".unfinished"
"""Ends the name of the directory in which a backup is made. It loses it when everything is on the disk."""


class BackupFailed(LevanteError):
    """There is nothing to copy, or no place for the copy. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup consists of. database_bytes: of the SQLite file. payloads: number of files beside it."""

    directory: Path
    database_bytes: int
    payloads: int


def back_up(data: Path, target: Path) -> Backup:
    """Copy the data directory. The copy is a data directory, too, as it was at one moment while this ran.

    Payloads are copied before the database and once more after it: a payload is there before anything refers to it, it
    never changes, and what is deleted in between is in the first copy. What nothing refers to does no harm.
    data: in use by a host or not. target: does not exist, or is empty; it appears when the backup is whole.
    Raises: BackupFailed; OSError if the disk refuses. Cost: the host goes on meanwhile; its write-ahead log grows until the
    database is copied.
    """
    database = data / DATABASE
    if not database.is_file():
        raise BackupFailed(f"there is no {DATABASE} in {data}: name the data directory of the host with --data")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupFailed(f"{target} is there already: name a directory that does not exist")
    unfinished = target.with_name(target.name + UNFINISHED)
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / PAYLOADS).mkdir(parents=True, mode=PRIVATE_DIRECTORY)
    unfinished.chmod(PRIVATE_DIRECTORY)
    try:
        _copy_payloads(data / PAYLOADS, unfinished / PAYLOADS)
        _copy_database(database, unfinished / DATABASE)
        _copy_payloads(data / PAYLOADS, unfinished / PAYLOADS)
        _make_tree_durable(unfinished)
        unfinished.replace(target)
        make_durable(target.absolute().parent)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    payloads = sum(1 for path in (target / PAYLOADS).rglob("*") if path.is_file())
    return Backup(target, (target / DATABASE).stat().st_size, payloads)


def _copy_database(source: Path, target: Path) -> None:
    """Copy it in one step, as one reader sees it. In several steps, each write of the host would begin the copy anew."""
    create_private(target)
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as reading,
        contextlib.closing(sqlite3.connect(target)) as writing,
    ):
        try:
            reading.backup(writing, pages=-1)
            (found,) = writing.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise BackupFailed(f"cannot copy {source}: {error}") from error
    if found != "ok":
        raise BackupFailed(f"{source} is damaged ({found}): restore an earlier backup")


def _copy_payloads(source: Path, target: Path) -> None:
    """Copy what is not there yet. A payload that expires meanwhile is passed over."""
    for place, _, names in os.walk(source):
        directory = target / Path(place).relative_to(source)
        directory.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
        for name in names:
            if name.startswith(BEING_WRITTEN) or (directory / name).exists():
                continue
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(Path(place, name), directory / name)


def _make_tree_durable(directory: Path) -> None:
    for place, _, names in os.walk(directory, topdown=False):
        for name in names:
            make_durable(Path(place, name))
        make_durable(Path(place))
