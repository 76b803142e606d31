"""examples/report.py: every working day has one report, whatever happens to workers."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from examples.report import DailyReport, Report, figures, send

from levante import workflow
from levante.testing import WorkflowEnvironment

pytestmark = pytest.mark.levante


@workflow.define(name="report-two-weeks", execution_timeout=timedelta(days=30))
class TwoWeeks:
    """Lets two weeks pass."""

    @workflow.entrypoint
    async def run(self) -> None:
        """See the class."""
        await workflow.sleep(timedelta(days=14))


class SmtpServer:
    """Counts what was sent to whom. broken: attempts that fail first."""

    def __init__(self, broken: int = 0) -> None:
        self.sent: list[tuple[str, str]] = []
        self._broken = broken

    async def send(self, report: Report, to: str) -> None:
        if self._broken:
            self._broken -= 1
            raise ConnectionError("no e-mail today")
        self.sent.append((report.day.isoformat(), to))


async def test_report_when_two_weeks_pass_then_each_working_day_has_one(mode: Mapping[str, Any]) -> None:
    """Ten days, ten reports; a report is of its own day."""
    server = SmtpServer()
    mocked: dict[Any, Any] = {send: server.send}
    environment = WorkflowEnvironment(
        [DailyReport, TwoWeeks], activities=[figures, send], mocks=mocked, schedules=True, **mode
    )
    async with environment:
        await environment.execute(TwoWeeks)
        reports = [await one.result() for one in await environment.scheduled()]
    assert len(reports) == 10
    assert {report.day.weekday() for report in reports} == set(range(5))
    assert sorted({day for day, _ in server.sent}) == sorted(report.day.isoformat() for report in reports)


async def test_report_when_the_server_is_down_then_it_is_tried_again() -> None:
    """Each reader gets it once."""
    server = SmtpServer(broken=3)
    mocked: dict[Any, Any] = {send: server.send}
    async with WorkflowEnvironment([DailyReport], activities=[figures, send], mocks=mocked) as environment:
        report = await environment.execute(DailyReport, {"name": "market", "readers": ["anna", "ben"]})
    assert [to for _, to in server.sent] == ["anna", "ben"]
    assert report.revenue > 0
