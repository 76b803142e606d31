"""Threads for plain activity functions: none of them keeps the process alive, and each tells where it is."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from levante.definition.plain_calls import CallOutcome, outcome_of

P = ParamSpec("P")
R = TypeVar("R")

IDLE_SECONDS = 10.0
"""A thread that has had nothing to do for so long ends."""
STACK_FRAMES = 12
"""Of the stack of a thread, the innermost ones."""


class DaemonThreads(Executor):
    """Runs calls in threads, at most `most` at a time; the others wait in line.

    Unlike those of `ThreadPoolExecutor`, the threads are daemons and nobody joins them when the process ends: a call that
    never returns keeps no process from its end.
    """

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._count = 0
        self._idle = 0

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Let a thread call the function, as soon as one is free."""
        future: Future[R] = Future()
        with self._changed:
            self._waiting.append((future, partial(fn, *args, **kwargs)))
            if self._idle < len(self._waiting) and self._count < self._most:
                self._count += 1
                threading.Thread(target=self._work, name=self._name, daemon=True).start()
            else:
                self._changed.notify()
        return future

    def _work(self) -> None:
        while (call := self._next()) is not None:
            future, function = call
            del call
            if future.set_running_or_notify_cancel():
                try:
                    result = function()
                except BaseException as error:  # noqa: BLE001 - told to who waits for the future
                    future.set_exception(error)
                else:
                    future.set_result(result)
            del future, function

    def _next(self) -> tuple[Future[Any], Callable[[], Any]] | None:
        """Return the next call; None if the thread has had nothing to do for long."""
        with self._changed:
            self._idle += 1
            self._changed.wait_for(lambda: bool(self._waiting), IDLE_SECONDS)
            self._idle -= 1
            if self._waiting:
                return self._waiting.popleft()
            self._count -= 1
            return None


class ThreadCall:
    """A call of a plain function in a thread, which nothing can stop once it has begun.

    It runs in a copy of the caller's context. began: called on the loop when the thread takes the call up.
    """

    def __init__(self, threads: DaemonThreads, function: Callable[[], Any], began: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = began
        self._thread: int | None = None
        self._ended = self._loop.run_in_executor(threads, copy_context().run, self._run, function)

    @property
    def is_over(self) -> bool:
        """Whether the function has returned, or is not going to be called any more."""
        return self._ended.done()

    async def outcome(self) -> CallOutcome:
        """Return how the call ended. If the wait is cancelled, a call that has not begun never begins; others go on."""
        try:
            return await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            if self._thread is None:
                self._ended.cancel()
            raise

    async def wait(self, seconds: float | None = None) -> None:
        """Return when the call is over, or after so many seconds."""
        await asyncio.wait([self._ended], timeout=seconds)

    def place(self) -> str:
        """Describe where the thread is, as a traceback; empty when it is nowhere any more."""
        frame = sys._current_frames().get(self._thread or 0)  # noqa: SLF001 - the documented way, in spite of its name
        return "".join(traceback.format_stack(frame)[-STACK_FRAMES:]) if frame else ""

    def _run(self, function: Callable[[], Any]) -> CallOutcome:
        self._thread = threading.get_ident()
        try:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._began)
            return outcome_of(function)
        finally:
            self._thread = None
