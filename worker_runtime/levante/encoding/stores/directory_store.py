"""Blobs as files of one directory, for workers on one machine or on a shared file system."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from levante.encoding.errors import BlobMissing, BlobStoreFailed
from levante.encoding.limits import MAX_PAYLOAD_BYTES, OVERHEAD_BYTES, too_large


class DirectoryBlobs:
    """Files named by the hash of their key: no key leads out of the directory, and none is too long for a name."""

    def __init__(self, directory: Path, most_bytes: int = MAX_PAYLOAD_BYTES) -> None:
        """most_bytes: of a blob that is read. Raises: BlobStoreFailed when the directory cannot be made."""
        self._directory = directory
        self._most_bytes = most_bytes
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _failed("cannot make", directory, error) from error

    def put(self, key: str, content: bytes) -> None:
        """Write beside the file and rename, so that nobody ever reads half of it. Raises: BlobStoreFailed."""
        try:
            descriptor, temporary = tempfile.mkstemp(dir=self._directory, prefix=".writing-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                Path(temporary).replace(self._path(key))
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
            self._make_names_durable()
        except OSError as error:
            raise _failed(f"cannot write blob {key} to", self._directory, error) from error

    def get(self, key: str) -> bytes:
        """Raises: BlobMissing, BlobStoreFailed; PayloadTooLarge."""
        most_bytes = self._most_bytes + OVERHEAD_BYTES
        try:
            with self._path(key).open("rb") as file:
                content = file.read(most_bytes + 1)
        except FileNotFoundError:
            raise BlobMissing(f"blob {key} is not in {self._directory}: it was deleted, or kept elsewhere") from None
        except OSError as error:
            raise _failed(f"cannot read blob {key} from", self._directory, error) from error
        if len(content) > most_bytes:
            raise too_large(self._most_bytes)
        return content

    def _path(self, key: str) -> Path:
        return self._directory / hashlib.sha256(key.encode()).hexdigest()

    def _make_names_durable(self) -> None:
        descriptor = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _failed(what: str, directory: Path, error: OSError) -> BlobStoreFailed:
    return BlobStoreFailed(f"{what} {directory}: {error.strerror}")
