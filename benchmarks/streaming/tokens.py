"""How long tokens take from where they are written to a client's iterator, and what that takes of the machine."""

import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.processes import LocalSite, free_port, wait_until

HERE = Path(__file__).resolve().parent
WARM_UP_SECONDS = 2.0
"""Tokens of that time are not counted."""


@dataclass(frozen=True)
class Load:
    """streams: so many at once, and so many of them read by the official client. count: tokens of each."""

    streams: int
    official: int
    count: int
    per_second: float

    @property
    def seconds(self) -> float:
        """How long the tokens are written for."""
        return self.count / self.per_second


@dataclass(frozen=True)
class Server:
    """Where streams are. pids: of what runs there, by role. executions: whose streams are to be read."""

    url: str
    key: str
    pids: dict[str, int]
    executions: list[str]


@contextmanager
def levante(load: Load) -> Iterator[Server]:
    """Start a host, a worker, and executions whose activities write."""
    with tempfile.TemporaryDirectory() as place:
        site = LocalSite(Path(place))
        try:
            host = site.start_host()
            worker = site.start_worker("publishers", HERE)
            site.wait_for_workers(1)
            pace = {"count": load.count, "per_second": load.per_second}
            executions = [site.start("bench-write", pace) for _ in range(load.streams)]
            yield Server(site.url, site.key, {"host": host.pid, "worker": worker.pid}, executions)
        finally:
            site.close()


@contextmanager
def floor(load: Load) -> Iterator[Server]:
    """Start a server that writes the same tokens and does nothing else."""
    port = free_port()
    command = [sys.executable, str(HERE / "floor.py"), str(port), str(load.count), str(load.per_second)]
    server = subprocess.Popen(command, cwd=HERE)
    try:
        wait_until(lambda: any(one.laddr.port == port for one in psutil.Process(server.pid).net_connections()), "it listens")
        executions = [f"e{number}" for number in range(load.streams)]
        yield Server(f"http://127.0.0.1:{port}", "none", {"server": server.pid}, executions)
    finally:
        server.kill()
        server.wait()


def reading(kind: str, url: str, key: str, executions: list[str]) -> subprocess.Popen[str]:
    """Start a reading side."""
    command = [sys.executable, str(HERE / "reader.py"), kind, url, key, *executions]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE)


def wait_until_ready(reader: subprocess.Popen[str]) -> None:
    """Wait until all streams of a reading side have begun."""
    assert reader.stdout
    assert reader.stdout.readline() == "ready\n", "the readers failed"


def begin(url: str, key: str, executions: list[str]) -> None:
    """Let the tokens of executions come."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    for execution in executions:
        path = f"{url}/v1/workflows/executions/{execution}/signals"
        urllib.request.urlopen(urllib.request.Request(path, b'{"name": "begin"}', headers)).close()


def milliseconds(found: dict[str, Any], load: Load) -> list[float]:
    """Return how long each counted token took, in order of size. Fails unless every token came once and in order."""
    taken = []
    for seen in found["seen"]:
        written = [one for one, _ in seen]
        assert len(written) == load.count, f"{len(written)} of {load.count} tokens came"
        assert written == sorted(set(written)), "tokens came twice, or out of order"
        taken += [(at - one) / 1e6 for one, at in seen if one > written[0] + WARM_UP_SECONDS * 1e9]
    return sorted(taken)


def tokens(server: Server, load: Load) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Read all streams to their ends. Returns milliseconds by kind of client, and cores used by role."""
    parts = {"official": server.executions[: load.official], "plain": server.executions[load.official :]}
    readers = {kind: reading(kind, server.url, server.key, part) for kind, part in parts.items() if part}
    for reader in readers.values():
        wait_until_ready(reader)
    before = {role: sum(psutil.Process(pid).cpu_times()[:2]) for role, pid in server.pids.items()}
    begin(server.url, server.key, server.executions)
    found = {kind: json.loads(reader.communicate()[0]) for kind, reader in readers.items()}
    spent = {role: sum(psutil.Process(pid).cpu_times()[:2]) - before[role] for role, pid in server.pids.items()}
    spent |= {kind: one["cpu_seconds"] for kind, one in found.items()}
    return (
        {kind: milliseconds(one, load) for kind, one in found.items()},
        {role: seconds / load.seconds for role, seconds in spent.items()},
    )
