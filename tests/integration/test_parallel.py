"""Many items in parallel: live from the cache, and replayed at every task."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levante.replay import run as replay_run
from levante_core.domain.history.transitions import ExecutionStatus
from levante_local.greenlets import call
from tests.integration.parallel_workflows import ACTIVITIES, ENDED, MOST_AT_ONCE, RUNS, WORKFLOWS
from tests.support.direct import WORKSPACE, Installation

MODES = {"live": 1000, "always-replay": 0}
FORMS = ["list", "chain", "offset"]


class Place(Installation):
    """An installation, and the technical children of its executions."""

    async def child_of(self, execution: str) -> str:
        """Return the id of the child, once it is there."""
        while True:
            history = await self.history(execution)
            for event in history["events"]:
                if event["kind"] == "child_scheduled" and await self.find(event["execution_id"]):
                    return str(event["execution_id"])
            await asyncio.sleep(0)

    async def scheduled(self, execution: str) -> Counter[str]:
        """Count the activities of the last run of the child, by name."""
        history = await self.history(await self.child_of(execution))
        return Counter(event["name"] for event in history["events"] if event["kind"] == "activity_scheduled")


Scenario = Callable[[Place], Awaitable[None]]


@pytest.fixture(params=MODES, ids=list(MODES))
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Run a scenario on an installation with a worker that keeps all runs, or none."""

    async def within(scenario: Scenario) -> None:
        place = Place(tmp_path)
        async with place.running(), place.worker(WORKFLOWS, ACTIVITIES, max_cached_workflows=MODES[request.param]):
            await scenario(place)

    return lambda scenario: asyncio.run(within(scenario))


def handled(label: str, count: int) -> list[int]:
    """Return how often each of the items was handled."""
    return [ENDED[f"{label}/{number}"] for number in range(count)]


@pytest.mark.parametrize("form", FORMS)
def test_items_when_all_go_well_then_results_keep_their_order(run: Callable[[Scenario], None], form: str) -> None:
    """Each item is handled once, and the result is a list of what the activity returns."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        ended = await place.result(await place.start("parallel-all", {"label": label, "count": 12, "form": form}))
        assert ended.ending.result == {"result": [number * 10 for number in range(12)]}
        assert handled(label, 12) == [1] * 12

    run(scenario)


def test_items_when_mappings_or_none_or_nothing_comes_back_then_that_is_what_is_returned(
    run: Callable[[Scenario], None],
) -> None:
    """Several parameters are given by name; an activity that returns None gives None; no items give no results."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        ended = await place.result(await place.start("parallel-parts", {"label": label}))
        assert ended.ending.result == {"result": {"numbers": [0, 10, 20, 30, 40], "nothing": None, "empty": []}}
        assert handled(label, 8) == [1] * 8

    run(scenario)


@pytest.mark.parametrize("limit", [1, 3])
def test_list_when_it_is_limited_then_no_more_run_at_once(run: Callable[[Scenario], None], limit: int) -> None:
    """max_concurrent_scheduled_tasks holds at any moment, and is made use of."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        await place.result(await place.start("parallel-all", {"label": label, "count": 10, "limit": limit}))
        assert handled(label, 10) == [1] * 10
        assert MOST_AT_ONCE[label] == limit

    run(scenario)


def test_offsets_when_grouped_then_the_first_run_alone_and_others_in_groups(run: Callable[[Scenario], None]) -> None:
    """Three items are measured; groups have at most max_concurrent_executions_per_worker items."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        given = {"label": label, "count": 14, "form": "offset", "per_worker": 4, "limit": 1}
        execution = await place.start("parallel-all", given)
        await place.result(execution)
        history = await place.history(await place.child_of(execution))
        sizes = [
            (event["input"]["group"]["first"], event["input"]["group"]["count"])
            for event in history["events"]
            if event["kind"] == "activity_scheduled"
        ]
        assert sizes == [(0, 1), (1, 1), (2, 1), (3, 4), (7, 4), (11, 3)]
        assert handled(label, 14) == [1] * 14

    run(scenario)


