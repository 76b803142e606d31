"""Readers that do not read: nobody waits for them, and they cost little memory."""

import json
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.processes import LocalSite

HERE = Path(__file__).parent
READERS = 40
OUTPUT = {"count": 80, "size_bytes": 300_000}
OUTPUT_BYTES = OUTPUT["count"] * OUTPUT["size_bytes"]
MOST_BYTES_EACH = 5 * 1024 * 1024
"""Of what is told, little more than 1 MB is on the way to a reader at a time: twice, as it waits for its socket as well."""


@contextmanager
def deaf_reader(site: LocalSite, execution_id: str, buffer_bytes: int) -> Iterator[socket.socket]:
    """Ask for a stream, and read no more than its beginning. buffer_bytes: taken all the same, by the system."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        connection.connect(("127.0.0.1", urlsplit(site.url).port))
        connection.settimeout(site.patience_seconds)
        path = f"/v1/workflows/executions/{execution_id}/stream"
        headers = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {site.key}\r\n"
        connection.sendall(f"GET {path} HTTP/1.1\r\n{headers}\r\n".encode())
        assert connection.recv(15).startswith(b"HTTP/1.1 200")
        yield connection


def resident_bytes(pid: int) -> int:
    """Return how much memory a process has."""
    pages = Path(f"/proc/{pid}/statm")
    if pages.exists():
        return int(pages.read_text().split()[1]) * resource.getpagesize()
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)  # noqa: S607
    return int(shown.stdout) * 1024


def recorded(site: LocalSite, execution_id: str) -> list[dict[str, Any]]:
    """Return the events of an execution, as the list has them."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = site.call("GET", f"/v1/workflows/events/list?root_workflow_exec_id={execution_id}{cursor}")
        found += page["events"]
        cursor = f"&cursor={page['next_cursor']}" if page["next_cursor"] else None
    return found


def sequences(body: bytes) -> list[int]:
    """Return the numbers of the events in what came over the wire, chunk by chunk."""
    return [int(line.removeprefix(b"id: ")) for line in body.split(b"\n") if line.startswith(b"id: ")]


def test_readers_when_they_do_not_read_then_the_work_goes_on_and_they_cost_little_memory(local_site: LocalSite) -> None:
    """A reader's connection stands still until it reads; what it has not taken stays in the table, not in memory."""
    site = local_site
    assert site.host
    site.start_worker("followed", HERE)
    site.wait_for_workers(1)
    execution_id = site.start("loud", OUTPUT, execution_id="loud")
    site.wait_for_result(execution_id)
    with ExitStack() as open_readers:
        before = resident_bytes(site.host.pid)
        late = open_readers.enter_context(deaf_reader(site, execution_id, 256 * 1024))
        for _ in range(READERS):
            open_readers.enter_context(deaf_reader(site, execution_id, 4096))
        quick = site.start("loud", {"count": 1, "size_bytes": 1})
        site.wait_for_result(quick)
        events = recorded(site, execution_id)
        assert resident_bytes(site.host.pid) - before < READERS * MOST_BYTES_EACH < READERS * OUTPUT_BYTES / 4
        heard = b"".join(iter(lambda: late.recv(1 << 20), b""))
    assert sequences(heard) == list(range(1, len(events) + 1))
    assert json.loads(heard.split(b"data: ")[1].split(b"\n")[0])["data"] == events[0]
