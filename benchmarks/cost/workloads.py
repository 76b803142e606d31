"""Runs the workloads, each twice: a small one so that everything is warm, and then the one that is counted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from unittest.mock import patch

from benchmarks.cost.counts import Counts, Unit
from benchmarks.cost.installation import Installation, Services, installation, services
from benchmarks.cost.metering import Comparison
from benchmarks.cost.recorded import Recorded
from benchmarks.cost.shapes import WORKLOADS, Shape
from benchmarks.cost.streaming import EventsFunction
from benchmarks.cost.worker import Client, worker
from benchmarks.cost.workflows import ACTIVITIES, WORKFLOWS

from levante.testing.virtual_time import run_in_virtual_time
from levante.worker.activities.runner import ActivityRunner
from levante_core.services.access import capabilities
from levante_local.greenlets import call
from tests.support.faulty_installation import SWEEP_SECONDS

HOUR_SECONDS = 3600
BEAT_SECONDS = 10
"""Heartbeats are sent and leases extended so often. Runs begin half-way between two, so that short ones have none."""
LONG_SECONDS = 3600.0
"""What the worker is told that the activities for the queue take."""
WARM_ACTIVITIES = 2
TIMER_POLLERS = 5
"""Long polls that Lambda keeps open at an SQS queue that is quiet; each takes 20 s, and each is a request.

Source: Lambda developer guide, "Using Lambda with Amazon SQS", scaling (read 2026-11-23): it starts with five at a time.
"""
POLL_SECONDS = 20


def measure(dynamodb_url: str | None = None) -> tuple[Recorded, Comparison]:
    """Run everything. dynamodb_url: see `installation.services`.

    Returns the counts, and how they compare with what the emulator of the table reports.
    """
    with services(dynamodb_url) as found:
        return run_in_virtual_time(_measured(found)), found.meter.comparison


def measure_one(name: str) -> Counts:
    """Run one workload alone, on moto."""
    with services() as found:
        return run_in_virtual_time(_measured_one(found, name))


async def _measured(found: Services) -> Recorded:
    async with installation(found) as place:
        idle_hour = await _idle_hour(place)
        async with _at_work(place) as session:
            with patch.object(capabilities, "READ_ANEW_AFTER", timedelta(days=1)):  # a read now and then is of no workload
                workloads = {name: await session.counted(name, shape) for name, (_, shape) in WORKLOADS.items()}
            worker_hour = await _worker_hour(place)
        return Recorded(workloads, idle_hour, worker_hour)


async def _measured_one(found: Services, name: str) -> Counts:
    async with installation(found) as place:
        await asyncio.sleep(HOUR_SECONDS)  # as in `_measured`: what falls into one batch depends on the time that it is
        async with _at_work(place) as session:
            return await session.counted(name, WORKLOADS[name][1])


@asynccontextmanager
async def _at_work(place: Installation) -> AsyncIterator["_Session"]:
    """Have a worker inside the block, and a client."""
    await _until_beat(0)
    async with worker(place, WORKFLOWS, ACTIVITIES) as runner:
        yield _Session(place, runner)


async def _idle_hour(place: Installation) -> Counts:
    """Sweep once a minute, as EventBridge would, which is free; Lambda polls the timers queue."""
    await call(place.functions.sweep, {}, None)
    place.meter.reset()
    for _ in range(int(HOUR_SECONDS / SWEEP_SECONDS)):
        await call(place.functions.sweep, {}, None)
        place.meter.work.add(Unit.FREE, "scheduled events")
    place.meter.work.add(Unit.STANDARD, "ReceiveMessage", TIMER_POLLERS * HOUR_SECONDS // POLL_SECONDS)
    return _taken(place)


async def _worker_hour(place: Installation) -> Counts:
    await _until_beat(0.5)
    place.meter.reset()
    await asyncio.sleep(HOUR_SECONDS)
    return _taken(place)


def _taken(place: Installation) -> Counts:
    """Return all that was counted, and begin anew."""
    counts = place.meter.work.plus(place.meter.presence)
    place.meter.reset()
    return counts


async def _until_beat(share: float) -> None:
    """Return when so much of the time between two heartbeats has passed; workers start at 0."""
    now = asyncio.get_running_loop().time()
    await asyncio.sleep(BEAT_SECONDS - now % BEAT_SECONDS + share * BEAT_SECONDS)


class _Session:
    """A client, and a reader of events, at work."""

    def __init__(self, place: Installation, runner: ActivityRunner) -> None:
        self._place = place
        self._runner = runner
        self._client = Client(place)
        self._events = EventsFunction(place)
        self._runs: Mapping[str, Callable[[str, int], Awaitable[None]]] = {
            "one": self._chain,
            "chain": self._chain,
            "fan": self._fan,
            "fleet": self._fleet,
            "order": self._order,
            "stream": self._stream,
        }

    async def counted(self, name: str, shape: Shape) -> Counts:
        """Run a small workload, so that all is warm, then the one that counts. Raises: AssertionError if one fails."""
        for turn, activities in (("warm", WARM_ACTIVITIES), ("counted", shape.activities)):
            await _until_beat(0.5)
            self._place.meter.reset()
            execution_id = f"{name}-{turn}"
            await self._runs[name](execution_id, activities)
            found = await self._client.call("GET", f"/executions/{execution_id}")
            if found["status"] != "COMPLETED":
                raise AssertionError(f"workload {name} is {found['status']}")
            await asyncio.sleep(1)
        return self._place.meter.work

    async def _start(self, workflow: str, execution_id: str, key: str, number: int, seconds: float) -> None:
        await self._client.call("POST", f"/{workflow}/execute", {"input": {key: number}, "execution_id": execution_id})
        await asyncio.sleep(seconds)

    async def _chain(self, execution_id: str, length: int) -> None:
        await self._start("cost-chain", execution_id, "length", length, 4)

    async def _fan(self, execution_id: str, width: int) -> None:
        await self._start("cost-fan", execution_id, "width", width, 4)

    async def _fleet(self, execution_id: str, width: int) -> None:
        self._runner.learn("cost-long", LONG_SECONDS)
        await self._start("cost-fleet", execution_id, "width", width, 30)

    async def _order(self, execution_id: str, length: int) -> None:
        await self._start("cost-order", execution_id, "length", length, 3)
        await self._client.call("POST", f"/executions/{execution_id}/signals", {"name": "paid"})
        await asyncio.sleep(66)

    async def _stream(self, execution_id: str, length: int) -> None:
        await self._start("cost-chain", execution_id, "length", length, 0)
        await self._events.follow(execution_id)
