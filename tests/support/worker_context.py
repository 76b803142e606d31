"""What the parts of a worker work with, on an API and a source of tasks in memory, in the time of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.testing.virtual_time import LoopClock
from levante.worker.activities.runner import ActivityRunner
from levante.worker.activities.sticky_session import StickySession
from levante.worker.context import WorkerContext
from levante.worker.payloads import PLAIN, Payloads
from levante.worker.runs.driver import RunDriver
from levante.worker.runs.ledger import RunLedger
from levante.worker.settings import WorkerSettings
from levante.worker.tasks.leases import Leases
from levante.worker.tasks.source import TaskSource
from levante.worker.transport.batcher import Batcher
from levante.worker.transport.sending import send_commits, send_reports
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import Fact
from tests.support.runs_api import RunsApi, TasksInMemory, run_start, token_of, workflow_task

WORKER = "worker-1"


class Surroundings:
    """A worker's context for the first of these workflows. pools: the sources of tasks that were asked for by name."""

    def __init__(
        self,
        workflows: Sequence[type],
        activities: Sequence[Callable[..., Any]] = (),
        value: Any = None,
        *,
        payloads: Payloads = PLAIN,
        **settings: Any,
    ) -> None:
        self.clock = LoopClock()
        self.tasks = TasksInMemory()
        self.pools: dict[WorkerPool, TasksInMemory] = {}
        served = {one.name: one for one in map(get_workflow_definition, workflows)}
        self.api = RunsApi(run_start(next(iter(served), "none"), self.clock.now(), value))
        given = {"api_key": "key", "deployment_name": "d", "worker_name": "w", **settings}
        chosen = WorkerSettings(**given)
        definitions = {one.name: one for one in map(get_activity_definition, activities)}
        session = StickySession.of(chosen.serves, WORKER)
        slots = chosen.max_concurrent_activities
        self.runner = ActivityRunner(definitions, slots, self.api, self.clock.now, payloads, session=session)
        self.context = WorkerContext(
            settings=chosen,
            worker_id=WORKER,
            api=self.api,
            tasks=self.tasks,
            commits=Batcher(send_commits(self.api)),
            reports=Batcher(send_reports(self.api)),
            runner=self.runner,
            payloads=payloads,
            workflows=served,
            now=self.clock.now,
            tasks_of=self._tasks_of,
        )

    @property
    def now(self) -> datetime:
        """The time of the loop."""
        return self.clock.now()

    async def _tasks_of(self, pool: WorkerPool) -> TaskSource:
        return self.pools.setdefault(pool, TasksInMemory())


class Held(Surroundings):
    """Surroundings in which one run is held, again and again. live: what stays in the cache between.

    is_stopping: the worker takes on nothing more.
    """

    receipts = ("receipt",)

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.ledger: RunLedger | None = None
        self.driver: RunDriver | None = None
        self.is_stopping = False

    async def advance(
        self, *facts: Fact, is_first: bool = False, is_trusted: bool = True, is_redelivered: bool = False
    ) -> bool:
        """Hold the run as a worker does that got these facts with its messages. is_first: the message carries the start."""
        start = self.api.start if is_first else None
        task = workflow_task(self.now, start=start, token=token_of(len(self.api.batches) + 1))
        self.driver = RunDriver(self.context, Leases(self.tasks), task, self.receipts, self.ledger)
        self.ledger = None
        if self.is_stopping:
            self.driver.stop(now=False)
        try:
            return await self.driver.advance(facts, is_trusted=is_trusted, is_redelivered=is_redelivered)
        finally:
            self.ledger = self.driver.ledger

    async def begin(self, *facts: Fact) -> bool:
        """Hold the run for the first time."""
        return await self.advance(*facts, is_first=True)

    def beginning(self, *facts: Fact) -> asyncio.Task[bool]:
        """Hold the run for the first time, in a task."""
        return asyncio.create_task(self.begin(*facts))

    def forget(self) -> None:
        """Let go of the run's ledger, as a cache does that is full."""
        if self.ledger:
            self.ledger.code.dispose()
            self.ledger = None
