"""Executions that are paused and resumed, at any time: nothing is recorded meanwhile, and nothing lost or done twice."""

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from levante.testing import ExecutionNotCompleted, WorkflowEnvironment, run_in_virtual_time
from tests.behaviour.driving import Driver, Refused
from tests.behaviour.modes import Memory
from tests.behaviour.random_programs import PACE, PROGRAMS, Child, Program, Random, hopeless, queued, step
from tests.support.forms import either

Pauses = Sequence[tuple[float, float]]
"""Seconds until a pause, and how long it is."""


SECONDS = 0.05
"""Each unit of an activity's value takes so long."""


@pytest.fixture(autouse=True)
def _slowly() -> Iterator[None]:
    PACE.seconds = SECONDS
    yield
    PACE.seconds = 0.0


def ended(
    program: Program, pauses: Pauses = (), *, always_replay: bool = False, crashes: Collection[int] = ()
) -> tuple[Any, int]:
    """Run a program, and pause it. Returns its result, or what it failed with, and how many commits that took."""

    async def run() -> tuple[Any, int]:
        PACE.ended.clear()
        async with WorkflowEnvironment(
            [Random, Child], activities=[step, queued, hopeless], always_replay=always_replay, crashes=crashes
        ) as environment:
            execution = await environment.start(Random, {"program": program})
            await execution.signal("go")
            pausing = asyncio.create_task(paused(Driver(Memory(environment), execution.id), pauses))
            try:
                result = await execution.result()
            except ExecutionNotCompleted as error:
                result = str(error.failure)
            await pausing
            history = await execution.history()
            history.replay(Random)
            return result, environment.commits

    return run_in_virtual_time(run())


async def paused(driver: Driver, pauses: Pauses) -> None:
    """Pause an execution for a while, again and again, and see that nothing is recorded of it meanwhile."""
    for before, long in pauses:
        await driver.place.sleep(before)
        with suppress(Refused):
            await driver.call("pause", {"reason": "a test"})
            seen = await driver.kinds()
            await driver.place.sleep(long)
            assert set((await driver.kinds())[len(seen) :]) <= {"activity_handed_over"}
            state = await driver.get()
            assert (state["status"], state["blockers"][0]["kind"]) == ("RUNNING", "paused")
            explained = await driver.place.call("GET", f"/v1/workflows/executions/{driver.execution_id}/explain")
            assert (explained["waits"][0]["kind"], explained["waits"][0]["remedies"]) == ("paused", ["resume"])
            await driver.call("resume", {})


TIMES = st.floats(0, 3, allow_nan=False)
PAUSES = st.lists(st.tuples(TIMES, TIMES.map(lambda seconds: seconds + 1.1)), min_size=1, max_size=3)


@pytest.mark.slow
@pytest.mark.timeout(240)
@settings(max_examples=either(short=8, full=100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAMS, PAUSES, st.data())
def test_program_when_paused_at_random_then_it_ends_as_if_it_had_not_been(
    program: Program, pauses: Pauses, data: st.DataObject
) -> None:
    """A live worker's work is not done twice; nor does it matter who dies meanwhile."""
    quiet, commits = ended(program)
    assert ended(program, pauses)[0] == quiet
    assert set(PACE.ended.values()) <= {1}
    assert ended(program, pauses, always_replay=True)[0] == quiet
    crashes = data.draw(st.sets(st.integers(1, commits + 2), max_size=2), label="crashes")
    assert ended(program, pauses, crashes=crashes)[0] == quiet
