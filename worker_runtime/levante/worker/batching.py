"""Many small requests that are ready at the same moment share one API call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeAlias, TypeVar

Answer = TypeVar("Answer")
Write: TypeAlias = Callable[[], bytes | None]

MAX_ITEMS = 100
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Below the 6 MB that a Lambda function takes. Source: Lambda quotas (read 2026-11-23)."""


class Batcher(Generic[Answer]):
    """Sends items while no other call is under way; what comes meanwhile goes with the next one.

    send: takes the JSON of some items and returns one answer each; what it raises is raised to all of them.
    """

    def __init__(self, send: Callable[[list[bytes]], Awaitable[list[Answer]]]) -> None:
        self._send = send
        self._waiting: deque[tuple[bytes | Write, asyncio.Future[Answer]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def submit(self, item: bytes | Write) -> Answer:
        """Send one item with whatever else is ready. Cancelling the wait does not take the item back.

        An item that more is added to while it waits is given as what writes it, which is called when its turn has come;
        if that finds nothing left to send, the wait is cancelled.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._drain())
        return await answer

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            if not batch:
                continue
            try:
                answers = await self._send([item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - raised to those who wait
                await self._apart(batch, error)
            else:
                for (_, waiter), answer in zip(batch, answers, strict=True):
                    if not waiter.done():
                        waiter.set_result(answer)
        self._sender = None

    async def _apart(self, batch: list[tuple[bytes, asyncio.Future[Answer]]], error: Exception) -> None:
        """One item may be to blame for the refusal of all: let each stand for itself."""
        for item, waiter in batch:
            refusal: Exception | None = error
            if len(batch) > 1:
                try:
                    (answer,) = await self._send([item])
                except Exception as own:  # noqa: BLE001 - as above
                    refusal = own
                else:
                    refusal = None
                    if not waiter.done():
                        waiter.set_result(answer)
            if refusal is not None and not waiter.done():
                waiter.set_exception(refusal)

    def _next_batch(self) -> list[tuple[bytes, asyncio.Future[Answer]]]:
        batch: list[tuple[bytes, asyncio.Future[Answer]]] = []
        room = MAX_BATCH_BYTES
        while self._waiting and len(batch) < MAX_ITEMS:
            item, waiter = self._waiting.popleft()
            written = item if isinstance(item, bytes) else item()
            if written is None:
                waiter.cancel()
                continue
            if batch and len(written) > room:
                self._waiting.appendleft((written, waiter))
                break
            room -= len(written)
            batch.append((written, waiter))
        return batch
