"""The time that workflow code sees."""

from datetime import UTC, datetime, timedelta
from typing import Any

from levante import workflow
from levante.context import current_workflow
from levante.replay.run import WorkflowRun
from levante_core.protocol import ActivityCompleted, ActivityOptions
from tests.support.bodies import Definition
from tests.support.runs_api import run_start

AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_time_when_an_earlier_outcome_is_told_later_then_it_does_not_go_back() -> None:
    """Outcomes come from several clocks, and facts are taken in their order: `now()` never decreases."""
    seen: list[datetime] = []

    async def body() -> None:
        context = current_workflow.get()
        assert context
        seen.append(workflow.now())
        for name in "abc":
            await context.start_activity(name, {}, ActivityOptions())
            seen.append(workflow.now())

    definition: Any = Definition(body)
    run = WorkflowRun(definition, "e", "r", run_start("w", AT))
    run.begin()
    for seq, seconds in ((1, 10), (2, 3), (3, 11)):
        run.apply(ActivityCompleted(seq=seq, at=AT + timedelta(seconds=seconds), result=None))
    assert [(time - AT).total_seconds() for time in seen] == [0, 10, 10, 11]
