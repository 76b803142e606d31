"""Schedules that code declares, in virtual time: workers register them, times start executions, crashes lose none."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import levante as workflows
from levante import (
    Schedule,
    ScheduleCalendar,
    ScheduleInterval,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
    workflow,
)
from levante.testing import WorkflowEnvironment

pytestmark = pytest.mark.levante


@workflows.activity(name="schedules-count")
async def count_orders(shop: str) -> str:
    """Look them up."""
    return f"{shop}: 3"


@workflow.define(
    name="schedules-report",
    schedules=[
        Schedule(input={"shop": "north"}, calendars=(ScheduleCalendar(hour=(ScheduleRange(start=9),)),), max_executions=3),
        Schedule(input={"shop": "south"}, cron_expressions=("30 9 * * *",), schedule_id="south", max_executions=2),
    ],
)
class Report:
    """A day's figures."""

    @workflow.entrypoint
    async def run(self, shop: str) -> str:
        """See the class."""
        return await count_orders(shop)


@workflow.define(
    name="schedules-slow",
    execution_timeout=timedelta(hours=3),
    schedules=[
        Schedule(
            input={},
            intervals=(ScheduleInterval(every=timedelta(hours=1)),),
            policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.BUFFER_ALL),
            max_executions=3,
        )
    ],
)
class Slow:
    """Takes longer than it is until the next time."""

    @workflow.entrypoint
    async def run(self) -> None:
        """See the class."""
        await workflows.workflow.sleep(90 * 60)


@workflow.define(name="schedules-wait", execution_timeout=timedelta(days=30))
class Wait:
    """Lets time pass."""

    @workflow.entrypoint
    async def run(self, days: float) -> None:
        """See the class."""
        await workflows.workflow.sleep(days * 86400)


async def results(environment: WorkflowEnvironment) -> list[Any]:
    """Wait for all that schedules have started."""
    return [await one.result() for one in await environment.scheduled()]


@pytest.mark.parametrize("crashes", [(), (1,), (1, 2, 3, 4, 5)])
async def test_declared_schedules_when_days_pass_then_each_time_starts_one_execution(crashes: tuple[int, ...]) -> None:
    """Three mornings of one, two of the other, whichever workers die."""
    async with WorkflowEnvironment(
        [Report, Wait], activities=[count_orders], schedules=True, crashes=crashes
    ) as environment:
        await environment.execute(Wait, {"days": 5})
        assert await results(environment) == ["north: 3", "south: 3", "north: 3", "south: 3", "north: 3"]


async def test_overlap_when_executions_wait_for_one_another_then_the_next_starts_as_soon_as_one_has_ended() -> None:
    """The change feed tells the schedule; nothing waits for the sweep. Times: 1:00, 2:30, 4:00."""
    async with WorkflowEnvironment([Slow, Wait], schedules=True) as environment:
        await environment.execute(Wait, {"days": 1})
        started = [await one.history() for one in await environment.scheduled()]
        begun = [datetime.fromisoformat(history.events[0]["recorded_at"]) for history in started]
    assert len(begun) == 3
    for earlier, later in pairwise(begun):
        assert timedelta(minutes=90) <= later - earlier < timedelta(minutes=90, seconds=5)


async def test_environment_when_not_told_otherwise_then_it_makes_no_schedules() -> None:
    """Time that a test skips would start executions that it does not mean."""
    async with WorkflowEnvironment([Report, Wait], activities=[count_orders]) as environment:
        await environment.execute(Wait, {"days": 5})
        assert await environment.scheduled() == []


async def test_guide_when_its_code_is_run_then_the_workflow_has_its_schedule() -> None:
    """What docs/schedules.md shows of workflow code."""
    page = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "example"}
    exec(page.split("```python\n")[2].split("```")[0], names)  # noqa: S102 - our own page
    async with WorkflowEnvironment([names["DailyReport"], Wait], activities=[], schedules=True) as environment:
        await environment.execute(Wait, {"days": 3})
        assert await results(environment) == ["the report of harbour"] * 3
