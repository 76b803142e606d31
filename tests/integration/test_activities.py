"""What activities say while they run, and what they are told: heartbeats, being given up, limits of time and rate."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante.context import ActivityInfo
from levante_local.greenlets import call
from tests.integration.activity_workflows import ACTIVITIES, RELEASED, SEEN, WORKFLOWS
from tests.support.direct import WORKSPACE, Installation

MODES = {"live": 1000, "always-replay": 0}

Scenario = Callable[[Installation, str], Awaitable[None]]


@pytest.fixture(params=MODES, ids=list(MODES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario, with a label of its own, on an installation with a worker that keeps all runs, or none."""

    async def within(scenario: Scenario) -> None:
        place = Installation(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, max_cached_workflows=MODES[request.param]):
            await scenario(place, uuid4().hex)

    return lambda scenario: asyncio.run(within(scenario))


async def outcome(place: Installation, kind: str, label: str, **given: Any) -> Any:
    """Run one of the activities; return how the execution ended."""
    execution = await place.start("activities-one", {"kind": kind, "label": label, **given})
    return (await place.result(execution)).ending


# --- heartbeats -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_long", [False, True], ids=["in place", "from the queue"])
@pytest.mark.parametrize("stop_after", [3, -3], ids=["silent", "failed"])
def test_attempt_when_it_falls_silent_or_fails_then_the_next_one_goes_on_where_it_was(
    run: Callable[[Scenario], None], stop_after: int, *, is_long: bool
) -> None:
    """The last heartbeat of an attempt that failed is never lost, however short ago the one before it was sent."""

    async def scenario(place: Installation, label: str) -> None:
        if is_long:
            place.believe_long("copy_rows")
        ended = await outcome(place, "copy", label, rows=6, stop_after=stop_after)
        assert ended.result == {"result": 6}
        assert SEEN[label] == [(1, 0), (2, 3)]

    run(scenario)


def test_attempt_when_its_worker_is_killed_then_the_next_one_knows_how_far_it_was(tmp_path: Path) -> None:
    """The first heartbeat is sent at once; later ones every now and then."""

    async def scenario() -> None:
        place, label = Installation(tmp_path), uuid4().hex
        async with place.running():
            async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                place.believe_long("copy_rows")
                execution = await place.start("activities-one", {"kind": "copy", "label": label, "rows": 6, "stop_after": 1})
                while not place.api.calls["/workers/activity-heartbeats"]:
                    await asyncio.sleep(0.005)
                await place.settled()
                place.kill(worker)
            async with place.worker(WORKFLOWS, ACTIVITIES):
                assert (await place.result(execution)).ending.result == {"result": 6}
        assert SEEN[label] == [(1, 0), (2, 1)]

    asyncio.run(scenario())


def test_function_when_it_is_not_async_then_heartbeats_come_from_its_thread(run: Callable[[Scenario], None]) -> None:
    """It may take much longer than the timeout as long as it says something."""

    async def scenario(place: Installation, label: str) -> None:
        assert (await outcome(place, "thread", label, rows=6)).result == {"result": "done"}
        assert SEEN[label] != ["MainThread"]

    run(scenario)


def test_heartbeats_when_they_are_many_then_few_are_sent(run: Callable[[Scenario], None]) -> None:
    """The first one, and then one in a while: a loop may call it for each row."""

    async def scenario(place: Installation, label: str) -> None:
        assert (await outcome(place, "copy", label, rows=500, stop_after=1000)).result == {"result": 500}
        assert place.api.calls["/workers/activity-heartbeats"] == 1

    run(scenario)


# --- given up ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_long", [False, True], ids=["in place", "from the queue"])
def test_activity_when_the_workflow_gives_it_up_then_it_is_cancelled_and_may_clean_up(
    run: Callable[[Scenario], None], *, is_long: bool
) -> None:
    """In place at once; from the queue with its next heartbeat."""

    async def scenario(place: Installation, label: str) -> None:
        if is_long:
            place.believe_long("until_given_up")
        execution = await given_up(place, label)
        while SEEN[label] != ["began", "cleaned up"]:
            await asyncio.sleep(0.01)
        assert (await place.result(execution)).ending.result == {"result": "gave up"}

    run(scenario)


async def given_up(place: Installation, label: str, **given: Any) -> str:
    """Start an execution, and let it give up its activity once that has begun."""
    execution = await place.start("activities-give-up", {"label": label, **given})
    while not SEEN[label]:
        await asyncio.sleep(0.01)
    await call(place.engine.messages.signal, WORKSPACE, execution, "enough", {})
    return execution


