"""What messages and children cost in writes, queue messages and calls; docs/architecture-aws.md says the same."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from levante_local.greenlets import call
from tests.integration import child_workflows, message_workflows
from tests.integration.test_costs import Costs
from tests.support.direct import WORKSPACE, Installation

PAGE = (Path(__file__).parents[2] / "docs/architecture-aws.md").read_text(encoding="utf-8")


IDLE = ("/leases", "/poll", "/heartbeat")
"""Ends of paths that workers call whether anything happens or not."""


class Spent(NamedTuple):
    """Writes to the table, a transaction being one; messages; calls of workers, without polls and extensions of leases."""

    writes: int
    messages: int
    calls: int


def documented(what: str) -> Spent:
    """Return the row of the page's table."""
    (row,) = re.findall(rf"^\| {re.escape(what)} \| (\d+) \| (\d+) \| (\d+) \|", PAGE, re.MULTILINE)
    return Spent(*map(int, row))


def spent(costs: Costs) -> Spent:
    """Return what was spent since the last time."""
    calls = sum(number for path, number in costs.place.api.calls.items() if not path.endswith(IDLE))
    found = Spent(costs.writes, costs.messages, calls)
    costs.writes = costs.messages = 0
    costs.place.api.calls.clear()
    return found


@asynccontextmanager
async def counted(tmp_path: Path, workflows: Sequence[type], activities: Sequence[Any]) -> AsyncIterator[Costs]:
    """An installation with a worker, and its counters."""
    place = Installation(tmp_path)
    async with place.running(), place.worker(workflows, activities):
        costs = Costs(place)
        costs.watch()
        yield costs


@pytest.mark.parametrize("what", ["a signal", "an update", "a query"])
def test_message_when_a_worker_holds_the_run_then_it_costs_what_the_page_says(tmp_path: Path, what: str) -> None:
    """A message costs a write when accepted and one when taken in, whoever sends it; queries leave nothing behind."""

    async def scenario() -> None:
        async with counted(tmp_path, message_workflows.WORKFLOWS, message_workflows.ACTIVITIES) as costs:
            engine = costs.place.engine
            execution = await costs.place.start("message-basket", {})
            await call(engine.queries.ask, WORKSPACE, execution, "count", {}, 20.0)
            await costs.place.settled()
            spent(costs)
            if what == "a signal":
                await call(engine.messages.signal, WORKSPACE, execution, "add", {"item": "kite"})
                while not any(one["kind"] == "signal_received" for one in (await costs.place.history(execution))["events"]):
                    await asyncio.sleep(0)
            elif what == "an update":
                await call(engine.messages.update, WORKSPACE, execution, "swap", {"item": "kite"}, 20.0)
            else:
                await call(engine.queries.ask, WORKSPACE, execution, "count", {}, 20.0)
            await costs.place.settled()
            assert spent(costs) == documented(what)

    asyncio.run(scenario())


def test_child_when_it_runs_one_short_activity_then_parent_and_child_cost_what_the_page_says(tmp_path: Path) -> None:
    """A child is an execution, and the parent learns of its end by a fact."""

    async def scenario() -> None:
        async with counted(tmp_path, child_workflows.WORKFLOWS, child_workflows.ACTIVITIES) as costs:
            for _ in range(2):  # the first one teaches the worker that the activity is short
                await costs.place.settled()
                spent(costs)
                await costs.place.result(await costs.place.start("children-parent", {"labels": ["a"]}))
            await costs.place.settled()
            assert spent(costs) == documented("a parent with one child that has one short activity")

    asyncio.run(scenario())
