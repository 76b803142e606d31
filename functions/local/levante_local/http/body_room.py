"""How many bytes of requests are in memory at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from levante_core.domain.limits import MAX_BODY_BYTES

SMALL_BYTES = 16 * 1024
"""Bodies up to this size are not counted: the number of connections bounds them."""


class NoRoom(Exception):
    """Other requests hold so much memory that this one cannot be read now."""


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """total_bytes: of all bodies that are being read or handled. owner_bytes: of those of one API key.

    wait_seconds: how long a request waits for others to end.
    """

    total_bytes: int = 16 * MAX_BODY_BYTES
    owner_bytes: int = 8 * MAX_BODY_BYTES
    wait_seconds: float = 5.0


class BodyRoom:
    """Lets a body in as a whole or not yet, so that none waits half read for the room that another one holds."""

    def __init__(self, limits: RoomLimits) -> None:
        self._limits = limits
        self._taken = 0
        self._by_owner: Counter[str] = Counter()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def held(self, owner: str, size: int) -> AsyncIterator[None]:
        """Hold room for a body of this size inside the block. Raises: NoRoom."""
        if size <= SMALL_BYTES:
            yield
            return
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                while not self._fits(owner, size):
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError:
            raise NoRoom from None
        self._taken += size
        self._by_owner[owner] += size
        try:
            yield
        finally:
            self._taken -= size
            self._by_owner[owner] -= size
            if not self._by_owner[owner]:
                del self._by_owner[owner]
            self._freed.set()

    def _fits(self, owner: str, size: int) -> bool:
        limits = self._limits
        return self._taken + size <= limits.total_bytes and self._by_owner[owner] + size <= limits.owner_bytes
