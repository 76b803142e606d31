"""Lets unchanged synchronous handlers run on an asyncio event loop without threads.

`call` runs a synchronous function in a greenlet. Where the function waits, it says so with `wait_for`, which suspends
the greenlet and lets the loop do other work; outside of `call` the same function just blocks its thread.
The pattern is that of SQLAlchemy's `greenlet_spawn` and `await_only`.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar, TypeVarTuple

from greenlet import getcurrent, greenlet

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class _Pause(NamedTuple):
    """What a suspended call waits for."""

    future: Future[Any]
    seconds: float | None


class _Call(greenlet):
    """The greenlet of one `call`; its parent is the greenlet of the event loop."""


async def call(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run a synchronous function so that its `wait_for` suspends it instead of blocking the event loop.

    It sees the context variables of the caller. Cancellation is raised inside of it, where it waits, so its `finally`
    blocks run; these may wait again. Everything that does not go through `wait_for` does block the loop.
    """
    running = _Call(function, getcurrent())
    running.gr_context = getcurrent().gr_context
    outcome = running.switch(*args)
    while not running.dead:
        try:
            await _settled(outcome)
        except BaseException as error:  # noqa: BLE001 - whatever ends this task must end the call
            outcome = running.throw(error)
        else:
            outcome = running.switch()
    result: T = outcome
    return result


def wait_for(future: Future[T], seconds: float | None = None) -> T:
    """Return the future's result, waiting for it without blocking the event loop if there is one.

    The waiter owns the future: one that is given up, by timeout or by cancellation, is cancelled, which drops every
    reference to the waiter. A producer therefore claims it with `set_running_or_notify_cancel` before it resolves it.
    Raises: TimeoutError; whatever the future holds.
    """
    here = getcurrent()
    if isinstance(here, _Call) and not future.done() and here.parent is not None:
        here.parent.switch(_Pause(future, seconds))
        seconds = 0
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.cancel() or not future.done():
            raise
    return future.result()


def sleep(seconds: float) -> None:
    """Return after this time, during which the event loop goes on."""
    with contextlib.suppress(TimeoutError):
        wait_for(Future[None](), seconds)


async def _settled(pause: _Pause) -> None:
    """Return when the future is done or the time is over.

    `asyncio.wrap_future` and `asyncio.wait` would do, at twice the cost: every write and every long poll passes here.
    """
    loop, home = asyncio.get_running_loop(), threading.get_ident()
    woken: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    def resolved(_: Future[Any]) -> None:
        if threading.get_ident() == home:
            wake()
        else:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
                loop.call_soon_threadsafe(wake)

    pause.future.add_done_callback(resolved)
    timer = None if pause.seconds is None else loop.call_later(pause.seconds, wake)
    try:
        await woken
    except BaseException:
        pause.future.cancel()
        raise
    finally:
        if timer is not None:
            timer.cancel()


def loop_of_call() -> asyncio.AbstractEventLoop | None:
    """Return the event loop whose `call` this code is in; None outside of `call`."""
    return asyncio.get_running_loop() if isinstance(getcurrent(), _Call) else None


class Signal:
    """Wakes one waiter, who then looks again. A signal given before the wait ends it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: Future[None] = Future()

    def give(self) -> None:
        """Wake the waiter, from any thread. A repeat is harmless."""
        with self._lock:
            if not self._given.done() and self._given.set_running_or_notify_cancel():
                self._given.set_result(None)

    def wait(self, seconds: float | None) -> None:
        """Return when the signal was given since the last wait, or when the time is over."""
        try:
            with contextlib.suppress(TimeoutError):
                wait_for(self._given, seconds)
        finally:
            with self._lock:
                self._given = Future()

    def take(self) -> bool:
        """Tell whether the signal was given since the last wait; it counts as waited for."""
        with self._lock:
            is_given = self._given.done()
            if is_given:
                self._given = Future()
            return is_given