def test_offsets_when_an_item_fails_once_then_its_whole_group_is_repeated(run: Callable[[Scenario], None]) -> None:
    """A group is one attempt; other groups are not touched."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        given = {"label": label, "count": 11, "form": "offset", "per_worker": 4, "fates": {"5": "stumble"}}
        ended = await place.result(await place.start("parallel-all", given))
        assert ended.ending.result == {"result": [number * 10 for number in range(11)]}
        assert [RUNS[f"{label}/{number}"] for number in range(11)] == [1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]

    run(scenario)


def test_item_when_it_does_not_fit_then_its_number_is_told_before_anything_runs(run: Callable[[Scenario], None]) -> None:
    """Validated up front, not to be retried: no child is started."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        execution = await place.start("parallel-misfit", {"label": label})
        ended = await place.result(execution)
        assert ended.status is ExecutionStatus.FAILED
        assert ended.ending.failure.message.startswith("item 1: ")
        assert "parameter 'number'" in ended.ending.failure.message
        assert ended.ending.failure.non_retryable
        assert RUNS[f"{label}/1"] == 0
        assert "child_scheduled" not in [event["kind"] for event in (await place.history(execution))["events"]]

    run(scenario)


def test_items_when_one_fails_then_the_others_are_cancelled_and_the_error_comes(run: Callable[[Scenario], None]) -> None:
    """The first failure ends the whole; what waits is never begun."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        given = {"label": label, "count": 6, "limit": 3, "fates": {"0": "hang", "1": "fail", "2": "hang"}}
        execution = await place.start("parallel-caught", given)
        assert (await place.result(execution)).ending.result == {"result": "FAILED: item 1 is broken"}
        assert handled(label, 6) == [0] * 6
        assert [RUNS[f"{label}/{number}"] for number in (3, 4, 5)] == [0, 0, 0]
        kinds = [event["kind"] for event in (await place.history(await place.child_of(execution)))["events"]]
        assert kinds.count("activity_cancel_requested") == 2
        while any(runner.free_slots < 100 for runner in place.runners):
            await asyncio.sleep(0.01)

    run(scenario)


@pytest.mark.parametrize("form", FORMS)
def test_items_when_one_is_refused_then_the_execution_fails_in_every_form(
    run: Callable[[Scenario], None], form: str
) -> None:
    """Uncaught, the error fails the execution that asked; its message is there to be read."""

    async def scenario(place: Place) -> None:
        given = {"label": uuid4().hex, "count": 9, "form": form, "fates": {"4": "refuse"}}
        ended = await place.result(await place.start("parallel-all", given))
        assert ended.status is ExecutionStatus.FAILED
        assert "item 4 is refused" in ended.ending.failure.message

    run(scenario)


def test_parallel_execution_when_its_parent_is_cancelled_then_it_ends_too(run: Callable[[Scenario], None]) -> None:
    """It is a child like any other."""

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        execution = await place.start("parallel-all", {"label": label, "count": 2, "fates": {"0": "hang", "1": "hang"}})
        child = await place.child_of(execution)
        while RUNS[f"{label}/1"] == 0:
            await asyncio.sleep(0.01)
        await call(place.engine.messages.cancel, WORKSPACE, execution)
        assert (await place.result(execution)).status is ExecutionStatus.CANCELED
        assert (await place.result(child)).status is ExecutionStatus.CANCELED

    run(scenario)


@pytest.mark.parametrize("form", FORMS)
def test_parallel_execution_when_its_history_grows_then_it_goes_on_as_new(
    run: Callable[[Scenario], None], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Results of all runs are put together, in order; no item is left out or handled twice."""
    monkeypatch.setattr(replay_run, "LONG_HISTORY", 12)

    async def scenario(place: Place) -> None:
        label = uuid4().hex
        given = {"label": label, "count": 40, "form": form, "limit": 3, "per_worker": 2}
        execution = await place.start("parallel-all", given)
        ended = await place.result(execution)
        assert ended.ending.result == {"result": [number * 10 for number in range(40)]}
        assert handled(label, 40) == [1] * 40
        assert sum((await place.scheduled(execution)).values()) < 20

    run(scenario)


@pytest.mark.parametrize("form", FORMS)
def test_parallel_execution_when_workers_are_killed_in_it_then_the_results_are_the_same(tmp_path: Path, form: str) -> None:
    """Two workers die in the middle, which each activity has attempts enough for: the outcome is the one without kills."""

    async def scenario() -> None:
        place = Place(tmp_path)
        label, execution = uuid4().hex, ""
        given: dict[str, Any] = {"label": label, "count": 60, "form": form, "limit": 4, "per_worker": 3}
        async with place.running():
            for enough in (15, 35):
                async with place.worker(WORKFLOWS, ACTIVITIES) as worker:
                    execution = execution or await place.start("parallel-all", given)
                    while sum(handled(label, 60)) < enough:
                        await asyncio.sleep(0)
                    place.kill(worker)
                assert not await place.is_closed(execution)
            async with place.worker(WORKFLOWS, ACTIVITIES):
                ended = await place.result(execution)
            assert ended.ending.result == {"result": [number * 10 for number in range(60)]}
            assert min(handled(label, 60)) >= 1

    asyncio.run(scenario())
