"""What workflow code can do, live from the cache and replayed from history at every task."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante_core.domain.history.transitions import ExecutionStatus
from tests.integration.scenarios import ACTIVITIES, ALL, IS_BROKEN, RUNS
from tests.support.direct import Installation

MODES = {"live": 1000, "always-replay": 0}

Scenario = Callable[[Installation], Coroutine[Any, Any, None]]


@asynccontextmanager
async def installation(
    tmp_path: Path, cached: int, *, workers: int = 1, fail_on_errors: bool = False
) -> AsyncIterator[Installation]:
    """An installation with workers."""
    place = Installation(tmp_path)
    async with place.running():
        if workers == 1:
            async with place.worker(ALL, ACTIVITIES, max_cached_workflows=cached, fail_on_errors=fail_on_errors):
                yield place
        else:
            async with (
                place.worker(ALL, ACTIVITIES, max_cached_workflows=cached, worker_name="w1"),
                place.worker(ALL, ACTIVITIES, max_cached_workflows=cached, worker_name="w2"),
            ):
                yield place


@pytest.fixture(params=MODES, ids=list(MODES))
def cached(request: pytest.FixtureRequest) -> int:
    """How many runs a worker keeps: all of them, or none."""
    return MODES[request.param]


def test_chain_when_run_then_each_activity_ran_once(tmp_path: Path, cached: int) -> None:
    """Invariant 3: an activity whose outcome is recorded never runs again."""

    async def scenario() -> None:
        async with installation(tmp_path, cached) as place:
            key = uuid4().hex
            ended = await place.result(await place.start("scenario-chain", {"key": key, "length": 30}))
            assert ended.ending.result == {"result": 30}
            assert {RUNS[f"{key}/{number}"] for number in range(30)} == {1}

    asyncio.run(scenario())


@pytest.mark.slow
def test_fan_when_wider_than_the_slots_then_all_results_arrive(tmp_path: Path, cached: int) -> None:
    """Activities of one run go in place and through the queue as there is room, and each counts once."""

    async def scenario() -> None:
        async with installation(tmp_path, cached, workers=2) as place:
            key = uuid4().hex
            ended = await place.result(await place.start("scenario-fan", {"key": key, "width": 300}))
            assert ended.ending.result == {"result": [2 * number for number in range(300)]}
            assert {RUNS[f"{key}/{number}"] for number in range(300)} == {1}

    asyncio.run(scenario())


def test_waits_when_replayed_or_not_then_the_same_things_happen(tmp_path: Path, cached: int) -> None:
    """Timers, time limits, conditions and activity timeouts are durable and deterministic."""

    async def scenario() -> None:
        async with installation(tmp_path, cached) as place:
            key = uuid4().hex
            ended = await place.result(await place.start("scenario-waits", {"key": key}))
            assert ended.ending.result == {"result": ["slept", "gave up waiting", "timeout", f"{key}/plain"]}

    asyncio.run(scenario())


@pytest.mark.parametrize(("failures", "status"), [(0, "COMPLETED"), (2, "COMPLETED"), (3, "FAILED")])
def test_activity_when_it_fails_then_it_is_tried_as_often_as_its_policy_says(
    tmp_path: Path, cached: int, failures: int, status: str
) -> None:
    """Attempts count the first one; after the last one the error reaches the workflow, and fails the execution."""

    async def scenario() -> None:
        async with installation(tmp_path, cached) as place:
            key = uuid4().hex
            ended = await place.result(await place.start("scenario-retries", {"key": key, "failures": failures}))
            assert ended.status == ExecutionStatus(status)
            assert RUNS[key] == min(failures + 1, 3)

    asyncio.run(scenario())


def test_random_values_when_replayed_then_they_are_the_same(tmp_path: Path, cached: int) -> None:
    """Random numbers and UUIDs are seeded by the run; other values on replay would be another path."""

    async def scenario() -> None:
        async with installation(tmp_path, cached) as place:
            ended = await place.result(await place.start("scenario-random", {"key": uuid4().hex}))
            assert ended.ending.result == {"result": True}

    asyncio.run(scenario())


def test_workflow_error_when_raised_then_the_execution_fails_with_it(tmp_path: Path, cached: int) -> None:
    """A WorkflowError is an outcome, not a bug."""

    async def scenario() -> None:
        async with installation(tmp_path, cached) as place:
            ended = await place.result(await place.start("scenario-fails", {"key": uuid4().hex}))
            assert (ended.status, ended.ending.failure.message) == (ExecutionStatus.FAILED, "on purpose")

    asyncio.run(scenario())


def test_bug_when_it_is_mended_then_the_run_carries_on_and_no_activity_ran_again(tmp_path: Path, cached: int) -> None:
    """An ordinary exception leaves the run open; outcomes had by then are recorded, whatever the code made of them."""

    async def scenario() -> None:
        async with installation(tmp_path, cached) as place:
            IS_BROKEN["yes"] = True
            key = uuid4().hex
            execution = await place.start("scenario-bug", {"key": key})
            while (history := await place.history(execution))["workflow_task_failure"] is None:
                await asyncio.sleep(0.01)
            assert history["status"] == "RUNNING"
            assert history["workflow_task_failure"]["failure"]["type"] == "KeyError"
            IS_BROKEN["yes"] = False
            ended = await place.result(execution)
            assert ended.ending.result == {"result": 2 + 4 + 6}
            assert {RUNS[f"{key}/{number}"] for number in (1, 2, 3)} == {1}
            assert (await place.history(execution))["workflow_task_failure"] is None

    asyncio.run(scenario())


def test_bug_when_the_worker_is_told_to_fail_on_errors_then_the_execution_fails_with_it(tmp_path: Path, cached: int) -> None:
    """SDK contract §4: DANGEROUSLY_FORCE_FAIL_WORKFLOW_ON_ERROR."""

    async def scenario() -> None:
        async with installation(tmp_path, cached, fail_on_errors=True) as place:
            IS_BROKEN["yes"] = True
            ended = await place.result(await place.start("scenario-bug", {"key": uuid4().hex}))
            IS_BROKEN["yes"] = False
            assert (ended.status, ended.ending.failure.type) == (ExecutionStatus.FAILED, "KeyError")

    asyncio.run(scenario())


@pytest.mark.slow
def test_many_executions_when_two_workers_share_them_then_all_complete(tmp_path: Path, cached: int) -> None:
    """Workers of a deployment are interchangeable, whoever has what in its cache."""

    async def scenario() -> None:
        async with installation(tmp_path, cached, workers=2) as place:
            key = uuid4().hex
            started = [await place.start("scenario-chain", {"key": f"{key}/{number}", "length": 3}) for number in range(60)]
            for execution in started:
                assert (await place.result(execution)).ending.result == {"result": 3}

    asyncio.run(scenario())


@pytest.mark.slow
def test_worker_when_killed_again_and_again_then_history_stays_right(tmp_path: Path, cached: int) -> None:
    """Invariants 3, 4 and 7: whatever line a worker dies at, the next one carries on and recorded steps are not repeated."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running():
            key = uuid4().hex
            execution, kills = "", 0
            while not execution or (await place.history(execution))["status"] == "RUNNING":
                async with place.worker(ALL, ACTIVITIES, max_cached_workflows=cached) as worker:
                    execution = execution or await place.start("scenario-chain", {"key": key, "length": 40})
                    begun = sum(RUNS[f"{key}/{number}"] for number in range(40))
                    while not await place.is_closed(execution):
                        if sum(RUNS[f"{key}/{number}"] for number in range(40)) >= begun + 3:
                            place.kill(worker)
                            kills += 1
                            break
                        await asyncio.sleep(0)
            history = await place.history(execution)
            completed = [event["seq"] for event in history["events"] if event["kind"] == "activity_completed"]
            assert completed == sorted(set(completed))
            assert history["status"] == "COMPLETED"
            assert kills >= 5
            assert sum(RUNS[f"{key}/{number}"] for number in range(40)) <= 40 + 2 * kills

    asyncio.run(scenario())
