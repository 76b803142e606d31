"""An execution that hangs in every way is repaired by hand, by nothing but what explain says of it."""

import asyncio
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest

import levante as workflows
from levante import workflow
from levante.testing import WorkflowEnvironment, run_in_virtual_time
from tests.behaviour.driving import Driver
from tests.behaviour.modes import Memory

LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)
LONG = timedelta(hours=11)


@workflows.activity(name="repaired-in-place", start_to_close_timeout=LONG)
async def in_place() -> str:
    """Never end."""
    await asyncio.sleep(LONG.total_seconds() / 2)
    return "too late"


@workflows.activity(name="repaired-queued", rate_limit=LIMIT, start_to_close_timeout=LONG, retry_policy_max_attempts=1)
async def queued() -> str:
    """Never end, on the queue."""
    await asyncio.sleep(LONG.total_seconds() / 2)
    return "too late"


@workflows.activity(name="repaired-failing", retry_policy_max_attempts=3, retry_policy_backoff_coefficient=100)
async def failing() -> str:
    """Fail twice, and be tried again after a long time."""
    if workflows.activity.info().attempt < 3:
        raise RuntimeError("not yet")
    return "at the third attempt"


@workflow.define(name="repaired-child", execution_timeout=timedelta(days=30))
class Child:
    """Never ends."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        await workflow.sleep(timedelta(days=20))
        return "too late"


@workflow.define(name="repaired", execution_timeout=timedelta(days=40))
class Hanging:
    """Waits for all that may hang, one after the other."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        began = workflow.now()
        found = [await in_place(), await queued(), await failing()]
        await workflow.sleep(timedelta(days=20))
        found.append(await workflow.execute_workflow(Child))
        try:
            await queued()
        except workflows.ActivityError as error:
            found.append(str(error.__cause__))
        try:
            await workflow.execute_workflow(Child)
        except workflows.ChildWorkflowError as error:
            found.append("child lost" if "it was lost" in str(error) else str(error))
        found.append("in time" if workflow.now() - began < timedelta(hours=1) else "late")
        return found


BODIES: dict[str, Any] = {
    "activities": [
        ("complete", {"result": "by hand 1"}),
        ("complete", {"result": "by hand 2"}),
        ("retry", {}),
        ("fail", {"message": "it was given up"}),
    ],
    "timers": [("skip", {"reason": "no time"})],
    "children": [("complete", {"result": {"result": "by hand 3"}}), ("fail", {"message": "it was lost"})],
}
PATHS = {"timer": "timers", "child": "children"}


async def repair(driver: Driver) -> list[Any]:
    """Do what helps, again and again, until the execution has ended. Returns what it waited for each time."""
    left = {path: list(bodies) for path, bodies in BODIES.items()}
    seen: list[Any] = []
    while await driver.status() == "RUNNING":
        explained = await driver.place.call("GET", f"/v1/workflows/executions/{driver.execution_id}/explain")
        waits = [wait for wait in explained["waits"] if wait["remedies"]]
        if waits and waits[0]["seq"] not in [seq for seq, _ in seen]:
            path = PATHS.get(waits[0]["kind"], "activities")
            verb, body = left[path][0]
            if verb in waits[0]["remedies"] and (verb != "retry" or waits[0]["attempt"] == 2):
                left[path].pop(0)
                await driver.call(f"{path}/{waits[0]['seq']}/{verb}", body)
                seen.append((waits[0]["seq"], waits[0]["kind"]))
        await driver.place.sleep(0.3)
    return seen


@pytest.mark.parametrize("always_replay", [False, True])
@pytest.mark.parametrize("crashes", [(), (1,), (2, 4), (3, 5, 6)], ids=str)
def test_execution_when_it_hangs_then_explain_leads_to_its_end(crashes: Collection[int], *, always_replay: bool) -> None:
    """The code sees ordinary outcomes, live and on replay, whoever dies; the history tells what was done by hand."""

    async def run() -> None:
        activities = [in_place, queued, failing]
        async with WorkflowEnvironment(
            [Hanging, Child], activities=activities, crashes=crashes, always_replay=always_replay
        ) as environment:
            execution = await environment.start(Hanging)
            await repair(Driver(Memory(environment), execution.id))
            by_hand = ["by hand 1", "by hand 2", "at the third attempt", "by hand 3"]
            result = await execution.result()
            assert result[:4] == by_hand
            assert ("it was given up" in result[4], result[5:]) == (True, ["child lost", "in time"])
            history = await execution.history()
            history.replay(Hanging)
            given = [event["kind"] for event in history.events if event.get("by_hand")]
            assert given == [
                "activity_completed",
                "activity_completed",
                "timer_fired",
                "child_completed",
                "activity_failed",
                "child_failed",
            ]

    run_in_virtual_time(run())
