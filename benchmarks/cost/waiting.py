"""Threads and sleeps of the programs, replaced so that a measurement runs in one thread and in virtual time.

So every measurement gives the same counts, on any machine, and an hour of polling takes a second.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from benchmarks.cost.metering import AT_ONCE

from levante_local.greenlets import call, wait_for


def sleep(seconds: float) -> None:
    """Let virtual time pass for what runs in `levante_local.greenlets.call`."""
    with suppress(TimeoutError):
        wait_for(Future[None](), seconds)


class InlineExecutor:
    """Carries out at once what is submitted, and marks its calls as made together."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """See concurrent.futures.Executor."""
        done: Future[Any] = Future()
        token = AT_ONCE.set(True)
        try:
            done.set_result(function(*args))
        except Exception as error:  # noqa: BLE001 - whoever asks for the result gets it
            done.set_exception(error)
        finally:
            AT_ONCE.reset(token)
        return done

    def shutdown(self, **_: bool) -> None:
        """See concurrent.futures.Executor."""


class LoopExecutor:
    """Runs what is submitted on the event loop, where it may wait as if in a thread."""

    def __init__(self, *_: object, **__: object) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """See concurrent.futures.Executor."""
        done: Future[Any] = Future()
        task = asyncio.get_running_loop().create_task(self._run(done, function, *args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return done

    def shutdown(self, **_: bool) -> None:
        """See concurrent.futures.Executor. A poll that nobody waits for any more ends at once."""
        for task in self._tasks:
            task.cancel()

    @staticmethod
    async def _run(done: "Future[Any]", function: Callable[..., Any], *args: Any) -> None:
        try:
            done.set_result(await call(function, *args))
        except asyncio.CancelledError:
            done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - as above
            done.set_exception(error)
