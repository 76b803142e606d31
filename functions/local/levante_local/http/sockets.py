"""HTTP connections of the host: what a caller may send and how long it may take, before the application is asked.

A subclass of uvicorn's protocol on httptools, which itself bounds neither headers nor the time that a request takes.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from levante_core.domain.limits import MAX_BODY_BYTES
from levante_local.http.gateway import Receive, Refusal, Scope, Send, respond

logger = logging.getLogger("levante.host")

HEALTH = "/v1/health"


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one connection may cost. Values of the gateway on AWS are smaller: 10,240 bytes of head, 30 s for a request.

    connections: served at a time. On at most `reserve` further ones the health check is answered, all else with 503.
    discarded_bytes: of a body that was refused, read so that the caller gets to read the answer.
    head_seconds, body_seconds: in which the head, and then the body, has to arrive. reserve_seconds: the same beyond
    `connections`. refused_body_seconds: for what is left of a body that was answered. write_seconds: a reader that takes
    nothing for so long is cut off.
    """

    target_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    connections: int = 4096
    reserve: int = 256
    discarded_bytes: int = MAX_BODY_BYTES + 2 * 1024 * 1024
    head_seconds: float = 10.0
    body_seconds: float = 60.0
    reserve_seconds: float = 2.0
    refused_body_seconds: float = 5.0
    write_seconds: float = 60.0


NO_HTTP = Refusal(400, "NO_HTTP", "this is not an HTTP request")
TARGET_TOO_LONG = Refusal(414, "TARGET_TOO_LONG", "the address is too long: shorten the path or the query")
HEAD_TOO_LARGE = Refusal(431, "HEADERS_TOO_LARGE", "the headers are too large, or too many: send fewer")
TOO_SLOW = Refusal(408, "REQUEST_TIMEOUT", "the request did not arrive in time: send it again")
TOO_MANY_CONNECTIONS = Refusal(
    503, "TOO_BUSY", "the host serves as many connections as it may: try again", {"retry-after": "1", "connection": "close"}
)


@dataclass(slots=True, eq=False)
class Sockets:
    """All connections of a host. Called by uvicorn for each new one."""

    limits: SocketLimits = field(default_factory=SocketLimits)
    served: int = 0
    beyond: "dict[LimitedProtocol, None]" = field(default_factory=dict)
    """Connections above the limit, oldest first."""

    def __call__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> "LimitedProtocol":
        """Make the protocol of one connection."""
        return LimitedProtocol(self, config, server_state, app_state, _loop)

    def open(self, protocol: "LimitedProtocol") -> bool:
        """Count a connection. Returns whether it is served in full. The oldest of too many gives way to the newest."""
        if self.served < self.limits.connections:
            self.served += 1
            return True
        if len(self.beyond) >= self.limits.reserve:
            oldest = next(iter(self.beyond))
            del self.beyond[oldest]
            oldest.transport.abort()
        self.beyond[protocol] = None
        return False

    def close(self, protocol: "LimitedProtocol", *, is_served: bool) -> None:
        """Count it no more."""
        if is_served:
            self.served -= 1
        else:
            self.beyond.pop(protocol, None)


