"""Payloads as files named by their content hash."""

import contextlib
import hashlib
import os
import re
import tempfile
from pathlib import Path

from levante_core.errors import InconsistentHistory, Unavailable

_SHA256 = re.compile(r"[0-9a-f]{64}")


class PayloadFiles:
    """A payload store in one directory. Nothing in it is ever changed, so it may be copied while in use."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        _make_names_durable(directory.parent)
        self._directory = directory

    def put(self, content: bytes) -> str:
        """Keep the content; durable on return. Returns its SHA-256 in hex.

        A repeat writes the file anew, so it also mends a damaged one.
        Raises: Unavailable if the disk refuses. Cost: two fsyncs.
        """
        sha256 = hashlib.sha256(content).hexdigest()
        try:
            self._write(self._directory / sha256, content)
        except OSError as error:
            msg = f"cannot write payload {sha256} to {self._directory}: {error.strerror}"
            raise Unavailable(msg) from error
        return sha256

    def get(self, sha256: str) -> bytes:
        """Return the content.

        Raises: InconsistentHistory if it is missing or does not have this hash, as nothing has that is no SHA-256 in
        lower-case hex (so no reference leads out of the directory); Unavailable if the disk refuses.
        """
        if not _SHA256.fullmatch(sha256):
            msg = f"payload reference {sha256[:80]!r} is not a SHA-256 in hex"
            raise InconsistentHistory(msg)
        try:
            content = (self._directory / sha256).read_bytes()
        except FileNotFoundError as error:
            msg = f"payload {sha256} is missing from {self._directory}: restore it from a backup"
            raise InconsistentHistory(msg) from error
        except OSError as error:
            msg = f"cannot read payload {sha256} from {self._directory}: {error.strerror}"
            raise Unavailable(msg) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            msg = f"payload {sha256} in {self._directory} is damaged: restore it from a backup"
            raise InconsistentHistory(msg)
        return content

    def _write(self, path: Path, content: bytes) -> None:
        """Write beside the file and rename, so that nobody ever sees half of it."""
        descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".writing-")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
        _make_names_durable(self._directory)


def _make_names_durable(directory: Path) -> None:
    """Let the names in a directory survive a power failure; fsync of a file covers its content only."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
