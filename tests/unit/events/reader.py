"""A reader of streams without a network: the other side of an ASGI application, made by hand."""

import asyncio
import json
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from levante_events.app import EventsApp

PATIENCE_SECONDS = 20.0
"""Longer than anything in these tests takes."""


class Reader:
    """Asks for a stream, and keeps what comes. parts: bodies as they were sent.

    pass_on: set while it takes what is sent; one that is slow clears it, and the sender waits, as it does for a full socket.
    """

    def __init__(
        self,
        app: EventsApp,
        path: str,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
    ) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.parts: list[bytes] = []
        self.is_complete = False
        self.pass_on = asyncio.Event()
        self.pass_on.set()
        self._has_asked = False
        self._left = asyncio.Event()
        self._grown = asyncio.Event()
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
        scope = {"type": "http", "method": method, "path": path, "query_string": query.encode("latin-1"), "headers": raw}
        self._serving = asyncio.create_task(app(scope, self._receive, self._send))

    @property
    def body(self) -> bytes:
        """All that came."""
        return b"".join(self.parts)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The payloads of the events that came."""
        lines = self.body.decode().split("\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]

    @property
    def sequences(self) -> list[int]:
        """The sequence numbers of the events that came."""
        return [event["broker_sequence"] for event in self.events]

    @property
    def types(self) -> list[str]:
        """The types of the events that came."""
        return [event["data"]["event_type"] for event in self.events]

    async def until(self, condition: Callable[["Reader"], bool]) -> None:
        """Wait until that is true of what came."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self):
                self._grown.clear()
                await self._grown.wait()

    async def end(self) -> None:
        """Wait until the application has nothing left to do. Raises: what it raised."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._serving

    async def leave(self) -> None:
        """Close the connection, and wait until the application has noticed."""
        self._left.set()
        await self.end()

    async def _receive(self) -> MutableMapping[str, Any]:
        if not self._has_asked:
            self._has_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self.pass_on.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]}
        else:
            self.parts.append(message["body"])
            self.is_complete = not message.get("more_body", False)
        self._grown.set()
