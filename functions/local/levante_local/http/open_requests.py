"""Requests that are under way: a host that stops answers those that wait, instead of breaking them off."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from levante_local.http.gateway import Send, respond

GRACE_SECONDS = 0.2
"""How long what does not wait for anything has to end by itself."""
END_SECONDS = 1.0
STOPPING = {
    "statusCode": 503,
    "headers": {"Content-Type": "application/json", "Retry-After": "1"},
    "body": json.dumps({"detail": "the host is stopping: try again once it has been started", "code": "UNAVAILABLE"}),
}


class OpenRequests:
    """Knows what is under way, and ends it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = asyncio.Event()

    async def answered(self, serve: Callable[[Send], Awaitable[None]], send: Send) -> None:
        """Serve a request, unless the host stops meanwhile: then it is answered with 503, or its stream ends."""
        answer, task = _Answer(send), asyncio.current_task()
        if self._stopped.is_set() or task is None:
            await answer.end()
            return
        self._tasks.add(task)
        try:
            await serve(answer)
        except asyncio.CancelledError:
            if not self._stopped.is_set():
                raise
            task.uncancel()
            await answer.end()
        finally:
            self._tasks.discard(task)

    async def stop(self) -> None:
        """Answer everything that is under way, and whatever comes from now on."""
        self._stopped.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=GRACE_SECONDS)
        left = list(self._tasks)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=END_SECONDS)


class _Answer:
    """Knows how far an answer has come."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = self._has_ended = False

    async def __call__(self, message: Any) -> None:
        self._has_begun = True
        self._has_ended = message["type"] == "http.response.body" and not message.get("more_body")
        await self._send(message)

    async def end(self) -> None:
        with suppress(OSError):  # the caller has left
            if not self._has_begun:
                await respond(self, STOPPING)
            elif not self._has_ended:
                await self({"type": "http.response.body", "body": b""})
