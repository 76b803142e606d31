"""Holding a run while somebody pauses it: what runs in place ends, and is neither lost nor done twice."""

import asyncio
from typing import Any

import pytest

from levante.worker.runs.driver import LOOK_SECONDS
from levante.worker.runs.ledger import STOPPED
from levante_core.domain.executions.by_hand import ByHand
from levante_core.protocol import ActivityCompleted, ExecutionPaused, ExecutionResumed
from levante_core.protocol.workers import QueryRequest
from tests.support.worker_context import Held
from tests.unit.levante.worker.runs.flows import RAN, Basket, Chain, Flaky
from tests.unit.levante.worker.runs.holding import holding, until

STEP = {"steps": ["a", "b"], "seconds": 5.0}


def by_hand(held: Held) -> ByHand:
    """Say who pauses."""
    return ByHand(at=held.now, key_id="k", key_name="ann", role="client")


def pause(held: Held) -> None:
    """Pause the run, as somebody does by hand."""
    held.api.record(ExecutionPaused(by_hand=by_hand(held)))


def resume(held: Held) -> None:
    """Resume the run."""
    held.api.record(ExecutionResumed(by_hand=by_hand(held)))


def kinds(held: Held) -> list[str]:
    """Return the kinds of all events."""
    return [kind for batch in held.api.kinds for kind in batch]


def outcomes(held: Held) -> list[Any]:
    """Return what was reported."""
    return [report.result if report.failure is None else report.failure.type for report in held.api.reports]


def test_run_when_paused_while_an_activity_runs_in_place_then_that_ends_and_is_reported() -> None:
    """Nothing follows from it: its run is left until somebody resumes it."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        pause(held)
        assert await begun is False
        assert (RAN, outcomes(held), held.ledger) == (["a"], ["a"], None)
        assert kinds(held) == ["activity_scheduled", "execution_paused"]

    holding(Chain, STEP)(scenario)


def test_run_when_paused_right_before_a_step_is_recorded_then_its_outcomes_are_reported() -> None:
    """The commit is refused, and what it would have brought is not lost; what it led to is."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        held.api.may_record.clear()
        await until(lambda: len(held.api.commits) == 2)
        pause(held)
        held.api.may_record.set()
        assert await begun is False
        assert (RAN, outcomes(held)) == (["a"], ["a"])
        assert kinds(held) == ["activity_scheduled", "execution_paused"]

    holding(Chain, {"steps": ["a", "b"], "seconds": LOOK_SECONDS / 2})(scenario)


def test_run_when_paused_before_anything_is_recorded_then_the_outcome_is_reported() -> None:
    """The beginning of the activity is in no batch yet."""

    async def scenario(held: Held) -> None:
        held.api.may_record.clear()
        begun = held.beginning()
        await until(lambda: held.api.commits)
        pause(held)
        held.api.may_record.set()
        assert await begun is False
        assert (RAN, outcomes(held), kinds(held)) == (["a"], ["a"], ["execution_paused"])

    holding(Chain, {"steps": ["a", "b"], "seconds": 0.0})(scenario)


def test_attempt_when_it_fails_while_its_run_is_paused_then_the_queue_gets_the_next_one_by_a_note() -> None:
    """With its failure, which a worker that is lost could not tell."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        pause(held)
        assert await begun is False
        assert outcomes(held) == ["beside"]
        assert kinds(held)[2:] == ["execution_paused", "activity_handed_over"]
        note: Any = held.api.events[-1]
        assert (note.attempt, note.failure.message, note.scheduled_in) == (2, "not today", 1)

    holding(Flaky, {"fails_after": 5.0, "ends_after": 8.0})(scenario)


def test_attempts_when_their_worker_stops_while_the_run_is_paused_then_they_are_handed_over_and_do_not_count() -> None:
    """Another worker makes them anew once the run is resumed."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        pause(held)
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert held.driver
        held.driver.stop(now=True)
        assert await begun is False
        note: Any = held.api.events[-1]
        assert (note.kind, note.attempt, note.failure) == ("activity_handed_over", 1, STOPPED)

    holding(Chain, {"steps": ["a"], "seconds": 1000.0})(scenario)


@pytest.mark.parametrize("fails", [False, True])
def test_run_when_resumed_before_what_runs_in_place_has_ended_then_it_goes_on_with_that(*, fails: bool) -> None:
    """Nobody else has had its messages. Where the code ends by that, nothing is handed over any more."""

    async def scenario(held: Held) -> None:
        begun = held.beginning()
        await until(lambda: held.api.batches)
        pause(held)
        await asyncio.sleep(2 * LOOK_SECONDS)
        resume(held)
        await until(lambda: outcomes(held), 0.1)
        seq = 2 if fails else 1
        held.api.fact(f"{seq:08d}", ActivityCompleted(seq=seq, at=held.now, result="a"))
        await begun
        after = kinds(held)[kinds(held).index("execution_paused") :]
        assert after == ["execution_paused", "execution_resumed", *(["fact_taken", "execution_completed"] if fails else [])]
        assert outcomes(held) == ["beside" if fails else "a"]

    holding(*((Flaky, {"fails_after": 8.0, "ends_after": 5.0}) if fails else (Chain, STEP)))(scenario)


def test_task_when_its_run_is_paused_then_it_is_left_and_whoever_asks_is_answered() -> None:
    """From what is recorded: a paused run has a state."""

    async def scenario(held: Held) -> None:
        await held.begin()
        held.forget()
        pause(held)
        held.api.queries.append(QueryRequest(query_id="q", name="count", input=None))
        before = len(held.api.commits)
        assert await held.advance(is_trusted=False) is False
        assert (held.ledger, len(held.api.commits)) == (None, before)
        assert [answer.result for answer in held.api.answers] == [0]

    holding(Basket)(scenario)
