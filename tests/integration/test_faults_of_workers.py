"""Workers that are cut off, killed and replaced while everything else fails as well. Everything completes, once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest

from levante.testing.virtual_time import run_in_virtual_time
from tests.integration.faults_scenarios import (
    ACTIVITIES,
    WORKFLOWS,
    assert_completed_once,
    events_of,
    labels_of,
    new_key,
    note_outcomes,
    runs_of,
)
from tests.support.faults import Fate, RandomFaults
from tests.support.faulty_installation import FaultyInstallation
from tests.support.forms import spread

pytestmark = pytest.mark.slow

LONG_SECONDS = 50.0
"""Longer than a lease that nobody extends."""


@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "queue"])
def test_activity_when_its_worker_is_cut_off_beyond_its_lease_then_another_runs_it_and_one_outcome_counts(
    tmp_path: Path, *, in_place: bool
) -> None:
    """A message comes again when its lease ends, and the first worker, late, changes nothing: its report is stale."""

    async def scenario() -> None:
        place = FaultyInstallation(tmp_path, fast_path=True)
        place.store.listen(note_outcomes)
        key = new_key()
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, worker_name="first") as first:
            if not in_place:
                place.believe_long("faults-step")
            execution = await place.start("faults-chain", {"key": key, "length": 2, "seconds": LONG_SECONDS})
            await place.until(lambda: runs_of(key), "the first activity is entered")
            await asyncio.sleep(5)
            place.line_of(first).is_cut = True
            async with place.worker(WORKFLOWS, ACTIVITIES, worker_name="second"):
                await place.until(lambda: runs_of(key).get("0") == 2, "another worker runs it")
                await asyncio.sleep(LONG_SECONDS / 2)
                place.line_of(first).is_cut = False
                await assert_completed_once(place, execution, labels_of(key, [0, 1]))
                assert runs_of(key) == {"0": 2, "1": 1}
                scheduled = events_of(await place.history(execution), "activity_scheduled")
                assert [event["seq"] for event in scheduled] == [1, 2]

    run_in_virtual_time(scenario())


def has_entered(key: str, count: int) -> bool:
    """Whether activities of an execution were entered so often."""
    return sum(runs_of(key).values()) >= count


def test_execution_when_every_worker_is_killed_in_turn_then_the_next_goes_on_when_the_lease_ends(tmp_path: Path) -> None:
    """A worker may die at any moment without anybody being told: only what it was doing is done again."""

    async def scenario() -> None:
        place = FaultyInstallation(tmp_path, fast_path=True)
        place.store.listen(note_outcomes)
        key, length, deaths = new_key(), 6, 4
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES):
                execution = await place.start("faults-chain", {"key": key, "length": length, "seconds": 10})
            for _ in range(deaths):
                goal = sum(runs_of(key).values()) + 1
                async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                    await place.until(partial(has_entered, key, goal), "one more is entered")
                    await asyncio.sleep(5)
                    place.kill(worker)
            async with place.worker(WORKFLOWS, ACTIVITIES):
                await assert_completed_once(place, execution, labels_of(key, range(length)))
            assert sum(runs_of(key).values()) <= length + deaths + 1

    run_in_virtual_time(scenario())


EVERYTHING_FAILS = {
    "read": {Fate.REFUSED: 0.02},
    "write": {Fate.REFUSED: 0.05, Fate.UNANSWERED: 0.05},
    "send": {Fate.REFUSED: 0.05, Fate.UNANSWERED: 0.05, Fate.LOST: 0.05, Fate.DOUBLED: 0.05, Fate.LATE: 0.05},
    "receive": {Fate.REFUSED: 0.05, Fate.UNANSWERED: 0.05},
    "extend": {Fate.REFUSED: 0.1, Fate.UNANSWERED: 0.1},
    "delete": {Fate.REFUSED: 0.1, Fate.UNANSWERED: 0.1},
    "invoke": {Fate.REFUSED: 0.1, Fate.UNANSWERED: 0.1},
}


@asynccontextmanager
async def dying_again_and_again(place: FaultyInstallation, random: Random) -> AsyncIterator[None]:
    """Let one worker after the other be killed inside the block."""

    async def die() -> None:
        while True:
            async with place.worker(WORKFLOWS, ACTIVITIES, worker_name="mortal") as mortal:
                await asyncio.sleep(random.uniform(1, 60))
                place.kill(mortal)

    dying = asyncio.create_task(die())
    try:
        yield
    finally:
        dying.cancel()
        await asyncio.gather(dying, return_exceptions=True)


@pytest.mark.parametrize("seed", spread(range(8), 2))
def test_installation_when_everything_fails_at_times_and_workers_die_then_everything_completes_once(
    tmp_path: Path, seed: int
) -> None:
    """Two dispatchers, two sweeps, two workers of which one is killed again and again, and no operation can be relied on."""

    async def scenario() -> None:
        faults = RandomFaults(seed, EVERYTHING_FAILS)
        place = FaultyInstallation(tmp_path, faults, fast_path=bool(seed % 2), dispatchers=2, sweeps=2)
        place.store.listen(note_outcomes)
        expected: dict[str, list[str]] = {}
        async with (
            place.running(),
            place.worker(WORKFLOWS, ACTIVITIES, worker_name="immortal"),
            dying_again_and_again(place, Random(seed)),  # noqa: S311 - chooses moments, keeps no secrets
        ):
            for _ in range(3):
                key = new_key()
                expected[await place.start("faults-line", {"key": key})] = labels_of(key, "abc")
            key = new_key()
            expected[await place.start("faults-fan", {"key": key, "width": 6})] = labels_of(key, range(6))
            key = new_key()
            sleeper = await place.start("faults-sleeper", {"key": key, "seconds": 1200})
            expected[sleeper] = labels_of(key, ["before", "after"])
            for execution, labels in expected.items():
                await assert_completed_once(place, execution, labels)
        assert faults.met.total() >= 50

    run_in_virtual_time(scenario())
