"""A worker as a whole, on an API and queues in memory."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from levante.testing import run_in_virtual_time
from levante.worker.service import Worker
from levante.worker.transport.api import KeyRefused
from levante_core.protocol import (
    ActivityOptions,
    ActivityWork,
    Fact,
    SignalReceived,
)
from levante_core.protocol.workers import DeliveredTask, TaskQueue
from tests.support.runs_api import activity_task, delivered, token_of, workflow_task
from tests.support.worker_context import Surroundings
from tests.unit.levante.worker.runs.flows import ACTIVITIES, RAN

WORKFLOW, ACTIVITY = TaskQueue.WORKFLOW, TaskQueue.ACTIVITY


class Serving(Surroundings):
    """A worker that serves one workflow."""

    def __init__(self, workflow: type, value: Any = None, **settings: Any) -> None:
        super().__init__([workflow], ACTIVITIES, value, **settings)
        self.refused = asyncio.Event()
        self.api.until_refused = self._until_refused  # type: ignore[method-assign] # as an API over HTTP
        self.stop = asyncio.Event()
        self.worker = Worker(self.context)
        self.running = asyncio.create_task(self.worker.run(self.stop))

    async def _until_refused(self) -> None:
        await self.refused.wait()
        raise KeyRefused(401, "revoked")

    def first(self, receipt: str = "first", receive_count: int = 1, **more: Any) -> DeliveredTask:
        """Return the first message of the run. more: further fields of its task."""
        return delivered(workflow_task(self.now, start=self.api.start, **more), receipt, receive_count)

    def later(self, number: int, name: str = "add", item: str | None = "x", **more: Any) -> DeliveredTask:
        """Return the message that a signal causes, which is recorded. more: further fields of its task."""
        signal = SignalReceived(number=number, at=self.now, name=name, input={} if item is None else {"item": item})
        fact = Fact(key=f"M{number:08d}", input=signal)
        self.api.facts.append(fact)
        token = token_of(len(self.api.batches) + 1)
        return delivered(workflow_task(self.now, fact=fact, token=token, **more), f"message {number}")

    async def give(self, *tasks: DeliveredTask, seconds: float = 1.0) -> None:
        """Let a poll have these tasks, and some time pass."""
        self.tasks.give(WORKFLOW, *tasks)
        await asyncio.sleep(seconds)

    @property
    def ended(self) -> list[str]:
        """Receipts that were ended, by commits and otherwise."""
        by_commits = [receipt for commit in self.api.commits for receipt in commit.done]
        return by_commits + [receipt for _, receipt in self.tasks.ended]

    @property
    def result(self) -> Any:
        """What the run ended with."""
        return self.api.events[-1].model_dump()["result"]["result"]


Scenario = Callable[[Serving], Coroutine[Any, Any, None]]


def run(workflow: type, scenario: Scenario, value: Any = None, **settings: Any) -> None:
    async def within() -> None:
        RAN.clear()
        serving = Serving(workflow, value, **settings)
        await asyncio.sleep(0.1)
        try:
            await scenario(serving)
        finally:
            serving.stop.set()
            with suppress(KeyRefused):
                await serving.running

    run_in_virtual_time(within())


def activity(serving: Serving, seconds: float, receipt: str = "task") -> DeliveredTask:
    """Return the message that an attempt is to be made which takes so long."""
    value = {"label": "queued", "seconds": seconds}
    options = ActivityOptions(start_to_close_seconds=3600)
    return delivered(activity_task(serving.now, ActivityWork(name="driver-step", input=value, options=options)), receipt)
