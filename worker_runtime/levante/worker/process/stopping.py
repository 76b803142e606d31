"""Ending what is under way: when a worker is told to stop before it serves, and when its attempts have to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType


class StoppedEarly(Exception):
    """What was waited for was given up because the worker is to stop."""


@asynccontextmanager
async def given_up_on(stop: asyncio.Event) -> AsyncIterator[None]:
    """Cancel the block once the event is set. Raises: StoppedEarly if that ended it."""
    limit = asyncio.timeout(None)

    async def watch() -> None:
        await stop.wait()
        _pass(limit)

    watching = asyncio.create_task(watch())
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise StoppedEarly from None
        raise
    finally:
        watching.cancel()


class EndOfAll:
    """A moment at which all blocks of a kind have to end, wherever they are."""

    def __init__(self) -> None:
        self.has_come = False
        self._limits: set[asyncio.Timeout] = set()

    def come(self) -> None:
        """Cancel all blocks, and those that are entered from now on. A repeat changes nothing."""
        self.has_come = True
        limits, self._limits = self._limits, set()
        for limit in limits:
            _pass(limit)

    def block(self) -> Block:
        """Make a block that is cancelled when the moment comes."""
        return Block(self)

    def begun(self, limit: asyncio.Timeout) -> None:
        """A block has begun that has this limit."""
        if self.has_come:
            _pass(limit)
        else:
            self._limits.add(limit)

    def over(self, limit: asyncio.Timeout) -> None:
        """A block is over."""
        self._limits.discard(limit)


class Block:
    """An async context. Raises: TimeoutError when the moment has ended it, after it has cleaned up."""

    def __init__(self, end: EndOfAll) -> None:
        self._end = end
        self._limit = asyncio.timeout(None)

    @property
    def was_ended(self) -> bool:
        """Whether the moment came while the block was under way."""
        return self._limit.expired()

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._end.begun(self._limit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.over(self._limit)
        await self._limit.__aexit__(kind, error, trace)


def _pass(limit: asyncio.Timeout) -> None:
    with suppress(RuntimeError):  # the block has ended already, for a reason of its own
        limit.reschedule(asyncio.get_running_loop().time())
