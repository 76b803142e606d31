"""Many small requests that are ready at the same moment share one API call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")

MAX_ITEMS = 100
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Below the 6 MB that a Lambda function takes. Source: Lambda quotas (read 2026-11-23)."""


class Batcher(Generic[Answer]):
    """Sends items while no other call is under way; what comes meanwhile goes with the next one.

    send: takes the JSON of some items and returns one answer each; what it raises is raised to all of them.
    """

    def __init__(self, send: Callable[[list[bytes]], Awaitable[list[Answer]]]) -> None:
        self._send = send
        self._waiting: list[tuple[bytes, asyncio.Future[Answer]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def submit(self, item: bytes) -> Answer:
        """Send one item with whatever else is ready. Cancelling the wait does not take the item back."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._drain())
        return await answer

    async def _drain(self) -> None:
        while self._waiting:
            batch = self._next_batch()
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
        size, count = 0, 0
        for item, _ in self._waiting[:MAX_ITEMS]:
            if count and size + len(item) > MAX_BATCH_BYTES:
                break
            size += len(item)
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch
