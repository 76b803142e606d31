"""How a worker stops, and the sticky session that it may open."""

import asyncio
from datetime import timedelta
from typing import NoReturn

import pytest

from levante.testing import run_in_virtual_time
from levante.worker.service import CLEANUP_SECONDS, END_SECONDS, GIVING_UP_SECONDS, LAST_SECONDS
from levante.worker.transport.api import ApiError
from levante_core.protocol import (
    ActivityHandedOver,
)
from levante_core.protocol.workers import HandBack
from tests.unit.levante.worker.runs.flows import RAN, Basket, Chain, Tidy
from tests.unit.levante.worker.runs.holding import until
from tests.unit.levante.worker.serving import ACTIVITY, WORKFLOW, Serving, activity, run


def test_stop_when_activities_end_in_time_then_their_outcomes_are_recorded() -> None:
    """They have DRAIN_SECONDS; meanwhile nothing more is taken, and leases are kept."""

    async def scenario(serving: Serving) -> None:
        serving.tasks.give(ACTIVITY, activity(serving, 14.0))
        await serving.give(serving.first(), seconds=0.5)
        serving.stop.set()
        await asyncio.sleep(1)
        polls = list(serving.tasks.polls)
        serving.tasks.give(WORKFLOW, serving.first("late", execution_id="2", run_id="2"))
        await serving.running
        assert serving.tasks.polls == polls
        assert serving.tasks.waiting[WORKFLOW].qsize() == 1
        assert [report.result for report in serving.api.reports] == ["queued"]
        assert RAN == ["queued", "a"]
        kinds = [kind for batch in serving.api.kinds for kind in batch]
        assert kinds == ["activity_scheduled", "activity_completed", "activity_scheduled"]
        assert serving.tasks.extended
        assert (serving.tasks.handed_back, serving.tasks.is_closed) == ([], True)

    run(Chain, scenario, {"steps": ["a", "b"], "seconds": 0.9}, drain_seconds=20.0)


def test_stop_when_activities_do_not_end_in_time_then_others_make_the_same_attempts() -> None:
    """In place or from the queue, they are stopped, clean up, and are handed back; no attempt is charged."""

    async def scenario(serving: Serving) -> None:
        serving.tasks.give(ACTIVITY, activity(serving, 1000.0))
        await serving.give(serving.first())
        began = serving.now
        serving.stop.set()
        await serving.running
        assert timedelta(seconds=5) <= serving.now - began <= timedelta(seconds=5 + END_SECONDS)
        assert sorted(RAN) == ["a", "a cancelled", "queued", "queued cancelled"]
        assert serving.api.reports == []
        assert serving.tasks.handed_back == [(ACTIVITY, HandBack(receipt="task", token="attempt"))]
        (handed,) = (event for event in serving.api.events if isinstance(event, ActivityHandedOver))
        assert (handed.activity, handed.attempt, handed.delay_seconds) == (1, 1, 0.0)
        assert serving.ended == ["first"]
        assert serving.worker._cache._runs == {}

    run(Chain, scenario, {"steps": ["a"], "seconds": 1000.0}, drain_seconds=5.0)


@pytest.mark.parametrize(
    ("seconds", "deaf_to", "ran", "within"),
    [
        pytest.param(CLEANUP_SECONDS / 2, 0, ["begins to clean up", "has cleaned up"], CLEANUP_SECONDS, id="cleans up"),
        pytest.param(100.0, 0, ["begins to clean up"], CLEANUP_SECONDS + GIVING_UP_SECONDS / 2, id="is cut off"),
        pytest.param(0.0, 3, [], CLEANUP_SECONDS + GIVING_UP_SECONDS + LAST_SECONDS, id="takes no notice"),
    ],
)
def test_stop_when_an_activity_cleans_up_then_it_has_a_second_for_that_and_is_handed_over_however_it_ends(
    seconds: float, deaf_to: int, ran: list[str], within: float
) -> None:
    """Whoever makes the attempt anew finds things tidy, or gets it without waiting for the lease to end."""

    async def scenario(serving: Serving) -> None:
        await serving.give(serving.first())
        began = serving.now
        serving.stop.set()
        await until(lambda: serving.api.commits[-1].done)
        assert (serving.now - began).total_seconds() - 5 < within
        assert ran == RAN
        (handed,) = (event for event in serving.api.events if isinstance(event, ActivityHandedOver))
        assert (handed.activity, handed.attempt) == (1, 1)
        await serving.running

    run(Tidy, scenario, {"seconds": seconds, "deaf_to": deaf_to}, drain_seconds=5.0)


def test_stop_when_calls_are_under_way_that_nobody_answers_then_the_worker_ends_all_the_same() -> None:
    """Who waits for an answer is told that none comes."""

    async def scenario(serving: Serving) -> None:
        serving.api.may_record.clear()
        await serving.give(serving.first(), serving.later(1))
        waiting = asyncio.create_task(serving.context.commits.submit(serving.api.commits[0].model_dump_json().encode()))
        began = serving.now
        serving.stop.set()
        await serving.running
        assert serving.now - began <= timedelta(seconds=5 + END_SECONDS + 1)
        await asyncio.wait([waiting], timeout=1)
        assert waiting.cancelled()

    run(Basket, scenario, drain_seconds=5.0)


def test_stop_when_it_comes_before_the_worker_has_registered_then_it_ends_at_once() -> None:
    """It has taken no task."""

    async def within() -> None:
        serving = Serving(Chain)
        serving.api.register = hang  # type: ignore[method-assign,assignment] # nobody answers
        await asyncio.sleep(60)
        serving.stop.set()
        began = serving.now
        await serving.running
        assert serving.now == began
        assert serving.tasks.polls == []

    async def hang(_: object) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError

    run_in_virtual_time(within())


def test_worker_when_its_registration_is_refused_then_it_ends_with_that() -> None:
    """The error says what is wrong with what it serves."""

    async def within() -> None:
        serving = Serving(Chain)
        serving.api.trouble["/register"] = [ApiError(422, "no such workspace")]
        with pytest.raises(ApiError, match="no such workspace"):
            await serving.running

    run_in_virtual_time(within())


# --- sticky sessions --------------------------------------------------------------------------------------------------


def test_session_when_an_activity_opens_it_then_tasks_of_its_own_come_to_this_worker() -> None:
    """From a queue of its own, once; their leases are kept, and what is stopped goes back to that queue."""

    async def scenario(serving: Serving) -> None:
        session = serving.runner.session.open()
        assert session == serving.runner.session.open() == serving.runner.session.name
        await asyncio.sleep(0.1)
        ((name, pool),) = serving.pools.items()
        assert name.session == session
        assert len(pool.polls) == 1
        pool.give(ACTIVITY, activity(serving, 1000.0, "sticky"))
        await asyncio.sleep(25)
        assert pool.extended == [(ACTIVITY, ("sticky",))] * 2
        await serving.worker._renew_leases()
        assert len(pool.extended) == 3
        polls = len(pool.polls)
        serving.stop.set()
        await serving.running
        assert len(pool.polls) == polls
        assert [one.receipt for _, one in pool.handed_back] == ["sticky"]
        assert serving.tasks.handed_back == []

    run(Chain, scenario, {"steps": ["a"]}, drain_seconds=1.0)
