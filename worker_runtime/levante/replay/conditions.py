"""What workflow code waits for that nobody tells it: conditions on its own state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Conditions:
    """The conditions that the code of one run waits for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def wait(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        """Return when the predicate holds. Raises: TimeoutError."""
        if predicate():
            return
        condition = (predicate, self._loop.create_future())
        self._open.append(condition)
        try:
            await asyncio.wait_for(condition[1], timeout_seconds)
        finally:
            self._open.remove(condition)

    def look(self) -> bool:
        """Let those go on whose predicate holds by now. Tells whether any does."""
        met = [future for predicate, future in self._open if not future.done() and predicate()]
        for future in met:
            future.set_result(None)
        return bool(met)
