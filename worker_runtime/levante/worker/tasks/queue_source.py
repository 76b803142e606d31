"""Tasks from the queues themselves, for workers that reach them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from random import uniform
from typing import Protocol, TypeVar

from levante.worker.activities.threads import DaemonThreads
from levante.worker.tasks.decoding import readable
from levante.worker.tasks.source import TaskSource
from levante.worker.transport.retrying import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS
from levante_core.protocol import LevanteError
from levante_core.protocol.queue_access import QueueAccess
from levante_core.protocol.workers import LEASE_SECONDS, MAX_POLL_SECONDS, DeliveredTask, HandBack, TaskQueue, delivered

T = TypeVar("T")

logger = logging.getLogger("levante.worker")

RENEW_BEFORE = timedelta(minutes=10)
"""How long before their end credentials are replaced: well more than a poll takes."""
MOST_SECONDS = 20.0
"""How long calls about leases are repeated; polls are repeated for as long as it takes."""
THREADS = 8
"""A poll of each queue, one more that was cancelled, and calls about leases."""


class Message(Protocol):
    """A message as a queue gives it: see `DeliveredTask`."""

    @property
    def body(self) -> str: ...
    @property
    def receipt(self) -> str: ...
    @property
    def receive_count(self) -> int: ...


class DeploymentQueues(Protocol):
    """As much of the queues as a worker needs; calls block, and raise LevanteError for whatever goes wrong."""

    def receive(self, queue: str, *, limit: int, wait_seconds: float, visibility_seconds: float) -> Sequence[Message]:
        """Take messages, waiting for the first."""
        ...

    def extend(self, queue: str, receipts: Sequence[str], visibility_seconds: float) -> Sequence[str]:
        """Let messages stay invisible for so long from now. Returns the lost receipts."""
        ...

    def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Remove messages."""
        ...


@dataclass(frozen=True, slots=True)
class _Connection:
    queues: DeploymentQueues
    names: dict[TaskQueue, str]
    renew_at: datetime


class QueueTasks:
    """Polls and leases on the queues; tasks are handed back through the API, which makes the copies.

    Whatever goes wrong with the queues, access is asked for anew: credentials may have ended, a queue may be gone, which
    the API makes again. ask: raises what the API raises when it refuses this worker for good.
    """

    def __init__(
        self,
        through_api: TaskSource,
        ask: Callable[[], Awaitable[QueueAccess]],
        connect: Callable[[QueueAccess], DeploymentQueues],
        now: Callable[[], datetime],
    ) -> None:
        self._through_api = through_api
        self._ask = ask
        self._connect = connect
        self._now = now
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()
        self._pool = DaemonThreads(THREADS, "queues")
        self._abandoned: list[tuple[TaskQueue, asyncio.Future[Sequence[Message]]]] = []

    async def poll(self, queue: TaskQueue, limit: int) -> Sequence[DeliveredTask]:
        """See TaskSource."""

        async def receive(connection: _Connection) -> Sequence[DeliveredTask]:
            receiving = self._in_thread(
                partial(
                    connection.queues.receive,
                    connection.names[queue],
                    limit=limit,
                    wait_seconds=MAX_POLL_SECONDS,
                    visibility_seconds=LEASE_SECONDS,
                )
            )
            try:
                messages = await asyncio.shield(receiving)
            except asyncio.CancelledError:
                self._abandoned.append((queue, receiving))
                raise
            return _tasks(messages)

        return await self._until_done(f"polling the {queue} queue", receive)

    async def extend(self, queue: TaskQueue, receipts: Sequence[str]) -> Sequence[str]:
        """See TaskSource."""

        async def extend(connection: _Connection) -> Sequence[str]:
            return await self._in_thread(partial(connection.queues.extend, connection.names[queue], receipts, LEASE_SECONDS))

        return await self._until_done(f"extending leases of the {queue} queue", extend, MOST_SECONDS)

    async def done(self, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """See TaskSource."""

        async def delete(connection: _Connection) -> None:
            await self._in_thread(partial(connection.queues.delete, connection.names[queue], receipts))

        await self._until_done(f"ending leases of the {queue} queue", delete, MOST_SECONDS)

    async def hand_back(self, queue: TaskQueue, returned: Sequence[HandBack]) -> None:
        """See TaskSource."""
        await self._through_api.hand_back(queue, returned)

    async def close(self) -> None:
        """See TaskSource. Takes as long as a poll that is under way, 20 s at most."""
        for queue, receiving in self._abandoned:
            try:
                tasks = _tasks(await receiving)
                if tasks:
                    await self.hand_back(queue, [HandBack(receipt=one.receipt, token=one.task.token) for one in tasks])
            except Exception:  # what cannot be handed back comes again when its lease ends
                logger.warning("what a poll of the %s queue got cannot be handed back", queue, exc_info=True)
        self._abandoned.clear()

    async def _until_done(
        self, what: str, call: Callable[[_Connection], Awaitable[T]], most_seconds: float | None = None
    ) -> T:
        """Make a call until it succeeds. Raises: LevanteError if it has not after so many seconds."""
        clock = asyncio.get_running_loop().time
        pause, began_at = FIRST_RETRY_SECONDS, clock()
        while True:
            connection = await self._connected()
            try:
                return await call(connection)
            except LevanteError as error:
                if most_seconds is not None and clock() + pause - began_at > most_seconds:
                    raise
                logger.warning("%s failed (%s): asking for access anew in %.1f s", what, error, pause)
                if self._connection is connection:
                    self._connection = None
            await asyncio.sleep(uniform(pause / 2, pause))  # noqa: S311 - keeps workers apart, and no secrets
            pause = min(2 * pause, LAST_RETRY_SECONDS)

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.renew_at <= self._now():
                access = await self._ask()
                self._connection = _Connection(
                    queues=await self._in_thread(partial(self._connect, access)),
                    names={TaskQueue.WORKFLOW: access.workflow_queue, TaskQueue.ACTIVITY: access.activity_queue},
                    renew_at=access.credentials.expires_at - RENEW_BEFORE,
                )
            return self._connection

    def _in_thread(self, call: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._pool, call)


def _tasks(messages: Sequence[Message]) -> list[DeliveredTask]:
    counted = ((one, one.receive_count) for one in messages)
    return readable(counted, lambda one: delivered(one.body, one.receipt, one.receive_count))
