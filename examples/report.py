"""A shop's daily report: written by a schedule, in the shop's own time zone.

    python examples/report.py

The schedule that counts is declared beside the workflow: a worker makes it when it registers. So that nobody has to wait
until tomorrow morning, another schedule of the same workflow comes every second here, three times.
"""

import time
from datetime import date

from mistralai.client import Mistral
from pydantic import BaseModel, Field

import levante as workflows
from levante import workflow


class Shop(BaseModel):
    """Whose report it is, and to whom it goes."""

    name: str
    readers: list[str] = Field(min_length=1)


class Report(BaseModel):
    """A day's figures."""

    shop: str
    day: date
    orders: int
    revenue: float


@workflows.activity()
async def figures(shop: str, day: date) -> Report:
    """Add up a day's orders."""
    orders = 20 + day.toordinal() % 7
    return Report(shop=shop, day=day, orders=orders, revenue=round(orders * 19.9, 2))


@workflows.activity(retry_policy_max_attempts=10)
async def send(report: Report, to: str) -> None:
    """Send a report; an e-mail server that is down is tried again."""
    print(f"   to {to}: {report.shop} had {report.orders} orders, {report.revenue:.2f} in all", flush=True)


@workflow.define(
    name="daily-report",
    schedules=[
        workflows.Schedule(
            schedule_id="daily-report-of-the-harbour-shop",
            input={"name": "harbour", "readers": ["owner@example.com"]},
            cron_expressions=("30 7 * * MON-FRI",),
            time_zone_name="Europe/Lisbon",
            policy=workflows.SchedulePolicy(catchup_window_seconds=6 * 3600, pause_on_failure=True),
        )
    ],
)
class DailyReport:
    """Writes one report and sends it to each reader."""

    @workflow.entrypoint
    async def run(self, shop: Shop) -> Report:
        """Return the report that was sent."""
        report = await figures(shop.name, workflow.now().date())
        for reader in shop.readers:
            await send(report, reader)
        return report


def drive(client: Mistral) -> None:
    """Show the schedule that the code declares, then let another one come three times."""
    schedules = client.workflows.schedules
    declared = schedules.get_schedule(schedule_id="daily-report-of-the-harbour-shop")
    print(f"declared in code, next at {(declared.future_executions or [])[0].scheduled_at}")
    made = schedules.schedule_workflow(
        workflow_identifier="daily-report",
        schedule={
            "input": {"name": "market", "readers": ["anna@example.com", "ben@example.com"]},
            "intervals": [{"every": "PT1S"}],
            "policy": {"overlap": 3},
            "max_executions": 3,
        },
    )
    while schedules.get_schedule(schedule_id=made.schedule_id).remaining_executions:
        time.sleep(0.2)
    fired = schedules.get_schedule(schedule_id=made.schedule_id).recent_executions or []
    for one in fired:
        ended = client.workflows.wait_for_workflow_completion(one.execution_id)
        print(f"{one.scheduled_at:%H:%M:%S}  {one.execution_id}  {ended.status}")
    schedules.unschedule_workflow(schedule_id=made.schedule_id)


if __name__ == "__main__":
    from running import example  # type: ignore[import-not-found]  # beside this file, where Python looks when it is run

    with example(__file__) as site:
        drive(site.client)
