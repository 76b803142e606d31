"""Random programs over the constructs of the programming model, with random crashes: the end is that of a quiet run."""

import os
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levante.testing import ExecutionNotCompleted, WorkflowEnvironment, run_in_virtual_time
from tests.behaviour.random_programs import PROGRAMS, Child, Program, Random, hopeless, queued, step
from tests.support.forms import either

EXAMPLES = int(os.environ.get("LEVANTE_RANDOM_PROGRAMS") or either(short=8, full=40))
"""A night's worth: LEVANTE_RANDOM_PROGRAMS=5000 and a longer --timeout."""


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
