"""A real host on a loopback port in this process, and callers that say what they like to it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from levante_local.host import Host, HostSettings
from levante_local.http.server import Listening, server_of
from levante_local.http.sockets import SocketLimits, Sockets

KEY = "key-of-the-admin-0123456789"
PATIENCE_SECONDS = 20.0
SHORT = SocketLimits(head_seconds=0.2, body_seconds=0.2, reserve_seconds=5.0, refused_body_seconds=0.2, write_seconds=0.2)


@dataclass
class Answer:
    """What came back. status: 0 if the connection was closed without an answer."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def code(self) -> str:
        """Of an error."""
        return str(json.loads(self.content)["code"])


class Caller:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, content: bytes) -> None:
        """Send, as far as the host takes it."""
        with suppress(ConnectionError):
            self.writer.write(content)
            await self.writer.drain()

    async def answer(self) -> Answer:
        """Read one answer."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                head = await self.reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return Answer(0)
            first, *lines = head.decode().rstrip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            content = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, content)

    async def is_closed(self) -> bool:
        """Wait until the host has closed the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with suppress(ConnectionError):
                while await self.reader.read(1 << 16):
                    pass
        return True


@dataclass
class Served:
    """A host that serves. url_port: where."""

    host: Host
    sockets: Sockets
    port: int
    callers: list[Caller] = field(default_factory=list)

    async def connect(self, **options: Any) -> Caller:
        """Open a connection."""
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.callers.append(caller)
        return caller

    async def ask(self, request: bytes) -> Answer:
        """Send a request on a connection of its own. Returns the answer."""
        caller = await self.connect()
        await caller.send(request)
        return await caller.answer()

    async def is_healthy(self) -> bool:
        """Whether the health check is answered, before a supervisor would take the host for dead."""
        async with asyncio.timeout(10):
            return (await self.ask(request("GET", "/v1/health"))).status == 200

    async def health(self) -> Any:
        """Return what the health check says."""
        return json.loads((await self.ask(request("GET", "/v1/health"))).content)


def request(method: str, path: str, body: bytes = b"", *, key: str | None = None, headers: str = "") -> bytes:
    """Write a request."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\n{authorization}{length}{headers}\r\n".encode() + body


@asynccontextmanager
async def serving(data: Path, limits: SocketLimits | None = None, **settings: Any) -> AsyncIterator[Served]:
    """Serve inside the block."""
    host = Host(HostSettings(data, first_key=SecretStr(KEY), synchronous="NORMAL", **settings))
    host.local_key()
    sockets = Sockets(limits or replace(SocketLimits()))
    server = server_of(host, Listening("127.0.0.1", 0), "error", sockets)
    async with host.running():
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0)
        served = Served(host, sockets, server.servers[0].sockets[0].getsockname()[1])
        try:
            yield served
        finally:
            for caller in served.callers:
                caller.writer.transport.abort()
            server.should_exit = True
            await task


async def until(condition: Any, reason: str) -> None:
    """Wait until something is true."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"did not happen: {reason}") from None
