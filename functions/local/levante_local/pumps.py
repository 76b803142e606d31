"""What AWS does between the services: the stream into the dispatcher, the timers queue into it, and the minute's sweep."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from levante_core.adapters.images import stream_record
from levante_core.ports.item_store import Change
from levante_core.ports.surroundings import Clock
from levante_core.services.dispatch import TIMERS_QUEUE
from levante_dispatcher.handlers import DispatcherHandlers
from levante_local.queues import InProcessQueues
from levante_local.sqlite_store import SqliteItemStore
from levante_local.waiting import call

logger = logging.getLogger("levante.host")

STREAM_BATCH = 100
TIMERS_BATCH = 10
TIMERS_WAIT_SECONDS = 20.0
TIMERS_VISIBILITY_SECONDS = 60.0
SWEEP_SECONDS = 60.0
EXPIRED_AT_ONCE = 50
FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0


class ChangePump:
    """Hands every change to the stream handler, in order, at least once. The store pushes; idle when nothing happens."""

    def __init__(self, store: SqliteItemStore, handlers: DispatcherHandlers) -> None:
        self._store = store
        self._handlers = handlers
        self._arrived: deque[Change] = deque()
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        store.listen(self._arrive)

    async def run(self) -> None:
        """Pump: first what an earlier process left, then what happens."""
        last = await self._catch_up()
        while True:
            if not self._arrived:
                self._wake.clear()
                await self._wake.wait()
            batch = [self._arrived.popleft() for _ in range(min(STREAM_BATCH, len(self._arrived)))]
            batch = [change for change in batch if int(change.sequence) > last]
            if batch:
                await self._hand_over(batch)
                last = int(batch[-1].sequence)

    async def _catch_up(self) -> int:
        last = 0
        while changes := self._store.read_changes(str(last), STREAM_BATCH):
            await self._hand_over(changes)
            last = int(changes[-1].sequence)
        return last

    async def _hand_over(self, changes: Sequence[Change]) -> None:
        event = {"Records": [stream_record(change) for change in changes]}
        await _until_done(lambda: call(self._handlers.stream, event, None), "the change feed")
        self._store.acknowledge_changes(changes[-1].sequence)

    def _arrive(self, changes: Sequence[Change]) -> None:
        """Called wherever the store commits."""
        kept = [change for change in changes if int(change.sequence)]
        if kept:
            self._arrived.extend(kept)
            self._loop.call_soon_threadsafe(self._wake.set)


async def pump_timers(
    queues: InProcessQueues, handlers: DispatcherHandlers, wait_seconds: float = TIMERS_WAIT_SECONDS
) -> None:
    """Hand what is due to the timers handler. wait_seconds: of one look into an empty queue."""
    queues.ensure(TIMERS_QUEUE)
    while True:
        messages = await call(_receive_timers, queues, wait_seconds)
        if not messages:
            continue
        records = [{"messageId": message.receipt, "body": message.body} for message in messages]
        answer = await call(handlers.timers, {"Records": records}, None)
        failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        queues.delete(TIMERS_QUEUE, [message.receipt for message in messages if message.receipt not in failed])


async def pump_sweeps(handlers: DispatcherHandlers) -> None:
    """Sweep once a minute, and at the start."""
    while True:
        await _until_done(lambda: call(handlers.sweep, {}, None), "the sweep")
        await asyncio.sleep(SWEEP_SECONDS)


async def pump_expiry(store: SqliteItemStore, clock: Clock) -> None:
    """Delete what has expired once a minute, and at the start, some at a time: what belongs to it goes by the feed."""
    while True:
        deleted = 0

        async def delete() -> None:
            nonlocal deleted
            deleted = await call(store.delete_expired, clock.now(), EXPIRED_AT_ONCE)

        await _until_done(delete, "the expiry of items")
        await asyncio.sleep(SWEEP_SECONDS if deleted < EXPIRED_AT_ONCE else 0)


def _receive_timers(queues: InProcessQueues, wait_seconds: float) -> list[Any]:
    return queues.receive(
        TIMERS_QUEUE,
        limit=TIMERS_BATCH,
        wait_seconds=wait_seconds,
        visibility_seconds=TIMERS_VISIBILITY_SECONDS,
    )


async def _until_done(attempt: Callable[[], Awaitable[object]], what: str) -> None:
    """Try again and again: nothing that was written may be lost."""
    delay = FIRST_RETRY_SECONDS
    while True:
        try:
            await attempt()
        except Exception:
            logger.exception("%s could not be dealt with; trying again in %.1f s", what, delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LAST_RETRY_SECONDS)
        else:
            return
