"""Keeping leases alive for as long as the work behind them goes on."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import uniform

from levante.worker.tasks.source import TaskSource
from levante.worker.transport.api import ApiUnreachable, KeyRefused
from levante.worker.transport.splitting import send_apart
from levante_core.protocol import LevanteError
from levante_core.protocol.workers import LEASE_SECONDS, TaskQueue

logger = logging.getLogger("levante.worker")

EXTEND_EVERY_SECONDS = LEASE_SECONDS / 3
AGAIN_SECONDS = 1.0
"""Until leases are presented again that nobody could answer for: at once after a restart of the API."""
_ABOUT_ALL = (KeyRefused, ApiUnreachable, LevanteError, TimeoutError)
"""Failures to extend leases that are not about one of them."""


class LeaseIsLost(Exception):
    """The task is somebody else's by now: stop silently."""


class Leases:
    """The leases that this worker holds, by queue and receipt."""

    def __init__(self, tasks: TaskSource) -> None:
        self._tasks = tasks
        self._held: dict[tuple[TaskQueue, str], asyncio.Task[object]] = {}
        self._has_some = asyncio.Event()

    @asynccontextmanager
    async def held(self, queue: TaskQueue, receipts: Sequence[str]) -> AsyncIterator[None]:
        """Extend these leases inside the block. If one is lost, the task that entered the block is cancelled."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("leases are held by tasks")
        for receipt in receipts:
            self._held[queue, receipt] = task
            self._has_some.set()
        try:
            yield
        finally:
            for receipt in receipts:
                self._held.pop((queue, receipt), None)

    async def keep(self) -> None:
        """Extend all leases again and again, one call per queue; idle while there are none.

        A lease that cannot be extended is logged and tried again with the others.
        """
        pause = EXTEND_EVERY_SECONDS
        while True:
            if not self._held:
                self._has_some.clear()
                await self._has_some.wait()
            await asyncio.sleep(pause)
            pause = EXTEND_EVERY_SECONDS if await self.renew() else uniform(AGAIN_SECONDS / 2, AGAIN_SECONDS)  # noqa: S311

    async def renew(self) -> bool:
        """Extend all leases now. Tells whether it is known of each what became of it.

        A host that was started anew lets stand what it hears of before it sends tasks again.
        """
        by_queue: dict[TaskQueue, list[str]] = defaultdict(list)
        for queue, receipt in self._held:
            by_queue[queue].append(receipt)
        return all(await asyncio.gather(*(self._extend(queue, receipts) for queue, receipts in by_queue.items())))

    async def confirm(self, receipts: Sequence[str]) -> None:
        """Make sure that workflow tasks are still ours. Raises: LeaseIsLost."""
        if await self._tasks.extend(TaskQueue.WORKFLOW, receipts):
            raise LeaseIsLost

    async def _extend(self, queue: TaskQueue, receipts: Sequence[str]) -> bool:
        """Extend leases. Tells whether it is known of each what became of it."""
        failures: list[Exception] = []

        async def extend(some: Sequence[str]) -> list[bool]:
            """Extend, and say whether each is lost."""
            async with asyncio.timeout(EXTEND_EVERY_SECONDS):
                lost = set(await self._tasks.extend(queue, some))
            return [receipt in lost for receipt in some]

        def settle(receipt: str, answer: object) -> None:
            if isinstance(answer, Exception):
                failures.append(answer)
            elif answer:
                self._lose(queue, receipt)

        await send_apart(receipts, extend, settle, _ABOUT_ALL)
        if failures:
            logger.warning("%d leases of %d cannot be extended at present: %s", len(failures), len(receipts), failures[0])
        return not failures

    def _lose(self, queue: TaskQueue, receipt: str) -> None:
        task = self._held.pop((queue, receipt), None)
        if task:
            logger.warning("a lease was lost: another worker carries on with its task")
            task.cancel()
