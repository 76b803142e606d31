"""An asyncio event loop without a clock and without I/O: it runs what is ready, in order, until nothing is."""

from __future__ import annotations

import asyncio
import logging
import sys
import weakref
from asyncio import tasks
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from itertools import count
from math import isnan
from typing import Any, NoReturn, TypeVar, TypeVarTuple

from levante.replay.event_loop.ordered_sets import order_sets_of_asyncio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

logger = logging.getLogger("levante.workflow")

OnTimer = Callable[[asyncio.TimerHandle], None]
OnTask = Callable[[asyncio.Task[Any]], None]

MOST_ROUNDS = 100
"""Of what became ready when the run was over, or is thrown away: enough for a cancellation to get through thirty groups."""
CLOSING_ATTEMPTS = 10


class _Ordered:
    """Gives tasks and futures a hash by order of creation, so that plain sets of them are the same on every replay."""

    _order: int

    def __hash__(self) -> int:
        return self._order


class _Task(_Ordered, asyncio.Task[Any]):
    def __init__(self, order: int, *args: Any, **kwargs: Any) -> None:
        self._order = order
        super().__init__(*args, **kwargs)
        self._log_destroy_pending = False  # the loop holds its tasks: those that are left are thrown away on purpose


class _Future(_Ordered, asyncio.Future[Any]):
    def __init__(self, order: int, *, loop: asyncio.AbstractEventLoop) -> None:
        self._order = order
        super().__init__(loop=loop)


class AwaitedFuture(_Future):
    """Stays pending when its cancellation is asked for, until what it stands for has ended. asked: called the first time."""

    def __init__(self, order: int, asked: Callable[[], None], *, loop: DeterministicLoop) -> None:
        super().__init__(order, loop=loop)
        self._asked: Callable[[], None] | None = asked
        self._of = loop

    @property
    def is_asked_to_end(self) -> bool:
        """Whether its cancellation was asked for."""
        return self._asked is None

    def cancel(self, msg: Any | None = None) -> bool:
        """Ask for its end. Returns whether it is pending still."""
        if self._of.is_thrown_away:
            return super().cancel(msg)
        asked, self._asked = self._asked, None
        if asked and not self.done():
            asked()
        return not self.done()

    def end_canceled(self) -> None:
        """What it stands for has ended because it was asked to."""
        super().cancel()


def end_if_asked(future: asyncio.Future[Any]) -> bool:
    """Cancel a future that stayed pending when its cancellation was asked for. Returns whether it is such a one."""
    if not (isinstance(future, AwaitedFuture) and future.is_asked_to_end):
        return False
    future.end_canceled()
    return True


