"""Holding a run while something is under way: timers, looks for new facts, how attempts end, and stops."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from levante.worker.activities.runner import MOMENT_SECONDS
from levante.worker.runs.driver import COMMIT_BYTES, LOOK_SECONDS
from levante.worker.runs.ledger import STOPPED
from levante_core.protocol import ActivityCompleted, ActivityHandedOver, ActivityScheduled, HistoryEvent, TimerFired
from levante_core.protocol.capabilities import Capability
from tests.support.worker_context import Held
from tests.unit.levante.worker.runs.flows import RAN, Aside, Basket, Chain, Fan, Flaky, Impatient, Timers
from tests.unit.levante.worker.runs.holding import fact, holding, signal, until


def result(held: Held) -> Any:
    """Return what the run ended with."""
    return held.api.events[-1].model_dump()["result"]["result"]


def handed_over(events: list[HistoryEvent]) -> list[ActivityHandedOver]:
    """Return what was left to the queue."""
    return [event for event in events if isinstance(event, ActivityHandedOver)]


# --- under way --------------------------------------------------------------------------------------------------------


def test_activity_when_it_runs_for_longer_than_a_moment_then_its_start_is_recorded_meanwhile() -> None:
    """So that who looks at the history sees it, and a takeover knows what ran."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await asyncio.sleep(MOMENT_SECONDS / 2)
        assert held.api.batches == []
        await asyncio.sleep(MOMENT_SECONDS)
        assert held.api.kinds == [["activity_scheduled"]]
        assert held.api.commits[0].done == ()
        assert await begun
        assert held.api.kinds == [["activity_scheduled"], ["activity_completed", "execution_completed"]]
        assert RAN == ["a"]

    holding(Chain, {"steps": ["a"], "seconds": 0.9})(scenario)


def test_run_when_an_activity_is_under_way_then_new_facts_are_looked_for_each_second() -> None:
    """Only for what it does not have: after its last batch, from its first open command and its next message on."""

    async def scenario(held: Held) -> None:
        begun = held.beginning(fact(1, held.now))
        await asyncio.sleep(4.5 * LOOK_SECONDS)
        assert len(held.api.loads) == 4
        asked = held.api.loads[-1]
        assert (asked.after_index, asked.open_from, asked.mail_from) == (1, 1, 2)
        held.api.fact("M00000002", signal(2, held.now, "close", None))
        await asyncio.sleep(LOOK_SECONDS)
        assert held.api.kinds[1:] == [["mail_taken"]]
        assert await begun
        assert result(held) == ["x", "a"]

    holding(Basket, {"first": "a", "seconds": 10.0})(scenario)


def test_run_when_activities_keep_ending_then_new_facts_are_looked_for_all_the_same() -> None:
    """A signal waits for a second, however busy the run is."""

    async def scenario(held: Held) -> None:
        assert await held.begin()
        assert 4 <= len(held.api.loads) <= 5

    holding(Chain, {"steps": list("abcdefghi"), "seconds": 0.55})(scenario)


