"""The machine's own clock and randomness, and waiting without being told: for programs that no writer can wake."""

import secrets
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

FIRST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 2.0
POLL_GROWTH = 1.5


class SystemClock:
    """The wall clock."""

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the adapter

    def sleep(self, seconds: float) -> None:
        """Return after this time; the thread does nothing else meanwhile."""
        time.sleep(seconds)


class RandomIds:
    """Ids and secrets from the operating system's random source."""

    def uuid(self) -> str:
        """A new random UUID in its usual text form."""
        return str(uuid.uuid4())  # noqa: TID251 - this is the adapter

    def secret(self) -> str:
        """A new unguessable URL-safe text of 256 bits."""
        return secrets.token_urlsafe(32)

    def fraction(self) -> float:
        """A random number from 0 on, below 1."""
        return secrets.randbelow(2**53) / 2**53


class PollingWatch:
    """A ChangeWatch for many processes on one table: whoever waits looks again, less and less often.

    Cost of the reads between two waits: 0.1 s apart at first, `longest_seconds` after a while; with 2 s, some 20 in the 28 s
    of the longest wait for a result.
    """

    def __init__(
        self, sleep: Callable[[float], None] = time.sleep, *, longest_seconds: float = LONGEST_POLL_SECONDS
    ) -> None:
        self._sleep = sleep
        self._longest_seconds = longest_seconds

    @contextmanager
    def watch(self, *_partitions: str) -> Iterator["_Intervals"]:
        """Watch partitions from now on."""
        yield _Intervals(self._sleep, self._longest_seconds)


class _Intervals:
    def __init__(self, sleep: Callable[[float], None], longest_seconds: float) -> None:
        self._sleep = sleep
        self._longest_seconds = longest_seconds
        self._next = FIRST_POLL_SECONDS

    def wait(self, seconds: float) -> None:
        """Return when it is time to look again, or when the time is over."""
        self._sleep(max(0.0, min(seconds, self._next)))
        self._next = min(self._next * POLL_GROWTH, self._longest_seconds)

    def has_changed(self) -> bool:
        """Tell whether something may have changed: nobody here would know."""
        return True
