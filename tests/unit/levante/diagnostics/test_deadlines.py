"""Waits that reach past the end of their execution."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante import activity, execute_workflow, workflow
from levante.replay.replayer import replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import HistoryBatch, RunStart, TimerFired
from tests.support.bodies import Body, Definition

AT = datetime(2026, 1, 1, tzinfo=UTC)


@activity(start_to_close_timeout=timedelta(hours=2))
async def takes_two_hours() -> None: ...


@workflow.define(execution_timeout=timedelta(days=2))
class Long:
    @workflow.entrypoint
    async def run(self) -> None: ...


def new_run(body: Body, limit: timedelta = timedelta(hours=1)) -> WorkflowRun:
    definition: Any = Definition(body)
    start = {"workflow_name": "w", "input": None, "started_at": AT, "deadline_at": AT + limit}
    return WorkflowRun(definition, "e", "r", RunStart.model_validate(start))


async def sleeps() -> None:
    await workflow.sleep(timedelta(days=1))


async def waits() -> None:
    await workflow.wait_condition(lambda: False, timeout=timedelta(days=1))


async def calls() -> None:
    await takes_two_hours()


async def has_child() -> None:
    await execute_workflow(Long)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (sleeps, "this waits for 1 day"),
        (waits, "this waits for 1 day"),
        (calls, "activity 'takes_two_hours' may take 2:00:00"),
        (has_child, "child 'Long' may take 2 days"),
    ],
)
def test_wait_when_it_is_longer_than_the_execution_may_take_then_its_line_is_named(
    body: Body, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The default of an hour ends workflows that wait for a person."""
    new_run(body).begin()
    (message,) = caplog.messages
    line = body.__code__.co_firstlineno + 1
    assert f"at {__file__}:{line}: execution_timeout is 1:00:00 (the default); {said}: give" in message


async def sleeps_for_ever() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), math.inf)


@pytest.mark.parametrize(("body", "limit"), [(sleeps, timedelta(days=2)), (sleeps_for_ever, timedelta(hours=1))])
def test_wait_when_it_fits_or_has_no_end_then_nothing_is_said(
    body: Body, limit: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    """A wait for what cancels it is no mistake."""
    new_run(body, limit).begin()
    assert caplog.messages == []


def test_wait_when_it_is_repeated_or_replayed_then_the_warning_is_not(caplog: pytest.LogCaptureFixture) -> None:
    """Once for each run and line; what remains of the time is named."""

    async def body() -> None:
        for _ in range(3):
            await workflow.sleep(timedelta(minutes=40))

    run = new_run(body)
    commands = run.begin()
    fired = TimerFired(seq=1, at=AT + timedelta(minutes=40))
    more = run.apply(fired)
    run.apply(TimerFired(seq=2, at=AT + timedelta(minutes=80)))
    (message,) = caplog.messages
    assert "1:00:00 (the default), of which 0:20:00 is left; this waits for 0:40:00" in message
    caplog.clear()
    batch = HistoryBatch(index=1, commit_id="c", events=(*commands, fired, *more))
    again = new_run(body)
    assert replay(again, [batch], {}) == []
    again.apply(TimerFired(seq=2, at=AT + timedelta(minutes=80)))
    assert caplog.messages == []