@pytest.mark.parametrize("is_closed", [False, True], ids=["went on", "ended"])
def test_look_when_somebody_else_has_advanced_the_run_then_what_is_recorded_is_gone_on_with(*, is_closed: bool) -> None:
    """Unless it is somebody else's turn, or over; what ran in place is cancelled."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        if is_closed:
            held.api.status = held.api.status.TERMINATED
        else:
            held.api.record(handed_over_by_hand())
        assert await begun is False
        assert (held.ledger is None) == is_closed
        assert RAN == ["a", "a cancelled"]
        assert held.tasks.extended

    def handed_over_by_hand() -> ActivityHandedOver:
        return ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, failure=STOPPED)

    holding(Chain, {"steps": ["a"], "seconds": 10.0})(scenario)


def test_cached_run_when_its_message_cannot_be_trusted_then_it_looks_first() -> None:
    """A message that is old, or came again, may have less than there is."""

    async def scenario(held: Held) -> None:
        await held.begin()
        held.api.fact("M00000001", signal(1, held.now))
        held.api.fact("M00000002", signal(2, held.now, "close", None))
        assert await held.advance(is_trusted=False)
        assert result(held) == ["x"]
        assert [load.after_index for load in held.api.loads] == [0]

    holding(Basket)(scenario)


def test_cached_run_when_its_message_cannot_be_trusted_then_nothing_runs_in_place_before_a_commit() -> None:
    """Its message may come a second time because of what ran in place the first time."""

    async def scenario(held: Held) -> None:
        await held.begin()
        held.api.fact("M00000001", signal(1, held.now, "fetch"))
        await held.advance(is_trusted=False)
        taken, scheduled = held.api.events
        assert taken.kind == "mail_taken"
        assert isinstance(scheduled, ActivityScheduled)
        assert (scheduled.owner, RAN) == (None, [])

    holding(Basket)(scenario)


def test_message_when_it_came_before_what_was_accepted_before_it_then_the_run_looks_for_that() -> None:
    """Tasks overtake one another; messages are taken as they were accepted, and none waits for the next message."""

    async def scenario(held: Held) -> None:
        await held.begin()
        held.api.fact("M00000001", signal(1, held.now, item="first"))
        overtaking = held.api.fact("M00000002", signal(2, held.now, item="second"))
        await held.advance(overtaking)
        assert held.api.kinds == [["mail_taken"]]
        closing = held.api.fact("M00000003", signal(3, held.now, "close", None))
        await held.advance(closing)
        assert result(held) == ["first", "second"]
        assert len(held.api.loads) == 1

    holding(Basket)(scenario)


def test_outcome_when_the_run_knows_of_no_such_command_then_it_looks_for_who_asked() -> None:
    """Another worker has advanced the run since: its history is what counts."""

    async def scenario(held: Held) -> None:
        await held.begin()
        held.api.record(TimerFired(seq=1, at=held.now + timedelta(minutes=1)))
        scheduled = ActivityScheduled(seq=2, name="driver-step", input={"label": "then", "seconds": 0.0})
        held.api.record(scheduled)
        await held.advance(held.api.fact("A00000002", ActivityCompleted(seq=2, at=held.now, result="theirs")))
        assert result(held) == [60.0]

    holding(Timers, {"seconds": [60.0], "then": "then"})(scenario)


# --- timers -----------------------------------------------------------------------------------------------------------


def test_timer_when_it_is_due_soon_then_it_is_waited_for_and_fires_with_its_own_time() -> None:
    """Whoever notices it, and when: the recorded time is the one that it was set to."""

    async def scenario(held: Held) -> None:
        began = held.now
        assert await held.begin()
        (fired,) = (event for event in held.api.events if isinstance(event, TimerFired))
        assert fired.at == began + timedelta(seconds=0.5)
        assert held.now == fired.at
        assert [commit.done for commit in held.api.commits] == [(), ("receipt",)]

    holding(Timers, {"seconds": [0.5]})(scenario)


def test_timers_when_several_are_due_then_they_fire_in_the_order_of_their_times() -> None:
    """Not in that in which they were started."""

    async def scenario(held: Held) -> None:
        began = held.now
        assert await held.begin()
        assert held.now == began, "timers that are far away are not waited for"
        assert held.api.commits[-1].done == ("receipt",)
        await asyncio.sleep(100)
        assert await held.advance()
        assert result(held) == [2.0, 3.0, 60.0]
        fired = [event.at for event in held.api.events if isinstance(event, TimerFired)]
        assert fired == [began + timedelta(seconds=seconds) for seconds in (2, 3, 60)]

    holding(Timers, {"seconds": [60.0, 2.0, 3.0]})(scenario)


def test_messages_when_a_timer_is_waited_for_then_no_commit_before_it_ends_them() -> None:
    """Else nobody would come back should this worker die meanwhile."""

    async def scenario(held: Held) -> None:
        assert await held.begin(fact(1, held.now))
        assert [(commit.done, commit.mail_taken) for commit in held.api.commits] == [((), 1), (("receipt",), 1)]

    holding(Timers, {"seconds": [0.5]})(scenario)


# --- ends of attempts -------------------------------------------------------------------------------------------------


def test_attempt_when_it_fails_then_the_queue_makes_the_next_one_after_its_delay() -> None:
    """The failure is recorded with it."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: len(held.api.batches) == 1)
        (handed,) = handed_over(held.api.events)
        assert (handed.activity, handed.attempt, handed.delay_seconds) == (1, 2, 1.0)
        assert handed.failure
        assert handed.failure.message == "not today"
        begun.cancel()
        with pytest.raises(asyncio.CancelledError):
            await begun
        await asyncio.sleep(0)
        assert RAN == ["flaky", "beside", "beside cancelled"], "who is cancelled leaves nothing running"
        assert held.ledger is None

    holding(Flaky)(scenario)


