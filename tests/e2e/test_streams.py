"""Readers join, leave and are cut off while executions publish; each is told everything, once and in order.

There are 100 readers, or as many as LEVANTE_TEST_READERS says: `make test-readers` lets 1,000 read 100 executions.
"""

import asyncio
import json
import os
import re
import runpy
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import pytest
from mistralai.client import Mistral

from tests.support.forms import either
from tests.support.processes import LocalSite

HERE = Path(__file__).parent
GUIDE = HERE.parents[1] / "docs" / "events.md"

READERS = int(os.environ.get("LEVANTE_TEST_READERS") or either(short=30, full=100))
EXECUTIONS = max(20, READERS // 10)
COUNT = 10
BEATS = {"count": COUNT, "seconds": 0.3}
MOST_AT_A_TIME = 15
"""So many events are read at most before a reader leaves and comes again."""
TASK_EVENTS = ["CUSTOM_TASK_STARTED", "CUSTOM_TASK_IN_PROGRESS", "CUSTOM_TASK_COMPLETED"]
"""What a beat publishes of its task; the host may die in the middle of one, which then begins again."""
EVENTS_OF_ONE = 2 + (2 + len(TASK_EVENTS)) * COUNT
"""At least: a beat that is run again tells again."""

pytestmark = pytest.mark.filterwarnings("ignore:.*DEPRECATED.*:DeprecationWarning")


class Progress:
    """How far the executions have been published: the last sequence number that anybody has seen of each."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def note(self, execution: str, sequence: int) -> None:
        """Say that an event was seen."""
        if sequence > self.seen[execution]:
            self.seen[execution] = sequence
            async with self._changed:
                self._changed.notify_all()

    async def until_one(self, execution: str, sequence: int) -> None:
        """Wait until an execution was told so far."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.seen[execution] >= sequence)

    async def until_all(self, total: int) -> None:
        """Wait until so many events were published of all executions together."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.seen.total() >= total)


@dataclass
class Reader:
    """Reads the stream of one execution. random: where it comes and goes; None for one that stays.

    is_up: set while the host runs. visits: how often it came.
    """

    site: LocalSite
    http: aiohttp.ClientSession
    execution: str
    progress: Progress
    is_up: asyncio.Event
    random: Random | None = None
    seen: list[dict[str, Any]] = field(default_factory=list)
    visits: int = 0
    was_closed: bool = False

    async def read(self) -> None:
        """Read until the execution has ended, however often the connection does."""
        if self.random:
            await self.progress.until_one(self.execution, self.random.randrange(EVENTS_OF_ONE - 2))
        while not self._has_seen_the_end():
            await self.is_up.wait()
            with suppress(aiohttp.ClientError, ConnectionError):
                await self._visit()

    async def _visit(self) -> None:
        """Read for a while, then leave without a word."""
        self.visits += 1
        left = self.random.randint(1, MOST_AT_A_TIME) if self.random else -1
        async for payload in self._payloads():
            self.seen.append(payload)
            await self.progress.note(self.execution, payload["broker_sequence"])
            left -= 1
            if left == 0:
                return
        self.was_closed = True

    async def _payloads(self) -> AsyncIterator[dict[str, Any]]:
        last = self.seen[-1]["broker_sequence"] if self.seen else 0
        path, headers = f"/v1/workflows/executions/{self.execution}/stream", {"Last-Event-ID": str(last)}
        if self.random and self.random.random() < 0.5:
            path, headers = f"/v1/workflows/events/stream?root_workflow_exec_id={self.execution}&start_seq={last + 1}", {}
        async with self.http.get(self.site.url + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            if self.random and self.random.random() < 0.5:
                reset_when_closed(response)
            async for line in response.content:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    def _has_seen_the_end(self) -> bool:
        return (
            bool(self.seen)
            and self.seen[-1]["data"]["event_type"] == "WORKFLOW_EXECUTION_COMPLETED"
            and (self.seen[-1]["data"]["workflow_exec_id"] == self.execution)
        )


def reset_when_closed(response: aiohttp.ClientResponse) -> None:
    """Let the connection, if it is still there, end as one does that is cut: what was on its way is lost."""
    if response.connection and response.connection.transport:
        end = response.connection.transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def crash(site: LocalSite, is_up: asyncio.Event) -> None:
    """Kill the host, and start it again on the same data."""
    assert site.host
    is_up.clear()
    site.host.kill()
    await asyncio.to_thread(site.start_host)
    is_up.set()


def follow_as_the_guide_says(site: LocalSite, execution: str, directory: Path) -> list[Any]:
    """Run the function of the guide. Returns what it yields."""
    (code,) = (block for block in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
               if "def follow(" in block)  # fmt: skip
    module = directory / "guide.py"
    module.write_text(code)
    follow = runpy.run_path(str(module))["follow"]
    with Mistral(api_key=site.key, server_url=site.url) as client:
        return list(follow(client, execution))


def recorded(site: LocalSite, execution: str) -> list[dict[str, Any]]:
    """Return the events of an execution and all below it, as the list has them."""
    events: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = site.call("GET", f"/v1/workflows/events/list?root_workflow_exec_id={execution}&limit=10{cursor}")
        events += page["events"]
        if page["next_cursor"] is None:
            return events
        cursor = f"&cursor={page['next_cursor']}"


def assert_all_is_published(events: list[dict[str, Any]]) -> None:
    """Each execution starts and ends, each of its activities too, in this order, after all that the activity tells."""
    for execution in {event["workflow_exec_id"] for event in events}:
        own = [event for event in events if event["workflow_exec_id"] == execution]
        assert [own[0]["event_type"], own[-1]["event_type"]] == [
            "WORKFLOW_EXECUTION_STARTED",
            "WORKFLOW_EXECUTION_COMPLETED",
        ]
        begun: list[str] = []
        tasks: defaultdict[str, list[str]] = defaultdict(list)
        said: dict[str, str] = {}
        for event in own[1:-1]:
            kind, attributes = event["event_type"], event["attributes"]
            if kind == "ACTIVITY_TASK_STARTED":
                begun.append(attributes["task_id"])
            elif kind == "ACTIVITY_TASK_COMPLETED":
                assert attributes["task_id"] == begun[-1]
                wholly = [said[name] for name, kinds in tasks.items() if kinds == TASK_EVENTS]
                assert f"beat {len(begun) - 1}" in wholly
            elif kind in TASK_EVENTS:
                tasks[attributes["custom_task_id"]].append(kind)
            if kind == "CUSTOM_TASK_IN_PROGRESS":
                (change,) = attributes["payload"]["value"]
                said[attributes["custom_task_id"]] = change["value"]
        assert len(set(begun)) == len(begun) == COUNT
        assert all(kinds == TASK_EVENTS[: len(kinds)] for kinds in tasks.values())


@pytest.mark.timeout(60 + READERS / 5)
def test_readers_when_they_come_and_go_and_the_host_is_killed_then_each_is_told_everything_once_and_in_order(
    local_site: LocalSite, tmp_path: Path
) -> None:
    """Invariant 8: one sequence a root, whoever reads it, whenever, and whatever dies meanwhile."""
    site = local_site
    site.start_worker("followed", HERE)
    site.wait_for_workers(1)
    started = [site.start("together" if number % 4 == 0 else "alone", BEATS) for number in range(EXECUTIONS)]

    async def main() -> tuple[list[Reader], list[Reader], list[Any]]:
        progress, is_up = Progress(), asyncio.Event()
        is_up.set()
        headers = {"Authorization": f"Bearer {site.key}"}
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
            reader = [Reader(site, http, execution, progress, is_up) for execution in started]
            roaming = [
                Reader(site, http, started[number % EXECUTIONS], progress, is_up, Random(number))  # noqa: S311 - no secrets
                for number in range(READERS - EXECUTIONS)
            ]
            guided = asyncio.create_task(asyncio.to_thread(follow_as_the_guide_says, site, started[0], tmp_path))
            reading = asyncio.gather(*(one.read() for one in [*reader, *roaming]))
            await progress.until_all(EXECUTIONS * EVENTS_OF_ONE // 2)
            await crash(site, is_up)
            await reading
            return reader, roaming, await guided

    staying, roaming, guided = asyncio.run(main())
    expected = {execution: recorded(site, execution) for execution in started}
    for execution, events in expected.items():
        assert_all_is_published(events)
        assert len({event["workflow_exec_id"] for event in events}) == (2 if execution in started[::4] else 1)
    for reader in [*staying, *roaming]:
        assert [one["broker_sequence"] for one in reader.seen] == list(range(1, len(reader.seen) + 1))
        assert [one["data"] for one in reader.seen] == expected[reader.execution]
    assert [one.data.event_id for one in guided] == [event["event_id"] for event in expected[started[0]]]
    assert all(reader.was_closed for reader in staying), "the stream ends by itself"
    assert all(reader.visits > 1 for reader in staying), "nobody was spared the crash"
    assert sum(reader.visits for reader in roaming) > 3 * len(roaming)
