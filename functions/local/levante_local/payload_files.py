"""Payloads as files named by their content hash."""

import contextlib
import hashlib
import os
import re
import tempfile
from datetime import datetime
from pathlib import Path

from levante_core.errors import InconsistentHistory, Unavailable
from levante_local.data_directory import BEING_WRITTEN, PRIVATE_DIRECTORY, make_durable

_SHA256 = re.compile(r"[0-9a-f]{64}")


class PayloadFiles:
    """A payload store in one directory, with a directory for each place. Files in it never change."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=PRIVATE_DIRECTORY)
        make_durable(directory.parent)
        self.directory = directory

    def put(self, place: str, content: bytes) -> str:
        """Keep the content; durable on return. Returns its SHA-256 in hex.

        A repeat writes the file anew, so it also mends a damaged one.
        Raises: Unavailable if the disk refuses. Cost: two fsyncs, and one more for a new place.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            self._write(self.directory / place, sha256, content)
        except OSError as error:
            msg = f"cannot write payload {sha256} to {self.directory}: {error.strerror}"
            raise Unavailable(msg) from error
        return sha256

    def get(self, place: str, sha256: str) -> bytes:
        """Return the content.

        Raises: InconsistentHistory if it is missing or does not have this hash, as nothing has that is no SHA-256 in
        lower-case hex (so no reference leads out of the directory); Unavailable if the disk refuses.
        """
        if not _SHA256.fullmatch(sha256):
            msg = f"payload reference {sha256[:80]!r} is not a SHA-256 in hex"
            raise InconsistentHistory(msg)
        try:
            content = self._path(place, sha256).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            msg = f"payload {sha256} is missing from the data directory: restore it from a backup"
            raise InconsistentHistory(msg) from error
        except OSError as error:
            msg = f"cannot read payload {sha256} from {self.directory}: {error.strerror}"
            raise Unavailable(msg) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            msg = f"payload {sha256} in the data directory is damaged: restore it from a backup"
            raise InconsistentHistory(msg)
        return content

    def keep_only(self, place: str, sha256s: frozenset[str], before: datetime | None) -> None:
        """Delete all other files that are at the place since before this time, and the place if it is empty then.

        Raises: Unavailable if the disk refuses. Cost: no fsync; what comes back after a power failure is deleted next time.
        """
        directory = self.directory / place
        limit = float("inf") if before is None else before.timestamp()
        try:
            for path in directory.iterdir():
                if path.name not in sha256s and path.is_file() and path.stat().st_mtime < limit:
                    path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                directory.rmdir()
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise Unavailable(f"cannot delete payloads from {directory}: {error.strerror}") from error

    def _path(self, place: str, sha256: str) -> Path:
        """Return where the content is; files of schema version 1 had no places."""
        path = self.directory / place / sha256
        return path if path.exists() else self.directory / sha256

    def _write(self, directory: Path, name: str, content: bytes) -> None:
        """Write beside the file and rename, so that nobody ever sees half of it."""
        if not directory.exists():
            directory.mkdir(exist_ok=True, mode=PRIVATE_DIRECTORY)
            make_durable(self.directory)
        descriptor, temporary = tempfile.mkstemp(dir=directory, prefix=BEING_WRITTEN)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(directory / name)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        make_durable(directory)
