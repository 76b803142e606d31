"""Random programs over the constructs of the programming model, with random crashes: the end is that of a quiet run."""

import asyncio
import os
from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import levante as workflows
from levante import workflow
from levante.testing import ExecutionNotCompleted, WorkflowEnvironment, run_in_virtual_time
from tests.support.forms import either

EXAMPLES = int(os.environ.get("LEVANTE_RANDOM_PROGRAMS") or either(short=8, full=40))
"""A night's worth: LEVANTE_RANDOM_PROGRAMS=5000 and a longer --timeout."""
LIMIT = workflows.RateLimit(time_window_in_sec=1, max_execution=1000)
Program = dict[str, Any]
"""One construct: `do` says which, `parts` are the programs within, `value` is a number."""


@workflows.activity(name="random-step", retry_policy_max_attempts=10)
async def step(value: int, fails: int) -> int:
    """Fail so often, then return the value."""
    if workflows.activity.info().attempt <= fails:
        raise RuntimeError("not yet")
    return value


@workflows.activity(name="random-queued", rate_limit=LIMIT, retry_policy_max_attempts=10)
async def queued(value: int) -> int:
    """Return the value, never in place."""
    return value


@workflows.activity(name="random-hopeless", retry_policy_max_attempts=2)
async def hopeless() -> None:
    """Fail for good."""
    raise workflows.WorkflowError("hopeless", non_retryable=True)


@workflow.define(name="random-child", execution_timeout=timedelta(days=9))
class Child:
    """Runs a program of its own."""

    @workflow.entrypoint
    async def run(self, program: Program) -> Any:
        """See the class."""
        return await _interpreted(program, lambda: True)


@workflow.define(name="random", execution_timeout=timedelta(days=10))
class Random:
    """Runs a program. Returns what it came to, as nested lists."""

    def __init__(self) -> None:
        self.signals = 0

    @workflow.entrypoint
    async def run(self, program: Program) -> Any:
        """See the class."""
        return await _interpreted(program, lambda: self.signals > 0)

    @workflow.signal()
    def go(self) -> None:
        """Let those go on that wait for it."""
        self.signals += 1


async def _interpreted(program: Program, is_signalled: Any) -> Any:
    parts = program["parts"]
    return await (_several(program, is_signalled) if parts else _single(program["do"], program["value"], is_signalled))


async def _single(do: str, value: int, is_signalled: Any) -> Any:
    match do:
        case "step":
            return await step(value, value % 3)
        case "queued":
            return await queued(value)
        case "local":
            with workflows.run_activities_locally():
                return await step(value, 0)
        case "sleep":
            await workflow.sleep(value / 10)
            return f"slept {value}"
        case "hopeless":
            try:
                await hopeless()
            except workflows.ActivityError:
                return "hopeless"
        case "signal":
            await workflow.wait_condition(is_signalled)
            return "told"
    raise AssertionError(do)


async def _several(program: Program, is_signalled: Any) -> Any:
    parts = program["parts"]
    match program["do"]:
        case "child":
            return await workflow.execute_workflow(Child, {"program": parts[0]})
        case "sequence":
            return [await _interpreted(part, is_signalled) for part in parts]
        case "together":
            return list(await asyncio.gather(*(_interpreted(part, is_signalled) for part in parts)))
        case "limited":
            try:
                async with asyncio.timeout(3600 * 24):
                    return await _interpreted(parts[0], is_signalled)
            except TimeoutError:
                return "timed out"
        case "given up":
            task = asyncio.ensure_future(_interpreted(parts[0], is_signalled))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return "given up"
    raise AssertionError(program["do"])


def _one(do: str, parts: Any = ()) -> st.SearchStrategy[Program]:
    return st.builds(lambda value, parts: {"do": do, "value": value, "parts": parts}, st.integers(0, 20), parts)


LEAVES = st.one_of(*(_one(do, st.just([])) for do in ("step", "queued", "local", "sleep", "hopeless", "signal")))
PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        _one("sequence", st.lists(inner, min_size=1, max_size=4)),
        _one("together", st.lists(inner, min_size=1, max_size=4)),
        *(_one(do, st.lists(inner, min_size=1, max_size=1)) for do in ("child", "limited", "given up")),
    ),
    max_leaves=8,
)


def ended(program: Program, *, always_replay: bool = False, crashes: Collection[int] = ()) -> tuple[Any, int]:
    """Run a program. Returns its result, or what it failed with, and how many commits that took."""

    async def run() -> tuple[Any, int]:
        async with WorkflowEnvironment(
            [Random, Child], activities=[step, queued, hopeless], always_replay=always_replay, crashes=crashes
        ) as environment:
            execution = await environment.start(Random, {"program": program})
            await execution.signal("go")
            try:
                result = await execution.result()
            except ExecutionNotCompleted as error:
                result = str(error.failure)
            history = await execution.history()
            history.replay(Random)
            scheduled = {event["seq"] for event in history.of_kind("activity_scheduled")}
            outcomes = [*history.of_kind("activity_completed"), *history.of_kind("activity_failed")]
            counted = Counter(event["seq"] for event in outcomes)
            assert set(counted) <= scheduled, "an outcome of what nobody has asked for"
            assert all(count == 1 for count in counted.values()), "an outcome that is recorded twice"
            assert history.kinds[-1] in {"execution_completed", "execution_failed"}
            return result, environment.commits

    return run_in_virtual_time(run())


@pytest.mark.slow
@pytest.mark.timeout(240)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS, st.data())
def test_program_when_workers_die_at_random_then_it_ends_as_if_none_had(program: Program, data: st.DataObject) -> None:
    """Replay equals live, every outcome is recorded once, and the history replays (design, invariants)."""
    quiet, commits = ended(program)
    assert ended(program, always_replay=True)[0] == quiet
    crashes = data.draw(st.sets(st.integers(1, commits + 2), max_size=3), label="crashes")
    assert ended(program, crashes=crashes)[0] == quiet
    assert ended(program, crashes=crashes, always_replay=True)[0] == quiet
