"""Room for the attempts that run at the same time, and when rate limits let one of them begin."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from levante.worker.transport.api import UNAVAILABLE, ApiError
from levante.worker.transport.retrying import LAST_RETRY_SECONDS
from levante_core.protocol.activities import PermitRequest, PermitResponse

logger = logging.getLogger("levante.worker")

HELD_SECONDS = 1.0
"""How long a slot may be kept for an attempt whose time under its rate limit has not come."""


class Slots:
    """At most `count` attempts at a time. load: how many have a slot or wait for one.

    ask: for a place in time under a rate limit.
    """

    def __init__(self, count: int, ask: Callable[[PermitRequest], Awaitable[PermitResponse]]) -> None:
        self.count = count
        self.load = 0
        self._ask = ask
        self._semaphore = asyncio.Semaphore(count)
        self._lines: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._early = 0

    @property
    def free(self) -> int:
        """How many more attempts could start at once; none while too many wait for their time under a rate limit."""
        return max(0, self.count - self.load) if self._early < self.count else 0

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Hold a slot inside the block, once there is one."""
        self.load += 1
        try:
            async with self._semaphore:
                yield
        finally:
            self.load -= 1

    @asynccontextmanager
    async def one_in_time(self, request: PermitRequest) -> AsyncIterator[None]:
        """Hold a slot inside the block, once there is one at a time that the rate limit allows.

        A place in time is taken only with a slot at hand, and only if it is near, so that none is lost; until then the slot
        is left to others. Attempts that share a limit wait in line. Raises: ApiError when the API refuses the request.
        Cost: a call, and one or two more if the place is not near at once.
        """
        request = request.model_copy(update={"within_seconds": HELD_SECONDS})
        line = self._lines[request.rate_limit.key or f"activity {request.activity_name}"]
        async with AsyncExitStack() as slot:
            self._early += 1
            try:
                is_near, seconds = (False, 0.0) if line.locked() else await self._tried(request, slot)
                if not is_near:
                    async with line:
                        while not is_near:
                            await asyncio.sleep(max(0.0, seconds - HELD_SECONDS))
                            is_near, seconds = await self._tried(request, slot)
            finally:
                self._early -= 1
            await asyncio.sleep(seconds)
            yield

    async def _tried(self, request: PermitRequest, slot: AsyncExitStack) -> tuple[bool, float]:
        """Take the next place in time if it is near. Tells whether it is, and how far; if it is, `slot` has a slot."""
        async with AsyncExitStack() as held:
            await held.enter_async_context(self.one())
            try:
                answer = await self._ask(request)
            except ApiError as error:
                if error.status not in UNAVAILABLE:
                    raise
                logger.warning(
                    "no place under the rate limit of %s is to be had at present: %s", request.activity_name, error
                )
                return False, LAST_RETRY_SECONDS
            if answer.is_taken:
                slot.push_async_exit(held.pop_all())
            return answer.is_taken, answer.wait_seconds
