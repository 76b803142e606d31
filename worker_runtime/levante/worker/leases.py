"""Keeping leases alive for as long as the work behind them goes on."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from levante.worker.tasks import TaskSource
from levante_core.protocol.workers import LEASE_SECONDS, TaskQueue

logger = logging.getLogger("levante.worker")

EXTEND_EVERY_SECONDS = LEASE_SECONDS / 3


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
        """Extend all leases again and again, one call per queue; idle while there are none."""
        while True:
            if not self._held:
                self._has_some.clear()
                await self._has_some.wait()
            await asyncio.sleep(EXTEND_EVERY_SECONDS)
            await self.renew()

    async def renew(self) -> None:
        """Extend all leases now: a host that was started anew lets stand what it hears of before it sends tasks again."""
        by_queue: dict[TaskQueue, list[str]] = defaultdict(list)
        for queue, receipt in self._held:
            by_queue[queue].append(receipt)
        for queue, receipts in by_queue.items():
            await self._extend(queue, receipts)

    async def confirm(self, receipts: Sequence[str]) -> None:
        """Make sure that workflow tasks are still ours. Raises: LeaseIsLost."""
        if await self._tasks.extend(TaskQueue.WORKFLOW, receipts):
            raise LeaseIsLost

    async def _extend(self, queue: TaskQueue, receipts: Sequence[str]) -> None:
        for lost in await self._tasks.extend(queue, receipts):
            task = self._held.pop((queue, lost), None)
            if task:
                logger.warning("a lease was lost: another worker carries on with its task")
                task.cancel()
