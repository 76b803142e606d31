"""A runner of activities without a server: attempts are made one by one, and what they say is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from levante.definition.definitions import get_activity_definition
from levante.worker.activities.attempt import Attempt, Demand
from levante.worker.activities.attempt_end import AttemptEnd
from levante.worker.activities.runner import ActivityRunner
from levante.worker.payloads import PLAIN
from levante.worker.transport.api import Api
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import ActivityWork, Json
from levante_core.protocol.activities import ActivityHeartbeatRequest, ActivityHeartbeatResponse

EXECUTION = "order-1"


class ListeningApi(Api):
    """Keeps heartbeats. is_wanted: what it says of attempts. answers: heartbeats are answered once this is set."""

    def __init__(self) -> None:
        self.details: list[tuple[Json, ...]] = []
        self.is_wanted = True
        self.answers = asyncio.Event()
        self.answers.set()

    async def activity_heartbeat(self, request: ActivityHeartbeatRequest) -> ActivityHeartbeatResponse:
        await self.answers.wait()
        self.details.append(request.details)
        return ActivityHeartbeatResponse(is_wanted=self.is_wanted)

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        raise AssertionError(f"nobody expects {method} {path} with {body!r}")


class Runner:
    """Makes attempts of activities. demands: of those begun, in order."""

    def __init__(self, *activities: Callable[..., Any], slots: int = 10, threads: int | None = None) -> None:
        self.api = ListeningApi()
        self.demands: list[Demand] = []
        definitions = {one.name: one for one in map(get_activity_definition, activities)}
        self.runner = ActivityRunner(definitions, slots, self.api, lambda: datetime.now(UTC), PLAIN, threads=threads)

    def begin(self, activity: Callable[..., Any], value: Json = None, **options: Any) -> asyncio.Task[AttemptEnd]:
        """Begin an attempt. options: in place of those of its decorator."""
        definition = get_activity_definition(activity)
        chosen = definition.options.model_copy(update=options)
        work = ActivityWork(name=definition.name, input={} if value is None else value, options=chosen)
        attempt = Attempt(EXECUTION, "run-1", WorkerPool.parse("d"), 1, 1, "token", work)
        self.demands.append(attempt.demand)
        return asyncio.create_task(self.runner.run(attempt))

    async def run(self, activity: Callable[..., Any], value: Json = None, **options: Any) -> AttemptEnd:
        """Make an attempt, and return how it ended."""
        return await self.begin(activity, value, **options)
