"""What AWS does between the services: the stream into the dispatcher, the timers queue into it, and the minute's sweep.

Each class is one loop. `step` is a round of it, which the supervisor repeats; what a round could not deal with, the next
one meets again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.ports.item_store import Change
from levante_core.ports.surroundings import Clock
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_dispatcher.handlers import DispatcherHandlers
from levante_local.greenlets import call
from levante_local.queues.queues import InProcessQueues
from levante_local.sqlite.store import SqliteItemStore

logger = logging.getLogger("levante.host")

STREAM_BATCH = 100
MOST_ARRIVED = 10_000
TIMERS_BATCH = 10
TIMERS_WAIT_SECONDS = 20.0
TIMERS_VISIBILITY_SECONDS = 60.0
SWEEP_SECONDS = 60.0
ALIVE_SECONDS = 1.0
EXPIRED_AT_ONCE = 50


class ChangePump:
    """Hands every change to the stream handler, in order, at least once. The store pushes; idle when nothing happens.

    A batch that the handler does not take is handed over again. Changes that are pushed meanwhile are kept up to a number;
    beyond it they are read from the table, as are those of an earlier process.
    """

    def __init__(self, store: SqliteItemStore, handlers: DispatcherHandlers) -> None:
        self._store = store
        self._handlers = handlers
        self._arrived: deque[Change] = deque()
        self._is_behind = True
        self._last = 0
        self._wake = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        store.listen(self._arrive)

    async def step(self) -> float:
        """Hand over the next batch; wait for a change if there is none."""
        while not (batch := self._next()):
            self._wake.clear()
            if not self._arrived and not self._is_behind:
                await self._wake.wait()
        event = {"Records": [stream_record(change) for change in batch]}
        await call(self._handlers.stream, event, None)
        self._last = int(batch[-1].sequence)
        self._store.acknowledge_changes(batch[-1].sequence)
        return 0.0

    def _next(self) -> Sequence[Change]:
        while self._arrived and int(self._arrived[0].sequence) <= self._last:
            self._arrived.popleft()
        if self._is_behind:
            return self._read()
        return [self._arrived[place] for place in range(min(STREAM_BATCH, len(self._arrived)))]

    def _read(self) -> Sequence[Change]:
        self._is_behind = False  # before it reads: what comes meanwhile may set it again
        changes: Sequence[Change] | None = None
        try:
            changes = self._store.read_changes(str(self._last), STREAM_BATCH)
        finally:
            if changes is None or changes:
                self._is_behind = True
        return changes

    def _arrive(self, changes: Sequence[Change]) -> None:
        """Called wherever the store commits."""
        kept = [change for change in changes if int(change.sequence)]
        if not kept:
            return
        if self._is_behind or len(self._arrived) + len(kept) > MOST_ARRIVED:
            self._is_behind = True
        else:
            self._arrived.extend(kept)
        self._loop.call_soon_threadsafe(self._wake.set)


class TimersPump:
    """Hands what is due to the timers handler. wait_seconds: of one look into an empty queue."""

    def __init__(
        self, queues: InProcessQueues, handlers: DispatcherHandlers, wait_seconds: float = TIMERS_WAIT_SECONDS
    ) -> None:
        self._queues = queues
        self._handlers = handlers
        self._wait_seconds = wait_seconds
        queues.ensure(TIMERS_QUEUE)

    async def step(self) -> float:
        """Deal with some messages. Those that the handler does not take appear again: at once if it takes none at all."""
        messages = await call(self._receive)
        if messages:
            records = [{"messageId": message.receipt, "body": message.body} for message in messages]
            try:
                answer = await call(self._handlers.timers, {"Records": records}, None)
            except Exception:
                self._queues.extend(TIMERS_QUEUE, [message.receipt for message in messages], 0)
                raise
            failed = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
            self._queues.delete(TIMERS_QUEUE, [message.receipt for message in messages if message.receipt not in failed])
        return 0.0

    def _receive(self) -> list[Any]:
        return self._queues.receive(
            TIMERS_QUEUE,
            limit=TIMERS_BATCH,
            wait_seconds=self._wait_seconds,
            visibility_seconds=TIMERS_VISIBILITY_SECONDS,
        )


class QueuesPump:
    """Lets the queues notice when this process has stood still."""

    def __init__(self, queues: InProcessQueues) -> None:
        self._queues = queues

    async def step(self) -> float:
        """Look at the clock."""
        self._queues.note_alive()
        return ALIVE_SECONDS


class SweepPump:
    """Sweeps once a minute, and at the start. It may read many histories, so it does so in a thread."""

    def __init__(self, handlers: DispatcherHandlers) -> None:
        self._handlers = handlers

    async def step(self) -> float:
        """Sweep once."""
        await asyncio.to_thread(self._handlers.sweep, {}, None)
        return SWEEP_SECONDS


class ExpiryPump:
    """Deletes what has expired once a minute, and at the start, some at a time: what belongs to it goes by the feed."""

    def __init__(self, store: SqliteItemStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def step(self) -> float:
        """Delete some."""
        deleted = await call(self._store.delete_expired, self._clock.now(), EXPIRED_AT_ONCE)
        return SWEEP_SECONDS if deleted < EXPIRED_AT_ONCE else 0.0


class RedriveAtStart:
    """Sends what the queues of an earlier process held, once, in a thread, beside everything else.

    Callers and workers need not wait for it. A task that is sent twice is in the same group as the first one, so nobody gets
    it before that is done; then it finds nothing left to do.
    """

    def __init__(self, redrive: Callable[[], int]) -> None:
        self._redrive = redrive

    async def step(self) -> None:
        """Do it. A repeat is harmless."""
        count = await asyncio.to_thread(self._redrive)
        if count:
            logger.info("%d open executions carry on", count)
