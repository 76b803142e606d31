"""What one connection may cost: every limit just below and just above, and the health check answers all the while."""

import asyncio
import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from levante_core.domain.limits import MAX_BODY_BYTES
from levante_local.host import LARGE_BYTES
from levante_local.http.gateway import event_of
from levante_local.http.sockets import SocketLimits
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, SHORT, request, serving, until

LIMITS = SocketLimits()
START = "/v1/workflows/nobody-has-this/execute"


def with_target(size: int) -> bytes:
    """A request whose target has so many bytes."""
    start = "/v1/health?a="
    return request("GET", start + "x" * (size - len(start)))


def with_headers(count: int) -> bytes:
    """A request with so many headers."""
    return request("GET", "/v1/health", headers="a: b\r\n" * (count - 1))


def with_head(size: int) -> bytes:
    """A request whose headers have so many bytes."""
    rest = len("Host: x\r\n") + len("a: \r\n")
    return request("GET", "/v1/health", headers=f"a: {'x' * (size - rest)}\r\n")


@pytest.mark.parametrize(
    ("build", "limit", "status", "code"),
    [
        (with_target, LIMITS.target_bytes, 414, "TARGET_TOO_LONG"),
        (with_headers, LIMITS.headers, 431, "HEADERS_TOO_LARGE"),
        (with_head, LIMITS.head_bytes, 431, "HEADERS_TOO_LARGE"),
    ],
)
@on_a_loop
async def test_head_when_it_is_at_the_limit_then_it_is_served_and_above_refused(
    tmp_path: Path, build: Callable[[int], bytes], limit: int, status: int, code: str
) -> None:
    """The refusal is written in the form of all errors, and the connection closes."""
    async with serving(tmp_path / "data") as served:
        assert (await served.ask(build(limit))).status == 200
        caller = await served.connect()
        await caller.send(build(limit + 1))
        answer = await caller.answer()
        assert (answer.status, answer.code) == (status, code)
        assert await caller.is_closed()
        assert await served.is_healthy()


@pytest.mark.parametrize(
    "beginning", [b"GET / HTTP/1.1\r\na: ", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\na", b"GET /", b""]
)
@on_a_loop
async def test_head_when_it_never_ends_then_it_is_refused_before_much_is_kept(tmp_path: Path, beginning: bytes) -> None:
    """The parser keeps parts of names and values to itself: they count as well."""
    async with serving(tmp_path / "data") as served:
        caller = await served.connect()
        await caller.send(beginning)
        flood = b"\r\n" if not beginning else b"x" if not beginning.endswith(b"\r\n") else b"a: b\r\n"
        for _ in range(64):
            await caller.send(flood * 16_384)
        assert await caller.is_closed()
        assert await served.is_healthy()


@pytest.mark.parametrize("trailers", ["a: b\r\n" * 200, f"a: {'x' * 100_000}\r\n"])
@on_a_loop
async def test_trailers_when_there_are_too_many_then_they_are_refused_as_headers_are(tmp_path: Path, trailers: str) -> None:
    """They come after the body, and would be kept just the same."""
    async with serving(tmp_path / "data") as served:
        caller = await served.connect()
        await caller.send(request("POST", START, key=KEY, headers="Transfer-Encoding: chunked\r\n"))
        await caller.send(b"2\r\n{}\r\n0\r\n" + trailers.encode() + b"\r\n")
        assert (await caller.answer()).status == 431
        assert await served.is_healthy()


def start_of(size: int) -> bytes:
    """A body of so many bytes."""
    empty = json.dumps({"input": {"a": ""}})
    return json.dumps({"input": {"a": "x" * (size - len(empty))}}).encode()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["declared", "chunked"])
@on_a_loop
async def test_body_when_it_is_at_the_limit_then_it_is_read_and_above_refused(tmp_path: Path, kind: str) -> None:
    """Whether it declares its size or not."""
    async with serving(tmp_path / "data") as served:
        for size, status in ((MAX_BODY_BYTES, 404), (MAX_BODY_BYTES + 1, 413)):
            body = start_of(size)
            sent = request("POST", START, body, key=KEY)
            if kind == "chunked":
                head = request("POST", START, key=KEY, headers="Transfer-Encoding: chunked\r\n")
                sent = head + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
            assert (await served.ask(sent)).status == status
        assert await served.is_healthy()


