"""An asyncio event loop without a clock and without I/O: it runs what is ready, in order, until nothing is."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from itertools import count
from typing import Any, NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

logger = logging.getLogger("levante.workflow")

OnTimer = Callable[[asyncio.TimerHandle], None]


class _Ordered:
    """Gives tasks and futures a hash by order of creation, so that asyncio's sets of them are the same on every replay."""

    _order: int

    def __hash__(self) -> int:
        return self._order


class _Task(_Ordered, asyncio.Task[Any]):
    def __init__(self, order: int, *args: Any, **kwargs: Any) -> None:
        self._order = order
        super().__init__(*args, **kwargs)


class _Future(_Ordered, asyncio.Future[Any]):
    def __init__(self, order: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._order = order
        super().__init__(loop=loop)


class DeterministicLoop(asyncio.AbstractEventLoop):
    """The loop of one run. `time()` is the recorded time; timers are handed to the run instead of being waited for."""

    def __init__(self, now: float, on_timer: OnTimer, on_timer_canceled: OnTimer) -> None:
        self._now = now
        self._on_timer = on_timer
        self._on_timer_canceled = on_timer_canceled
        self._ready: deque[asyncio.Handle] = deque()
        self._order = count(1)
        self._is_muted = False

    # --- driven by the run --------------------------------------------------------------------------------------------

    def advance_to(self, now: float) -> None:
        """Set the time; it never goes back."""
        self._now = max(self._now, now)

    def run_until_idle(self, is_over: Callable[[], bool], begin_turn: Callable[[], None] = lambda: None) -> None:
        """Run callbacks in order until none is ready, or the run is over. begin_turn: called before each callback."""
        outer = asyncio._get_running_loop()  # noqa: SLF001 - the documented way for loops to nest
        asyncio._set_running_loop(self)  # noqa: SLF001
        try:
            while self._ready and not is_over():
                handle = self._ready.popleft()
                if not handle.cancelled():
                    begin_turn()
                    handle._run()  # noqa: SLF001 - a loop is what runs handles
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def fire(self, handle: asyncio.TimerHandle) -> None:
        """Make the callback of a timer ready."""
        self._ready.append(handle)

    def mute(self) -> None:
        """Report no more errors: the run is being thrown away."""
        self._is_muted = True

    # --- what asyncio asks of a loop ----------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def call_soon(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if when <= self._now:
            self._ready.append(handle)
        else:
            handle._scheduled = True  # type: ignore[attr-defined]  # noqa: SLF001 - lets cancel() reach us
            self._on_timer(handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self._on_timer_canceled(handle)

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(next(self._order), loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> asyncio.Task[T]:
        return _Task(next(self._order), coro, loop=self, name=name, context=context)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self  # noqa: SLF001

    def is_closed(self) -> bool:
        return False

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_muted:
            logger.error("in workflow code: %s", context.get("message"), exc_info=context.get("exception"))

    def call_soon_threadsafe(self, *_args: Any, **_options: Any) -> NoReturn:  # type: ignore[override]  # never returns
        _refuse("threads", "an activity")

    def run_in_executor(self, *_args: Any) -> NoReturn:  # type: ignore[override]  # never returns
        _refuse("threads and blocking calls", "an activity")


def _refuse(what: str, instead: str) -> NoReturn:
    message = f"{what} would make this workflow non-deterministic: move the work to {instead}"
    raise RuntimeError(message)