def test_attempt_when_it_runs_in_place_then_its_token_names_it_and_the_batch_that_asked_for_it() -> None:
    """Who reports for it later has to be able to say which one it was."""
    seen: list[Any] = []

    async def scenario(held: Held) -> None:
        run = held.runner.run

        async def noted(attempt: Any) -> Any:
            seen.append((attempt.number, Capability.parse(attempt.token).statements[-1].read()))
            return await run(attempt)

        held.runner.run = noted  # type: ignore[method-assign] # listens to what the runner is asked for
        assert await held.begin()
        assert seen == [(1, [1, 1, 1]), (1, [2, 1, 1]), (1, [3, 2, 1])]

    holding(Chain, {"steps": ["a", "b", "c"]})(scenario)


def test_attempt_when_it_goes_on_elsewhere_then_it_is_claimed_no_longer_and_stays_the_same() -> None:
    """Whoever has its token ends it; nobody waits for that here."""

    async def scenario(held: Held) -> None:
        assert await held.begin()
        (handed,) = handed_over(held.api.events)
        assert (handed.activity, handed.attempt, handed.failure) == (1, 1, None)
        assert held.api.commits[-1].done == ("receipt",)
        assert len(held.api.said["/workers/activity-deferrals"]) == 1

    holding(Aside)(scenario)


def test_results_when_they_are_large_then_no_batch_has_more_than_a_call_may_carry() -> None:
    """What is over goes with the next one."""

    async def scenario(held: Held) -> None:
        assert await held.begin()
        assert result(held) == 4 * 1_900_000
        counts = [kinds.count("activity_completed") for kinds in held.api.kinds]
        assert (sum(counts), max(counts)) == (4, 2)
        assert all(len(commit.model_dump_json()) < 2 * COMMIT_BYTES for commit in held.api.commits)

    holding(Fan, {"labels": list("abcd")})(scenario)


@pytest.mark.parametrize(("is_patient", "how"), [(False, "slow cancelled"), (True, "patient cancelled")])
def test_activity_when_the_code_no_longer_wants_it_then_it_is_cancelled_in_place(how: str, *, is_patient: bool) -> None:
    """Whether the code goes on at once or waits for how it ends."""

    async def scenario(held: Held) -> None:
        began = held.now
        assert await held.begin()
        assert result(held) == "gave up, then"
        assert held.now - began < timedelta(seconds=1)
        assert [one for one in RAN if one != "slow"] == [how, "then"]
        assert held.api.kinds[-1][-1] == "execution_completed"

    holding(Impatient, {"limit": 0.5, "is_patient": is_patient})(scenario)


# --- stops ------------------------------------------------------------------------------------------------------------


def test_stop_when_an_activity_is_under_way_then_it_may_end_and_the_next_one_goes_to_the_queue() -> None:
    """The worker takes on nothing more."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await asyncio.sleep(0.5)
        assert held.driver
        held.driver.stop(now=False)
        assert await begun
        assert RAN == ["a"]
        last = held.api.events[-1]
        assert isinstance(last, ActivityScheduled)
        assert (last.seq, last.owner, last.attempt) == (2, None, 1)
        assert held.api.commits[-1].done == ("receipt",)

    holding(Chain, {"steps": ["a", "b"], "seconds": 0.9})(scenario)


@pytest.mark.parametrize("how", ["the driver", "the runner"])
def test_stop_when_it_does_not_end_in_time_then_it_is_handed_over_and_stays_the_same_attempt(how: str) -> None:
    """A deploy charges nobody an attempt; a repeat of the stop changes nothing."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await asyncio.sleep(1.5)
        assert held.driver
        held.driver.stop(now=False)
        if how == "the runner":
            held.runner.stop()
        else:
            held.driver.stop(now=True)
            held.driver.stop(now=True)
        assert await begun
        await asyncio.sleep(0)
        (handed,) = handed_over(held.api.events)
        assert (handed.activity, handed.scheduled_in, handed.attempt, handed.delay_seconds) == (1, 1, 1, 0.0)
        assert handed.failure == STOPPED
        assert RAN == ["a", "a cancelled"]
        assert held.api.commits[-1].done == ("receipt",)

    holding(Chain, {"steps": ["a"], "seconds": 100.0})(scenario)


def test_stop_when_a_timer_is_due_soon_then_it_is_not_waited_for() -> None:
    """Its message comes to another worker."""

    async def scenario(held: Held) -> None:
        held.is_stopping = True
        assert await held.begin(fact(1, held.now))
        assert [event.kind for event in held.api.events] == ["mail_taken", "timer_started"]
        assert held.api.commits[-1].done == ("receipt",)

    holding(Timers, {"seconds": [0.5]})(scenario)
