"""Many small requests that are ready at the same moment share one API call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

from levante.worker.transport.splitting import send_apart

Answer = TypeVar("Answer")
Write: TypeAlias = Callable[[], bytes | None]

MAX_ITEMS = 100
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Below the 6 MB that a Lambda function takes. Source: Lambda quotas (read 2026-11-23)."""
SLOW_SECONDS = 0.5
"""A call that takes longer keeps what comes after it waiting no more."""


@dataclass(frozen=True, eq=False, slots=True)
class _Item(Generic[Answer]):
    content: bytes
    waiter: asyncio.Future[Answer]


class Batcher(Generic[Answer]):
    """Sends items while no other call is under way; what comes meanwhile goes with the next one.

    One item that cannot be sent holds up no other: a batch that fails is split until that item stands alone, and calls
    that are slow, or are repeated, go on beside the next ones. What `send` raises is raised to whoever submitted the item.

    send: takes the JSON of some items and returns one answer each; a repeat has to be harmless.
    """

    def __init__(self, send: Callable[[list[bytes]], Awaitable[list[Answer]]]) -> None:
        self._send = send
        self._waiting: deque[tuple[bytes | Write, asyncio.Future[Answer]]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()

    async def submit(self, item: bytes | Write) -> Answer:
        """Send one item with whatever else is ready. Cancelling the wait does not take the item back.

        An item that more is added to while it waits is given as what writes it, which is called when its turn has come;
        if that finds nothing left to send, the wait is cancelled. Raises: what writes the item, or `send`, raises.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._drain())
        return await answer

    async def close(self) -> None:
        """Send nothing more, and wait for nothing: calls under way are cancelled, and so are the waits for answers."""
        tasks = [task for task in (self._sender, *self._calls) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._waiting:
            _, waiter = self._waiting.popleft()
            waiter.cancel()

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                if batch:
                    call = asyncio.create_task(self._deliver(batch))
                    self._calls.add(call)
                    call.add_done_callback(self._calls.discard)
                    await asyncio.wait([call], timeout=SLOW_SECONDS)
        finally:
            self._sender = None

    async def _deliver(self, batch: Sequence[_Item[Answer]]) -> None:
        async def send(items: Sequence[_Item[Answer]]) -> Sequence[Answer]:
            return await self._send([item.content for item in items])

        try:
            await send_apart(batch, send, _settle)
        finally:
            for item in batch:
                item.waiter.cancel()  # those that are not settled, as this is cancelled itself

    def _next_batch(self) -> list[_Item[Answer]]:
        batch: list[_Item[Answer]] = []
        room = MAX_BATCH_BYTES
        while self._waiting and len(batch) < MAX_ITEMS:
            item, waiter = self._waiting.popleft()
            written = _written(item, waiter)
            if written is None:
                continue
            if batch and len(written) > room:
                self._waiting.appendleft((written, waiter))
                break
            room -= len(written)
            batch.append(_Item(written, waiter))
        return batch


def _written(item: bytes | Write, waiter: asyncio.Future[Answer]) -> bytes | None:
    """Write an item, or let its submitter know why there is nothing to send."""
    if isinstance(item, bytes):
        return item
    try:
        written = item()
    except Exception as error:  # noqa: BLE001 - concerns this item alone
        if not waiter.done():
            waiter.set_exception(error)
        return None
    if written is None:
        waiter.cancel()
    return written


def _settle(item: _Item[Answer], answer: Answer | Exception) -> None:
    if item.waiter.done():
        return
    if isinstance(answer, Exception):
        item.waiter.set_exception(answer)
    else:
        item.waiter.set_result(answer)
