"""What readers cost the work beside them: executions a second with none, with many that wait, with many that are told."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
from benchmarks.streaming.tokens import HERE, begin, reading, wait_until_ready

from tests.support.processes import LocalSite

STREAMS = 100
EVENTS_PER_SECOND = 2.0
"""Tokens of each stream where executions tell."""
EXECUTIONS = 400
AT_ONCE = 20
QUIET_SECONDS = 5.0


@dataclass(frozen=True)
class Beside:
    """What was measured. per_second: executions of one activity. quiet_cores: of the host while nothing is executed."""

    name: str
    per_second: float
    quiet_cores: float
    host_mib: float


async def executions_per_second(site: LocalSite) -> float:
    """Run executions of one activity, so many at a time, and return how many a second."""
    numbers = iter(range(EXECUTIONS))
    headers = {"Authorization": f"Bearer {site.key}"}
    async with aiohttp.ClientSession(site.url, headers=headers) as session:

        async def lane() -> None:
            for number in numbers:
                body = {"input": {"number": number}, "wait_for_result": True, "timeout_seconds": 60}
                async with session.post("/v1/workflows/bench-one/execute", json=body) as answer:
                    assert answer.status == 200, await answer.text()

        began = time.perf_counter()
        await asyncio.gather(*(lane() for _ in range(AT_ONCE)))
        return EXECUTIONS / (time.perf_counter() - began)


def measured(name: str, site: LocalSite) -> Beside:
    """Measure the host at rest and at work."""
    assert site.host
    host = psutil.Process(site.host.pid)
    before = sum(host.cpu_times()[:2])
    time.sleep(QUIET_SECONDS)
    quiet = (sum(host.cpu_times()[:2]) - before) / QUIET_SECONDS
    return Beside(name, asyncio.run(executions_per_second(site)), quiet, host.memory_info().rss / 2**20)


def publishing(site: LocalSite) -> list[str]:
    """Start executions that tell once they are signalled."""
    pace = {"count": 100_000, "per_second": EVENTS_PER_SECOND}
    return [site.start("bench-write", pace) for _ in range(STREAMS)]


@contextmanager
def open_executions(site: LocalSite, executions: list[str]) -> Iterator[list[str]]:
    """End executions after the block."""
    try:
        yield executions
    finally:
        site.call("POST", "/v1/workflows/executions/terminate", {"execution_ids": executions})


@contextmanager
def followed(site: LocalSite, executions: list[str], readers: int) -> Iterator[None]:
    """Let so many readers follow executions inside the block."""
    side = reading("plain", site.url, site.key, [executions[number % len(executions)] for number in range(readers)])
    try:
        wait_until_ready(side)
        yield
    finally:
        side.kill()
        side.wait()


def measure(readers: int) -> Iterator[Beside]:
    """Yield what is measured beside nothing, beside readers that wait, and beside executions that tell, unread and read."""
    with tempfile.TemporaryDirectory() as place:
        site = LocalSite(Path(place))
        try:
            site.start_host()
            site.start_worker("publishers", HERE, MAX_CONCURRENT_ACTIVITIES="200")
            site.wait_for_workers(1)
            asyncio.run(executions_per_second(site))  # warms up
            yield measured("nothing", site)
            waiting = [site.start("bench-wait", {"seconds": 600}) for _ in range(STREAMS)]
            with open_executions(site, waiting), followed(site, waiting, readers):
                yield measured("readers that wait", site)
            with open_executions(site, publishing(site)) as unread:
                begin(site.url, site.key, unread)
                yield measured(f"{STREAMS * EVENTS_PER_SECOND:.0f} events/s, unread", site)
            with open_executions(site, publishing(site)) as read, followed(site, read, readers):
                begin(site.url, site.key, read)
                yield measured(f"{STREAMS * EVENTS_PER_SECOND:.0f} events/s, read", site)
        finally:
            site.close()
