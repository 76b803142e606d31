"""Changes of workflow code in place: every version goes on with what the one before it left open."""

from datetime import UTC, datetime
from typing import Any

import pytest

from levante import workflow
from levante.context import current_workflow
from levante.errors import NonDeterminismError
from levante.replay.replayer import replay
from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    ActivityCompleted,
    ActivityOptions,
    ActivityScheduled,
    CodeFailed,
    Failure,
    HistoryBatch,
    HistoryEvent,
    PatchRecorded,
    RunStart,
)
from tests.support.bodies import Body, Definition

AT = datetime(2026, 1, 1, tzinfo=UTC)
START = RunStart.model_validate({"workflow_name": "w", "input": None, "started_at": AT, "deadline_at": AT})


async def do(name: str) -> None:
    context = current_workflow.get()
    assert context
    await context.start_activity(name, {}, ActivityOptions())


async def first() -> None:
    await do("a")
    await do("b")
    await do("c")


async def patched() -> None:
    await do("a")
    if workflow.patched("check"):
        await do("check")
    await do("b")
    if workflow.patched("check"):
        await do("check again")
    await do("c")


async def deprecated() -> None:
    await do("a")
    workflow.deprecate_patch("check")
    await do("check")
    await do("b")
    await do("check again")
    await do("c")


async def final() -> None:
    await do("a")
    await do("check")
    await do("b")
    await do("check again")
    await do("c")


def new_run(body: Body) -> WorkflowRun:
    definition: Any = Definition(body)
    return WorkflowRun(definition, "e", "r", START)


def go_on(body: Body, history: list[HistoryEvent], steps: int) -> list[HistoryEvent]:
    """Replay a history, then let so many activities complete. Returns the history as it is then."""
    run, events = new_run(body), list(history)
    batches = [HistoryBatch(index=1, commit_id="", events=tuple(history))] if history else []
    events += replay(run, batches, {}) if history else run.begin()
    for _ in range(steps):
        asked = [event.seq for event in events if isinstance(event, ActivityScheduled)]
        handed_over = [event.seq for event in events if isinstance(event, ActivityCompleted)]
        if not set(asked) - set(handed_over):
            break
        outcome = ActivityCompleted(seq=min(set(asked) - set(handed_over)), at=AT, result=None)
        events += [outcome, *run.apply(outcome)]
    run.dispose()
    return events


def done(history: list[HistoryEvent]) -> list[str]:
    """Return the activities that the run asked for; it has ended."""
    assert history[-1].kind == "execution_completed"
    return [event.name for event in history if isinstance(event, ActivityScheduled)]


OLD, NEW = ["a", "b", "c"], ["a", "check", "b", "check again", "c"]


@pytest.mark.parametrize(("steps", "expected"), [(0, NEW), (1, OLD), (2, OLD), (3, OLD)])
def test_patch_when_a_run_began_before_the_change_then_it_takes_the_new_side_only_if_it_was_not_past_it(
    steps: int, expected: list[str]
) -> None:
    """The side that a run took first is its side for ever, at every place that asks."""
    begun = go_on(first, [], steps)
    for more in range(4):
        later = go_on(patched, begun, more)
        assert done(go_on(patched, later, 9)) == expected


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("after", [patched, deprecated])
def test_patch_when_a_run_took_the_new_side_then_it_stays_there_in_this_version_and_the_next(
    steps: int, after: Body
) -> None:
    """Wherever it is when the code changes."""
    assert done(go_on(after, go_on(patched, [], steps), 9)) == NEW


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("after", [patched, deprecated, final])
def test_patch_when_it_was_deprecated_then_the_line_may_go(steps: int, after: Body) -> None:
    """A run from the time of the deprecation goes on without it, and with the versions before."""
    assert done(go_on(after, go_on(deprecated, [], steps), 9)) == NEW


def test_patch_when_the_line_goes_before_it_was_deprecated_then_replay_says_so() -> None:
    """Runs that asked are open still."""
    with pytest.raises(NonDeterminismError, match="recorded is patch_recorded 'check'"):
        go_on(final, go_on(patched, [], 1), 9)


def test_patch_when_it_is_deprecated_too_early_then_replay_says_so() -> None:
    """Runs on the old side are open still."""
    with pytest.raises(NonDeterminismError, match="recorded is activity_scheduled 'b'"):
        go_on(deprecated, go_on(first, [], 1), 9)


def test_patch_when_code_failed_over_an_input_then_fixed_code_takes_the_new_side() -> None:
    """What comes after the failure is not recorded yet, so there is nothing that it could contradict."""
    begun = go_on(first, [], 0)
    failed = [*begun, ActivityCompleted(seq=1, at=AT, result=None), CodeFailed(failure=Failure(message="x"))]
    history = go_on(patched, failed, 0)
    assert [event for event in history if isinstance(event, PatchRecorded)] == [PatchRecorded(patch_id="check")]
    assert done(go_on(patched, history, 9)) == NEW


def test_patch_when_asked_again_then_it_is_recorded_once() -> None:
    """In the place where it was asked about first."""
    history = go_on(patched, [], 9)
    kinds = [event.kind for event in history]
    assert kinds.count("patch_recorded") == 1
    assert kinds.index("patch_recorded") == kinds.index("activity_completed") + 1