@on_a_loop
async def test_bodies_when_several_large_ones_come_then_others_are_answered_between_them(tmp_path: Path) -> None:
    """Each holds up the event loop for a moment; together they hold up nobody."""
    async with serving(tmp_path / "data") as served:
        order: list[str] = []
        answer = served.host._answer

        async def noted(event: dict[str, Any], receive: Any, send: Any) -> None:
            order.append("large" if len(event["body"] or "") > LARGE_BYTES else "small")
            if order[-1] == "large" and order.count("large") == 1:
                asyncio.get_running_loop().call_soon(order.append, "a turn of others")
            await answer(event, receive, send)

        served.host._answer = noted  # type: ignore[method-assign]
        event = {"body": "x" * (LARGE_BYTES + 1)}

        async def send(_: Any) -> None:
            """Take the answer."""

        async def receive() -> dict[str, Any]:
            return {"type": "http.disconnect"}

        await asyncio.gather(
            *(served.host._answer_in_turn({**_event(), **event}, receive, send) for _ in range(3)),
        )
        assert order[:3] == ["large", "a turn of others", "large"]


def _event() -> dict[str, Any]:
    scope = {"headers": [], "query_string": b"", "path": "/v1/health", "method": "GET", "http_version": "1.1"}
    return event_of(scope, b"")


@on_a_loop
async def test_body_when_it_is_declared_too_large_then_it_is_refused_before_it_comes(tmp_path: Path) -> None:
    """Nobody sends gigabytes to hear that they are too many, and a worker's presence is no exception."""
    async with serving(tmp_path / "data") as served:
        for method, path in (("POST", START), ("GET", "/v1/workflows/runs"), ("GET", "/v1/workflows/workers/w/presence")):
            head = request(method, path, key=KEY, headers="Content-Length: 7000000\r\n")
            answer = await served.ask(head)
            assert (answer.status, answer.code) == (413, "TOO_LARGE"), path


@pytest.mark.parametrize("path", [START, "/there/is/nothing", "/v1/health"])
@pytest.mark.parametrize("key", [None, "key-of-nobody-0123456789"])
@on_a_loop
async def test_key_when_it_is_refused_then_the_body_is_not_read(tmp_path: Path, path: str, key: str | None) -> None:
    """Whoever has no key uses no memory: the answer comes without a byte of the body. Unknown routes are no exception."""
    async with serving(tmp_path / "data", SHORT) as served:
        caller = await served.connect()
        await caller.send(request("POST", path, key=key, headers="Content-Length: 6000000\r\n"))
        answer = await caller.answer()
        assert (answer.status, answer.code, answer.headers["www-authenticate"]) == (401, "UNAUTHENTICATED", "Bearer")
        assert await caller.is_closed(), "what is left of the body is not waited for"


@on_a_loop
async def test_body_when_it_was_refused_and_comes_all_the_same_then_the_connection_goes_on(tmp_path: Path) -> None:
    """A caller that sends first and reads then gets its answer, and may ask again."""
    async with serving(tmp_path / "data") as served:
        caller = await served.connect()
        await caller.send(request("POST", START, b"x" * 1_000_000))
        assert (await caller.answer()).status == 401
        await caller.send(request("GET", "/v1/health"))
        assert (await caller.answer()).status == 200


@pytest.mark.parametrize("sent", [b"", b"GET /v1/health HTTP/1.1\r\nHo", request("POST", START, key=KEY)[:-2]])
@on_a_loop
async def test_head_when_it_does_not_come_in_time_then_the_connection_closes(tmp_path: Path, sent: bytes) -> None:
    """An open connection that says nothing is worth nothing. Whoever had begun is told why."""
    async with serving(tmp_path / "data", SHORT) as served:
        caller = await served.connect()
        await caller.send(sent)
        if sent:
            assert (await caller.answer()).status == 408
        assert await caller.is_closed()
        await until(lambda: served.sockets.served == 0, "the connection is counted no more")


