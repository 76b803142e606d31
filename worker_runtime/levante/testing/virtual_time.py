"""An event loop whose time passes only when nothing is left to do: hours of leases, timers and sweeps in no time at all."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, TypeVar, TypeVarTuple

from levante.worker.activities.threads import DaemonThreads
from levante_local.greenlets import sleep

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


TICKS_PER_SECOND = 2**20
"""Times are whole ticks of about a microsecond, so that sums and differences of them are exact: nobody waits in vain for
the last 0.000000000000001 of a second."""


class _JumpingSelector(selectors.SelectSelector):
    """Moves its time ahead where another selector would wait for it to pass. threads: how many are at work meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.threads = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready. Time stands still while threads work; only they, or a signal, could bring something then."""
        is_waiting = timeout is None or (self.threads > 0 and timeout > 0)
        ready = super().select(None if is_waiting else 0)
        if not ready and not is_waiting and timeout is not None and timeout > 0:
            self.seconds += ceil(timeout * TICKS_PER_SECOND) / TICKS_PER_SECOND
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs callbacks in the order of their times, whatever lies between these. Work in threads takes no virtual time."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        self._clock_resolution = 1 / TICKS_PER_SECOND  # added to times of any size, so it must not vanish beside them

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._jumping.seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Run a function in a thread, for which time stands still. Executors without threads may wait in virtual time."""
        future: asyncio.Future[T] = super().run_in_executor(executor, func, *args)
        if executor is None or isinstance(executor, ThreadPoolExecutor | DaemonThreads):
            self._jumping.threads += 1
            future.add_done_callback(self._thread_ended)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - see below
        """Wait until the threads have ended. From Python 3.12 on, runners give a timeout, which would jump past that."""
        await super().shutdown_default_executor()

    def _thread_ended(self, _: object) -> None:
        self._jumping.threads -= 1


class LoopClock:
    """A Clock that goes by the time of the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> datetime:
        """The time, in UTC."""
        return BEGINNING + timedelta(seconds=self._loop.time())

    def sleep(self, seconds: float) -> None:
        """Return after this time of the loop."""
        sleep(seconds)


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine like `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
