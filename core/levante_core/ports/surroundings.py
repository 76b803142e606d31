"""Clock, ids, payload files and waiting: the rest of what the services need from outside."""

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Return after this time. Where calls share an event loop, the others go on meanwhile."""
        ...


class Ids(Protocol):
    """Where ids and secrets come from."""

    def uuid(self) -> str:
        """A new random UUID in its usual text form."""
        ...

    def secret(self) -> str:
        """A new unguessable URL-safe text of at least 256 bits."""
        ...

    def fraction(self) -> float:
        """A random number from 0 on, below 1."""
        ...


class PayloadStore(Protocol):
    """Documents too large for an item, by place and content hash. Adapters: `levante_local.payload_files`; S3.

    place: 32 hexadecimal digits.
    """

    def put(self, place: str, content: bytes) -> str:
        """Keep the content; durable on return. Returns its SHA-256 in hex.

        A repeat is harmless, and makes the content a new one for `keep_only` if it is half an hour old by then.
        """
        ...

    def get(self, place: str, sha256: str) -> bytes:
        """Return the content. Raises: InconsistentHistory if it is missing or does not have this hash."""
        ...

    def keep_only(self, place: str, sha256s: frozenset[str], before: datetime | None) -> None:
        """Delete all else that is at the place since before this time; None: whenever it was put. A repeat is harmless."""
        ...


class Watched(Protocol):
    """Partitions being watched."""

    def wait(self, seconds: float) -> None:
        """Return when one of the partitions may have changed since the last wait, or when the time is over."""
        ...

    def has_changed(self) -> bool:
        """Tell whether one of the partitions may have changed since the last time that this, or `wait`, was called."""
        ...


class ChangeWatch(Protocol):
    """Tells when something was written, so that nobody has to ask again and again."""

    def watch(self, *partitions: str) -> AbstractContextManager[Watched]:
        """Watch partitions from now on. Open it before you read, then no change is missed."""
        ...
