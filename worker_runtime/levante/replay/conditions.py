"""What workflow code waits for that nobody tells it: conditions on its own state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class _Condition:
    """A predicate, looked at in the context of the code that waits for it. met: resolved once it holds or raises."""

    predicate: Callable[[], bool]
    met: asyncio.Future[None]
    context: Context

    def look(self) -> bool:
        """Let whoever waits go on if the predicate holds, or with what it raises. Tells whether they go on."""
        if self.met.done():
            return False
        try:
            holds = self.context.run(self.predicate)
        except StopIteration as error:  # no future takes it
            self.met.set_exception(RuntimeError(f"the predicate raised StopIteration: {error}"))
            return True
        except BaseException as error:  # noqa: BLE001 - whatever it raises is raised where it is waited for
            self.met.set_exception(error)
            return True
        if holds:
            self.met.set_result(None)
        return bool(holds)


class Conditions:
    """The conditions that the code of one run waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: list[_Condition] = []

    async def wait(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        """Return when the predicate holds. Raises: TimeoutError; whatever the predicate raises."""
        if predicate():
            return
        condition = _Condition(predicate, self._loop.create_future(), copy_context())
        self._open.append(condition)
        try:
            await asyncio.wait_for(condition.met, timeout_seconds)
        finally:
            self._open.remove(condition)

    def look(self) -> Iterator[None]:
        """Let those go on whose predicate holds by now, one by one until there is none.

        Yields where one goes on, to be run until it waits again: it may take from the next one what that waits for.
        """
        has_met = True
        while has_met:
            has_met = False
            for condition in list(self._open):
                if condition.look():
                    has_met = True
                    yield
