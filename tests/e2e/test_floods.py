"""Callers without a key who send a lot: the host neither grows nor falls silent."""

import socket
import threading
from contextlib import suppress

import pytest

from tests.e2e.test_deaf_readers import resident_bytes
from tests.support.processes import LocalSite

MEBIBYTE = 1024 * 1024
SENDERS = 40
EACH_BYTES = 8 * MEBIBYTE
MOST_GROWTH_BYTES = 100 * MEBIBYTE
"""Of 320 MiB that are sent. What the system and the parser hold of each connection is a few hundred KiB."""
HEADS = {
    "a header": b"GET /v1/health HTTP/1.1\r\nx: ",
    "headers": b"GET /v1/health HTTP/1.1\r\n",
    "an address": b"GET /",
    "a body": b"POST /v1/workflows/w/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % EACH_BYTES,
    "chunks": b"POST /v1/workflows/w/execute HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % EACH_BYTES,
}


def send(port: int, head: bytes, part: bytes) -> None:
    """Send as much as the host takes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection, suppress(OSError):
        connection.sendall(head)
        for _ in range(EACH_BYTES // len(part)):
            connection.sendall(part)


@pytest.mark.parametrize("kind", HEADS)
def test_host_when_strangers_send_a_lot_then_it_does_not_grow_and_answers(local_site: LocalSite, kind: str) -> None:
    """Limits hold before memory is used."""
    assert local_site.host
    before = resident_bytes(local_site.host.pid)
    part = (b"x-%d: y\r\n" % 1 if kind == "headers" else b"x") * 6000
    senders = [threading.Thread(target=send, args=(local_site.port, HEADS[kind], part)) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    most, answered = 0, 0
    while any(sender.is_alive() for sender in senders) or not answered:
        answered += local_site.call("GET", "/v1/health", seconds=20)["status"] == "ok"
        most = max(most, resident_bytes(local_site.host.pid) - before)
    assert most < MOST_GROWTH_BYTES