class LimitedProtocol(HttpToolsProtocol):
    """One connection. It holds at most the head, 64 KiB of the body and one read of the socket, whatever is sent."""

    def __init__(self, sockets: Sockets, *args: Any) -> None:
        super().__init__(*args)
        self._sockets = sockets
        self._limits = sockets.limits
        self._is_served = True
        self._refusal: Refusal | None = None
        self._stopped_by: Refusal | None = None
        """Why the parser was left."""
        self._unparsed = 0
        """Bytes that the parser has taken without a word: parts of a header that has not ended."""
        self._head_bytes = 0
        self._body_bytes = 0
        self._is_in_head = True
        self._is_whole = True
        """Whether the last request has arrived with its body."""
        self._is_last = False
        """Whether the caller wants the connection closed after this request."""
        self._deadline: asyncio.TimerHandle | None = None
        self._write_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._is_served = self._sockets.open(self)
        if self._is_served:
            self._wait_at_most(self._limits.head_seconds)
        else:
            self.app = partial(_only_health, self.app)
            self._wait_at_most(self._limits.reserve_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back everything. Whoever waits for this connection is woken."""
        self._sockets.close(self, is_served=self._is_served)
        self._wait_at_most(None)
        self._stop_write_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, unless it is too much. In place of uvicorn's, which logs whatever is no HTTP."""
        if self._refusal is not None:
            return
        self._unset_keepalive_if_required()
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # to WebSockets, which nobody serves here: it is answered as it stands
            self._is_last, self.cycle.keep_alive = True, False
        except httptools.HttpParserError:
            self._refuse(self._stopped_by or NO_HTTP)
            return
        if self._unparsed > self._limits.head_bytes:
            self._refuse(HEAD_TOO_LARGE)
        elif self._deadline is None and self._is_asked() and not self.transport.is_closing():
            self._wait_at_most(self._limits.head_seconds if self._is_in_head else self._limits.body_seconds)

    # --- what the parser says -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self._head_bytes = self._body_bytes = 0
        self._is_in_head, self._is_whole = True, False

    def on_url(self, url: bytes) -> None:
        """Take a part of the address."""
        self._unparsed = 0
        if len(self.url) + len(url) > self._limits.target_bytes:
            self._stop(TARGET_TOO_LONG)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, or a trailer of a chunked body."""
        self._unparsed = 0
        self._head_bytes += len(name) + len(value) + len(": \r\n")
        if self._head_bytes > self._limits.head_bytes or len(self.headers) >= self._limits.headers:
            self._stop(HEAD_TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin to serve the request; its body has a time of its own.

        If it is answered before its body has come, the connection stays for a while: whoever is still sending would
        otherwise see it break, and not the answer.
        """
        self._unparsed = 0
        self._is_in_head = False
        self._wait_at_most(None)
        super().on_headers_complete()
        self._is_last = not self.cycle.keep_alive
        self.cycle.keep_alive = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; of one that nobody wants, no more than lets the caller read the answer."""
        self._unparsed = 0
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.discarded_bytes:
            self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that nothing of this request is to come."""
        self._unparsed = 0
        self._is_in_head = self._is_whole = True
        self._wait_at_most(None)
        super().on_message_complete()
        if self._is_last:
            self.cycle.keep_alive = False
            if self.cycle.response_complete:
                self.transport.close()

    def on_response_complete(self) -> None:
        """Keep nothing of a body that was answered without being read."""
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
            if not self._is_whole:
                self._wait_at_most(self._limits.refused_body_seconds)
        super().on_response_complete()

    # --- readers ----------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """Begin to wait for a reader that takes less than it is sent."""
        super().pause_writing()
        self._await_reader(None)

    def resume_writing(self) -> None:
        """Go on: it has taken nearly everything."""
        self._stop_write_deadline()
        super().resume_writing()

    def _await_reader(self, waiting_bytes: int | None) -> None:
        left = self.transport.get_write_buffer_size()
        if waiting_bytes is not None and left >= waiting_bytes:
            logger.info("a reader has taken nothing for %g s: its connection ends", self._limits.write_seconds)
            self.transport.abort()
            return
        self._write_deadline = self.loop.call_later(self._limits.write_seconds, self._await_reader, left)

    def _stop_write_deadline(self) -> None:
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    # --- refusals ---------------------------------------------------------------------------------------------------

    def _stop(self, refusal: Refusal) -> NoReturn:
        """Leave the parser, which raises in turn."""
        self._stopped_by = refusal
        raise ValueError(refusal.code)

    def _wait_at_most(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._refuse, TOO_SLOW)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer instead of the application, where that has not begun to, and close the connection."""
        self._refusal = refusal
        self._wait_at_most(None)
        if self.transport.is_closing():
            return
        if self._is_asked() and not self._is_answering():
            self.transport.write(_written(refusal))
        cycle = self._last_cycle()
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        self.transport.close()

    def _is_asked(self) -> bool:
        """Whether a request has begun to arrive, and has not ended."""
        return self._unparsed > 0 or not self._is_whole

    def _is_answering(self) -> bool:
        """Whether an answer of ours would get into another one."""
        cycle = self._last_cycle()
        if cycle is None:
            return False
        if cycle.response_complete:
            return not self._is_in_head
        return self._is_in_head or cycle.response_started

    def _last_cycle(self) -> RequestResponseCycle | None:
        """Return the last request whose head has arrived. There is none at first, whatever uvicorn's types say."""
        return self.cycle


async def _only_health(app: Callable[[Scope, Receive, Send], Any], scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the health check alone, and end the connection with it."""
    if scope["path"] != HEALTH:
        await respond(send, TOO_MANY_CONNECTIONS.answer())
        return

    async def send_and_close(message: Any) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    await app(scope, receive, send_and_close)


def _written(refusal: Refusal) -> bytes:
    body = json.dumps({"detail": refusal.detail, "code": refusal.code}).encode()
    head = f"HTTP/1.1 {refusal.status} \r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return f"{head}connection: close\r\n\r\n".encode() + body
