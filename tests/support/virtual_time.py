"""An event loop whose time passes only when nothing is left to do: hours of leases, timers and sweeps in no time at all."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, TypeVar

T = TypeVar("T")

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


TICKS_PER_SECOND = 2**20
"""Times are whole ticks of about a microsecond, so that sums and differences of them are exact: nobody waits in vain for
the last 0.000000000000001 of a second."""


class _JumpingSelector(selectors.SelectSelector):
    """Moves its time ahead where another selector would wait for it to pass."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. With no timeout nothing is planned, and only another thread could bring something."""
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None and timeout > 0:
            self.seconds += ceil(timeout * TICKS_PER_SECOND) / TICKS_PER_SECOND
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order of their times, whatever lies between these.

    Work in other threads takes no virtual time, so what runs on this loop must not wait for any.
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._jumping.seconds


class LoopClock:
    """A Clock that goes by the time of the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> datetime:
        """The time, in UTC."""
        return BEGINNING + timedelta(seconds=self._loop.time())


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Do what `asyncio.run` does, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