def test_activity_when_it_is_given_up_before_it_began_then_it_never_begins(tmp_path: Path) -> None:
    """Its message is dropped, also one that comes late."""

    async def scenario() -> None:
        place, label = Installation(tmp_path), uuid4().hex
        async with place.running(), place.worker(WORKFLOWS, [], max_concurrent_activities=1):
            execution = await place.start("activities-give-up", {"label": label})
            while not any(event["kind"] == "activity_scheduled" for event in await events(place, execution)):
                await asyncio.sleep(0.01)
            await call(place.engine.messages.signal, WORKSPACE, execution, "enough", {})
            assert (await place.result(execution)).ending.result == {"result": "gave up"}
        assert SEEN[label] == []

    asyncio.run(scenario())


async def events(place: Installation, execution: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await place.history(execution))["events"]
    return found


def test_activity_when_it_sends_no_heartbeat_then_it_runs_on_and_its_outcome_is_void(tmp_path: Path) -> None:
    """From the queue: nobody can tell it anything; what it returns changes nothing."""

    async def scenario() -> None:
        place, label = Installation(tmp_path), uuid4().hex
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES):
            place.believe_long("until_released")
            execution = await given_up(place, label, is_silent=True)
            assert (await place.result(execution)).ending.result == {"result": "gave up"}
            before = await events(place, execution)
            RELEASED.add(label)
            while not place.api.calls["/workers/activity-reports"]:
                await asyncio.sleep(0.01)
            assert await events(place, execution) == before
            assert SEEN[label] == ["began"]

    asyncio.run(scenario())


# --- limits -----------------------------------------------------------------------------------------------------------


def test_activity_when_all_attempts_together_take_too_long_then_the_workflow_gets_an_error(
    run: Callable[[Scenario], None],
) -> None:
    """However many attempts it still has."""

    async def scenario(place: Installation, label: str) -> None:
        failure = (await outcome(place, "overdue", label)).failure
        assert failure.type == "ActivityError"
        assert "no outcome after 1.8 s" in failure.message
        assert SEEN[label] == [1, 2], "the third would begin after 3 s"

    run(scenario)


def test_activities_when_their_rate_is_limited_then_they_begin_one_after_the_other(tmp_path: Path) -> None:
    """Over all workers; 20 in a second are one each 50 ms."""

    async def scenario() -> None:
        place, label = Installation(tmp_path), uuid4().hex
        async with (
            place.running(),
            place.worker(WORKFLOWS, ACTIVITIES),
            place.worker(WORKFLOWS, ACTIVITIES, worker_name="other"),
        ):
            assert (await outcome(place, "limited", label, rows=12)).failure is None
        begun = sorted(SEEN[label])
        assert len(begun) == 12
        assert begun[-1] - begun[0] >= 10 * 0.05, "the first one may have begun late"
        gaps = [later - earlier for earlier, later in pairwise(begun)]
        assert sum(gap > 0.01 for gap in gaps) > len(gaps) / 2, "spread, but for those that a busy machine let wait"

    asyncio.run(scenario())


def test_activities_when_they_are_local_then_none_goes_through_the_queue(run: Callable[[Scenario], None]) -> None:
    """However long they are believed to take, and however many there are."""

    async def scenario(place: Installation, label: str) -> None:
        place.believe_long("where")
        execution = await place.start("activities-one", {"kind": "local", "label": label, "rows": 150})
        assert (await place.result(execution)).ending.failure is None
        assert len(SEEN[label]) == 150
        scheduled = [event for event in await events(place, execution) if event["kind"] == "activity_scheduled"]
        assert all(event["owner"] for event in scheduled)

    run(scenario)


def test_info_when_asked_for_then_it_says_which_attempt_this_is(run: Callable[[Scenario], None]) -> None:
    """The id is the same for all attempts of an activity."""

    async def scenario(place: Installation, label: str) -> None:
        execution = await place.start("activities-one", {"kind": "where", "label": label})
        ended = await place.result(execution)
        (info,) = SEEN[label]
        assert isinstance(info, ActivityInfo)
        assert (info.execution_id, info.run_id) == (execution, ended.key.run_id)
        assert (info.activity_name, info.activity_id, info.attempt) == ("where", f"{info.run_id}:1", 1)
        assert info.start_to_close_timeout.total_seconds() == 300

    run(scenario)
