"""The data directory: readable for its owner alone, as it holds payloads and the digests of keys."""

import logging
import os
import stat
from pathlib import Path

from levante_core.errors import loggable
from levante_core.protocol.local_key import LOCAL_KEY

logger = logging.getLogger("levante.host")

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
DATABASE = "levante.sqlite"
PAYLOADS = "payloads"
BEING_WRITTEN = ".writing-"
"""Begins the names of payloads that are not whole yet."""
IGNORED = ".gitignore"
OUR_FILES = frozenset({PAYLOADS, IGNORED, LOCAL_KEY})
_OF_OTHERS = 0o077


def prepare_directory(directory: Path) -> None:
    """Create the directory, or take away what others may do in it. Existing files are tightened as well.

    A directory that holds other things than ours keeps its mode: it may be somebody's home. Cost: reads the names of all
    payloads, if anybody else could reach them until now.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
    entries = list(directory.iterdir())
    ours = [entry for entry in entries if entry.name in OUR_FILES or entry.name.startswith(DATABASE)]
    payloads = directory / PAYLOADS
    if _is_open(directory) or _is_open(payloads):
        for place, directories, files in os.walk(payloads):
            for name in (*directories, *files):
                _tighten(Path(place, name))
    for entry in ours:
        _tighten(entry)
    if len(ours) == len(entries):
        _tighten(directory)


def create_private(path: Path) -> None:
    """Create the file, unless it is there. What SQLite puts beside its file gets the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))


def keep_local_key(directory: Path, secret: str) -> None:
    """Leave the key for everything on this machine, readable for its owner alone, and for no repository. Raises: OSError."""
    _write_private(directory / LOCAL_KEY, f"{secret}\n")
    if all(entry.name in OUR_FILES or entry.name.startswith(DATABASE) for entry in directory.iterdir()):
        _write_private(directory / IGNORED, "# Written by Levante: data is for no repository.\n*\n")


def make_durable(path: Path) -> None:
    """Let the content of a file, or the names in a directory, survive a power failure: neither covers the other."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_private(path: Path, text: str) -> None:
    create_private(path)
    _tighten(path)
    path.write_text(text, encoding="ascii")


def _is_open(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & _OF_OTHERS)


def _tighten(path: Path) -> None:
    """Leave a file or directory to its owner. Links are not followed."""
    mode = path.lstat().st_mode
    if not mode & _OF_OTHERS or stat.S_ISLNK(mode):
        return
    try:
        path.chmod(stat.S_IMODE(mode) & ~_OF_OTHERS)
    except OSError as error:
        logger.warning("others may read %s: its mode could not be changed (%s)", path, loggable(error))
