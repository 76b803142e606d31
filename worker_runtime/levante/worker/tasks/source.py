"""Where a worker's tasks come from, and where their leases are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from levante.worker.transport.api import Api
from levante_core.protocol import WorkerPool
from levante_core.protocol.workers import DeliveredTask, HandBack, LeasesRequest, PollRequest, TaskQueue


class TaskSource(Protocol):
    """The two queues of the worker's deployment.

    Leases that a commit or a report names are ended by the API, whatever the source.
    """

    async def poll(self, queue: TaskQueue, limit: int) -> Sequence[DeliveredTask]:
        """Lease up to `limit` tasks, waiting up to 20 s for the first. A wait that is cancelled loses no task."""
        ...

    async def extend(self, queue: TaskQueue, receipts: Sequence[str]) -> Sequence[str]:
        """Extend leases to LEASE_SECONDS from now. Returns the receipts that are lost."""
        ...

    async def done(self, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """End leases of tasks that need nothing recorded."""
        ...

    async def hand_back(self, queue: TaskQueue, returned: Sequence[HandBack]) -> None:
        """Give tasks to other workers at once."""
        ...

    async def close(self) -> None:
        """Hand back what came for polls that were cancelled."""
        ...


class ApiTasks:
    """Tasks through the API: for hosts that reach nothing else."""

    def __init__(self, api: Api, pool: WorkerPool, worker_id: str) -> None:
        self._api = api
        self._pool = pool
        self._worker_id = worker_id

    async def poll(self, queue: TaskQueue, limit: int) -> Sequence[DeliveredTask]:
        """See TaskSource."""
        request = PollRequest(deployment_name=self._pool, worker_id=self._worker_id, queue=queue, limit=limit)
        return (await self._api.poll(request)).tasks

    async def extend(self, queue: TaskQueue, receipts: Sequence[str]) -> Sequence[str]:
        """See TaskSource."""
        request = LeasesRequest(deployment_name=self._pool, queue=queue, extend=tuple(receipts))
        return (await self._api.leases(request)).lost

    async def done(self, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """See TaskSource."""
        await self._api.leases(LeasesRequest(deployment_name=self._pool, queue=queue, done=tuple(receipts)))

    async def hand_back(self, queue: TaskQueue, returned: Sequence[HandBack]) -> None:
        """See TaskSource."""
        await self._api.leases(LeasesRequest(deployment_name=self._pool, queue=queue, hand_back=tuple(returned)))

    async def close(self) -> None:
        """See TaskSource. The API hands back by itself what was meant for a caller that left."""