class DeterministicLoop(asyncio.AbstractEventLoop):
    """The loop of one run. `time()` is the recorded time; timers are handed to the run instead of being waited for.

    It holds its tasks until they are done, so that no collection of garbage decides what becomes of them, and closes async
    generators that are left early. on_task_done: called before whoever waits for a task goes on. is_thrown_away: whether
    the run is, so that nothing waits any more.
    """

    def __init__(self, now: float, on_timer: OnTimer, on_timer_canceled: OnTimer, on_task_done: OnTask) -> None:
        self._now = now
        self._on_timer = on_timer
        self._on_timer_canceled = on_timer_canceled
        self._on_task_done = on_task_done
        self._ready: deque[asyncio.Handle] = deque()
        self._order = count(1)
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._generators: weakref.WeakSet[AsyncGenerator[Any, Any]] = weakref.WeakSet()
        self.is_thrown_away = False

    # --- driven by the run --------------------------------------------------------------------------------------------

    def run(self, work: Callable[[], T]) -> T:
        """Call something while this is the running loop of the thread. What that changes, `Isolation` puts back."""
        outer = asyncio._get_running_loop()  # noqa: SLF001 - the documented way for loops to nest
        asyncio._set_running_loop(self)  # noqa: SLF001
        sys.set_asyncgen_hooks(firstiter=self._generators.add, finalizer=self._generator_left)
        try:
            return work()
        finally:
            asyncio._set_running_loop(outer)  # noqa: SLF001

    def advance_to(self, now: float) -> None:
        """Set the time; it never goes back."""
        self._now = max(self._now, now)

    def run_until_idle(self, is_over: Callable[[], bool], begin_turn: Callable[[], None] = lambda: None) -> None:
        """Run callbacks in order until none is ready, or the run is over. begin_turn: called before each callback."""
        while self._ready and not is_over():
            self._run_next(begin_turn)

    def run_rounds(self, rounds: int, begin_turn: Callable[[], None]) -> None:
        """Run what is ready, then what that made ready, and so on, so many times at most."""
        for _ in range(rounds):
            if not self._ready:
                return
            for _ in range(len(self._ready)):
                self._run_next(begin_turn)

    @property
    def has_ended(self) -> bool:
        """Whether no code is left that could do something: no task and no async generator is open."""
        return not self._ready and not self._generators and not self.is_at_work

    @property
    def is_at_work(self) -> bool:
        """Whether a task is open."""
        return any(not task.done() for task in self._tasks)

    def throw_away(self, begin_turn: Callable[[], None]) -> list[object]:
        """Cancel all tasks, and report no more errors. Returns those whose code does not end, and what they wait for."""
        self.is_thrown_away = True
        for _ in range(CLOSING_ATTEMPTS):
            for generator in list(self._generators):
                self.create_task(_closed(generator))
            open_tasks = self._open_tasks()
            if not open_tasks:
                break
            for task in open_tasks:
                task.cancel()
            self.run_rounds(MOST_ROUNDS, begin_turn)
        return [kept for task in self._open_tasks() for kept in _unclosed(task)]

    def fire(self, handle: asyncio.TimerHandle) -> None:
        """Make the callback of a timer ready."""
        self._ready.append(handle)

    def _open_tasks(self) -> list[asyncio.Task[Any]]:
        return [task for task in self._tasks if not task.done()]

    def _run_next(self, begin_turn: Callable[[], None]) -> None:
        handle = self._ready.popleft()
        if not handle.cancelled():
            begin_turn()
            handle._run()  # noqa: SLF001 - a loop is what runs handles

    def _generator_left(self, generator: AsyncGenerator[Any, Any]) -> None:
        """Close an async generator that nothing refers to any more; outside this run's code, let it go as it is."""
        self._generators.discard(generator)
        if self.is_running():
            self.create_task(_closed(generator))

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        self._on_task_done(task)

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
        if isnan(when):
            raise ValueError("a timer needs a time, and NaN is none")
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

    def create_awaited_future(self, asked: Callable[[], None]) -> AwaitedFuture:
        """Make a future that stays pending when its cancellation is asked for."""
        return AwaitedFuture(next(self._order), asked, loop=self)

    def create_task(
        self,
        coro: Coroutine[Any, Any, T] | Generator[Any, None, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **options: Any,
    ) -> asyncio.Task[T]:
        order = next(self._order)
        task = _Task(order, coro, loop=self, name=name or f"Task-{order}", context=context, **options)
        self._tasks[task] = None
        task.add_done_callback(self._task_done)
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self  # noqa: SLF001

    def is_closed(self) -> bool:
        return False

    def get_task_factory(self) -> None:
        """There is none, and none can be set."""

    def get_exception_handler(self) -> None:
        """There is none, and none can be set."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self.is_thrown_away:
            logger.error("in workflow code: %s", context.get("message"), exc_info=context.get("exception"))


async def _closed(generator: AsyncGenerator[Any, Any]) -> None:
    with suppress(RuntimeError):  # it is being closed already
        await generator.aclose()


def _unclosed(task: asyncio.Task[Any]) -> list[object]:
    """Close the code of a task that does not end when it is cancelled. Returns what is left of it, if it goes on still."""
    chain: list[Any] = [task.get_coro()]
    while awaited := getattr(chain[-1], "cr_await", None):
        chain.append(awaited)
    try:
        chain[0].close()
    except BaseException:  # noqa: BLE001 - whatever it raises, it has not ended
        return [task, *chain]
    return []


def _refused(name: str) -> Callable[..., NoReturn]:
    if name.startswith(("run_", "set_", "shutdown_", "stop", "close")) and "executor" not in name:
        problem = "a workflow runs on an event loop of its own, which is replayed, and cannot change it"
    elif "signal_handler" in name:
        problem = "signals of the operating system reach workers: let workflows take those that clients send them"
    else:
        problem = "it would make this workflow non-deterministic: move the work to an activity"

    def refuse(*_args: Any, **_options: Any) -> NoReturn:
        raise RuntimeError(f"loop.{name}(): {problem}")

    refuse.__code__ = refuse.__code__.replace(co_qualname=f"DeterministicLoop.{name}")  # by which the guard tells them apart
    return refuse


for _name in dir(asyncio.AbstractEventLoop):
    if not _name.startswith("_") and _name not in vars(DeterministicLoop):
        setattr(DeterministicLoop, _name, _refused(_name))


def _hash_of_gathering(self: Any) -> int:
    """Let the future of `gather`, which no loop makes, have its place among the others in plain sets."""
    loop = self.get_loop()
    if not isinstance(loop, DeterministicLoop):
        return object.__hash__(self)
    if (order := getattr(self, "_order", None)) is None:
        order = self._order = next(loop._order)  # noqa: SLF001 - its own loop
    return int(order)


tasks._GatheringFuture.__hash__ = _hash_of_gathering  # type: ignore[attr-defined]  # noqa: SLF001 - there is no other way in
order_sets_of_asyncio(DeterministicLoop)
