"""Several workers of a deployment take turns with one run, each with what it remembers of it."""

from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.testing.installation import Installation
from levante.testing.virtual_time import LoopClock

pytestmark = pytest.mark.levante
LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)


@workflows.activity(name="turns-step", rate_limit=LIMIT)
async def step(number: int) -> int:
    """Return the number; every other one at the second attempt only."""
    if number % 2 and workflows.activity.info().attempt == 1:
        raise RuntimeError("once")
    return number


@workflow.define(name="turns-child")
class Child:
    """Does one step."""

    @workflow.entrypoint
    async def run(self, number: int) -> int:
        """See the class."""
        return await step(number)


@workflow.define(name="turns")
class Turns:
    """Goes from activity to timer to child, one after the other."""

    @workflow.entrypoint
    async def run(self, count: int) -> list[int]:
        """See the class."""
        found = []
        for number in range(count):
            found.append(await step(number))
            await workflow.sleep(timedelta(seconds=1.5))
            found.append(await workflow.execute_workflow(Child, {"number": number}))
        return found


@pytest.mark.slow
@pytest.mark.parametrize("cached", [0, 100])
@pytest.mark.parametrize("workers", [2, 3, 5])
async def test_run_when_workers_take_turns_then_none_drops_what_another_has_asked_for(
    workers: int, cached: int, tmp_path: Path
) -> None:
    """A worker whose memory of a run is old does not take an outcome for void that only newer history explains.

    Without sweeps: nobody comes to the rescue.
    """
    served: Any = [get_workflow_definition(Turns), get_workflow_definition(Child)]
    activities = {"turns-step": get_activity_definition(step)}
    async with AsyncExitStack() as stack:
        place = Installation(tmp_path, LoopClock())
        await stack.enter_async_context(place.running())
        for number in range(workers):
            serving = place.serving(served, activities, worker_name=f"w{number}", max_cached_workflows=cached)
            await stack.enter_async_context(serving)
        ids = [await place.start("turns", {"count": 6}) for _ in range(4)]
        for execution_id in ids:
            ending = (await place.result(execution_id, 120)).ending
            assert ending is not None
            result: Any = ending.result
            assert result["result"] == [number for step in range(6) for number in (step, step)]
