"""Tasks that activities begin: what one of them raises ends that task, and never the loop of the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextvars import Context
from types import TracebackType
from typing import Any

from levante.context import current_activity
from levante.errors import text_of


class TaskExited(RuntimeError):
    """A task of an activity raised KeyboardInterrupt or SystemExit, which asyncio would let end the loop. See its cause."""


def contain_exits(loop: asyncio.AbstractEventLoop) -> None:
    """Let tasks that activities begin on this loop raise TaskExited in place of what ends loops. A repeat is harmless.

    A loop with a task factory of its user's is left as it is.
    """
    if loop.get_task_factory() is None:
        loop.set_task_factory(_task)


def _task(loop: asyncio.AbstractEventLoop, coro: Any, *, context: Context | None = None, **named: Any) -> asyncio.Task[Any]:
    activity = current_activity.get() if context is None else context.get(current_activity)
    if activity is not None:
        coro = _Contained(coro)
    return asyncio.Task(coro, loop=loop, context=context, **named)


class _Contained(Coroutine[Any, Any, Any]):
    """Steps a coroutine on behalf of its task."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.__qualname__ = getattr(coroutine, "__qualname__", type(coroutine).__qualname__)

    def send(self, value: Any, /) -> Any:
        try:
            return self._coroutine.send(value)
        except (KeyboardInterrupt, SystemExit) as error:
            raise _exited(error) from error

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> Any:
        error = typ if isinstance(typ, BaseException) else val if isinstance(val, BaseException) else typ()
        try:
            return self._coroutine.throw(error.with_traceback(tb) if tb else error)
        except (KeyboardInterrupt, SystemExit) as exit_:
            raise _exited(exit_) from exit_

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._coroutine.__await__()


def _exited(error: BaseException) -> TaskExited:
    said = text_of(error)
    return TaskExited(f"a task of the activity raised {type(error).__name__}" + (f": {said}" if said else ""))