@on_a_loop
async def test_body_when_it_does_not_come_in_time_then_the_connection_closes(tmp_path: Path) -> None:
    """However many there are, with a good key: after a while they are gone, and the health check answers meanwhile."""
    async with serving(tmp_path / "data", SHORT) as served:
        callers = [await served.connect() for _ in range(100)]
        for caller in callers:
            await caller.send(request("POST", START, key=KEY, headers="Content-Length: 1000\r\n") + b"{")
        assert await served.is_healthy()
        for caller in callers:
            assert (await caller.answer()).status == 408
            assert await caller.is_closed()


@on_a_loop
async def test_connections_when_there_are_too_many_then_only_the_health_check_is_answered(tmp_path: Path) -> None:
    """A supervisor must not take a busy host for a dead one."""
    async with serving(tmp_path / "data", replace(LIMITS, connections=3, reserve=2)) as served:
        first = [await served.connect() for _ in range(3)]
        await until(lambda: served.sockets.served == 3, "three connections are counted")
        assert await served.is_healthy()
        answer = await served.ask(request("GET", "/v1/workflows/runs", key=KEY))
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "TOO_BUSY", "1")
        await first[0].send(request("GET", "/v1/workflows/runs", key=KEY))
        assert (await first[0].answer()).status == 200
        first[1].writer.close()
        await until(lambda: served.sockets.served == 2, "one of them has left")
        assert (await served.ask(request("GET", "/v1/workflows/runs", key=KEY))).status == 200


@on_a_loop
async def test_connections_when_even_the_reserve_is_full_then_the_oldest_there_gives_way(tmp_path: Path) -> None:
    """Nobody can occupy the reserve by waiting in it."""
    async with serving(tmp_path / "data", replace(LIMITS, connections=1, reserve=2)) as served:
        await served.connect()
        await until(lambda: served.sockets.served == 1, "the connection is counted")
        waiting = [await served.connect() for _ in range(2)]
        await until(lambda: len(served.sockets.beyond) == 2, "the reserve is full")
        assert await served.is_healthy()
        assert await waiting[0].is_closed()


@pytest.mark.slow
@on_a_loop
async def test_reader_when_it_takes_nothing_then_its_connection_ends(tmp_path: Path) -> None:
    """What was written for it is in memory until it is taken."""
    async with serving(tmp_path / "data", SHORT) as served:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        with deaf:
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, ("127.0.0.1", served.port))
            await loop.sock_sendall(deaf, request("GET", "/openapi.json") * 100)
            await until(lambda: served.sockets.served == 1, "it is connected")
            await until(lambda: served.sockets.served == 0, "it is cut off")
        assert await served.is_healthy()


@on_a_loop
async def test_upgrade_when_a_caller_wants_a_websocket_then_it_is_answered_as_any_request(tmp_path: Path) -> None:
    """There are none here."""
    async with serving(tmp_path / "data") as served:
        upgrade = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        caller = await served.connect()
        await caller.send(request("GET", "/v1/health", headers=upgrade))
        assert (await caller.answer()).status == 200
        assert await caller.is_closed()
        assert await served.is_healthy()


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 100])
@on_a_loop
async def test_request_when_it_is_no_http_then_400(tmp_path: Path, junk: bytes) -> None:
    """TLS on a plain port, for one."""
    async with serving(tmp_path / "data", SHORT) as served:
        answer = await served.ask(junk)
        assert answer.status in (400, 408)
        assert await served.is_healthy()


@pytest.mark.parametrize(
    ("scope", "messages", "expected"),
    [
        ("websocket", ["websocket.connect"], ["websocket.close"]),
        (
            "lifespan",
            ["lifespan.startup", "lifespan.shutdown"],
            ["lifespan.startup.complete", "lifespan.shutdown.complete"],
        ),
        ("something else", [], []),
    ],
)
@on_a_loop
async def test_scope_when_it_is_no_request_then_it_ends_cleanly(
    tmp_path: Path, scope: str, messages: list[str], expected: list[str]
) -> None:
    """Other servers than ours send such."""
    async with serving(tmp_path / "data") as served:
        sent: list[Any] = []
        coming = iter(messages)

        async def receive() -> dict[str, Any]:
            return {"type": next(coming)}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await served.host({"type": scope}, receive, send)
        assert sent == expected
