"""The ledger of a run: how attempts in place end, and who goes on with them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from levante.worker.activities.attempt_end import AttemptEnd, Deferred, Failed, Stopped, Succeeded
from levante.worker.runs.ledger import OWNER_LOST, RunLedger
from levante_core.protocol import ActivityFailed, ActivityHandedOver, ActivityState, FailureKind, HistoryEvent, TimerFired
from tests.unit.levante.worker.runs.ledgers import AT, FAILURE, activity, begun, fields, kinds, new_ledger

FINAL = FAILURE.model_copy(update={"non_retryable": True})


async def two() -> None:
    """Wait for two activities, the first of which belongs to a session."""
    await asyncio.gather(activity("a", session="worker-1"), activity("b"), return_exceptions=True)


async def cancelling() -> None:
    """Ask an activity to end after a while, and wait for how it does."""
    pending = activity("a", waits_for_end=True, retry={"max_attempts": 3})
    await asyncio.sleep(1)
    pending.cancel()
    await asyncio.wait([pending])


def asked_to_end(*, is_started: bool = True) -> RunLedger:
    """Return a run whose activity, run in place, is asked to end."""
    ledger = new_ledger(cancelling)
    ledger.begin()
    if is_started:
        ledger.to_start.clear()
    ledger.resolve(TimerFired(seq=2, at=AT + timedelta(seconds=1)))
    assert ledger.state.activities[1].is_cancel_requested
    ledger.recorded(0, "token 2")
    return ledger


def handed(event: HistoryEvent) -> tuple[Any, ...]:
    """Return what a hand-over says."""
    assert isinstance(event, ActivityHandedOver)
    return event.activity, event.scheduled_in, event.attempt, event.delay_seconds, event.session


# --- retries ----------------------------------------------------------------------------------------------------------


def test_attempt_when_it_failed_then_the_next_one_stays_with_the_worker_of_its_session() -> None:
    """The queue that it goes to is that of the session; its number, its delay and the batch that asked for it are said."""
    ledger = begun(two)
    ledger.retry(1, FAILURE, AT)
    assert [handed(event) for event in ledger.pending] == [(1, 1, 2, 1.0, "worker-1")]
    assert fields(ledger.pending[0], "failure") == (FAILURE,)
    assert ledger.is_urgent
    assert ledger.state.activities[1].state is ActivityState.QUEUED
    ledger.retry(2, FAILURE, AT)
    assert handed(ledger.pending[1]) == (2, 1, 2, 1.0, None)


def test_attempt_when_no_other_may_follow_then_the_activity_has_failed() -> None:
    """With the number of the last one."""
    ledger = begun(two)
    ledger.state.activities[1].attempt = 3
    ledger.retry(1, FAILURE, AT)
    ledger.retry(2, FINAL, AT)
    first, second = (event for event in ledger.pending if isinstance(event, ActivityFailed))
    assert (first.seq, first.attempt, first.at, first.failure) == (1, 3, AT, FAILURE)
    assert (second.seq, second.attempt, second.failure) == (2, 1, FINAL)
    assert ledger.has_inputs


def test_attempt_when_its_activity_is_open_no_longer_then_its_failure_is_nobodys() -> None:
    """The code has gone on without it."""
    ledger = begun(two)
    ledger.retry(9, FAILURE, AT)
    ledger.stopped(9, FAILURE)
    ledger.defer(9)
    assert ledger.pending == []


def test_attempt_when_it_goes_on_elsewhere_then_it_is_claimed_no_longer() -> None:
    """It keeps its number, and nothing has failed."""
    ledger = begun(two)
    ledger.defer(2)
    assert handed(ledger.pending[0]) == (2, 1, 1, 0.0, None)
    assert fields(ledger.pending[0], "failure") == (None,)


def test_attempt_when_it_was_stopped_on_purpose_then_it_is_made_anew_under_its_number() -> None:
    """A deploy is no failure of an activity."""
    ledger = begun(two)
    ledger.stopped(1, FAILURE)
    assert handed(ledger.pending[0]) == (1, 1, 1, 0.0, "worker-1")


# --- asked to end -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["failed", "stopped", "deferred", "owner lost"])
def test_attempt_when_it_was_asked_to_end_then_none_follows_it(how: str) -> None:
    """Whatever it ends with, and whoever ends it: the code waits for the end alone."""
    ledger = asked_to_end()
    match how:
        case "failed":
            ledger.retry(1, FAILURE, AT)
        case "stopped":
            ledger.stopped(1, FAILURE)
        case "deferred":
            ledger.defer(1)
        case _:
            ledger.retry(1, OWNER_LOST, AT)
    assert kinds(ledger.pending) == ["activity_failed", "execution_completed"]
    failed = ledger.pending[0]
    assert isinstance(failed, ActivityFailed)
    assert failed.failure.kind is (FailureKind.APPLICATION if how == "failed" else FailureKind.CANCELED)


def test_activity_when_it_is_asked_to_end_before_it_began_then_it_never_does() -> None:
    """It is recorded as cancelled."""
    ledger = asked_to_end(is_started=False)
    assert ledger.to_start == [1]
    ledger.leave_unbegun(AT)
    assert ledger.to_start == []
    assert kinds(ledger.pending) == ["activity_failed", "execution_completed"]
    failed = ledger.pending[0]
    assert isinstance(failed, ActivityFailed)
    assert failed.failure.kind is FailureKind.CANCELED


def test_activities_when_nobody_asks_them_to_end_then_they_are_left_to_begin() -> None:
    """A claim stays until it is given up."""
    ledger = new_ledger(two)
    ledger.begin()
    ledger.leave_unbegun(AT)
    assert (ledger.to_start, kinds(ledger.pending)) == ([1, 2], ["activity_scheduled"] * 2)


# --- claims -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "attempt"), [(AT, 2), (None, 1)], ids=["lost", "stopped"])
def test_claims_when_they_are_given_up_then_the_queue_has_them_and_none_is_left_to_start(at: Any, attempt: int) -> None:
    """Else the activity would run twice: here and from the queue. What the queue has already stays as it is."""
    ledger = new_ledger(two, claims=lambda name, _claimed: name == "b")
    ledger.begin()
    ledger.recorded(0, "token 2")
    assert ledger.to_start == [2]
    ledger.give_up_claims(OWNER_LOST, at)
    assert ledger.to_start == []
    assert [handed(event) for event in ledger.pending] == [(2, 1, attempt, 0.0, None)]


def test_retry_when_its_batch_was_refused_then_it_is_taken_in_again_as_it_was() -> None:
    """With the delay that it had."""
    refused, fresh = begun(two), begun(two)
    refused.retry(1, FAILURE, AT)
    for event in refused.pending:
        fresh.regain(event)
    assert fresh.pending == refused.pending


@pytest.mark.parametrize("how", ["handed over since", "asked to end since", "over since"])
def test_retry_when_its_batch_was_refused_and_things_have_changed_then_it_is_void(how: str) -> None:
    """What is recorded counts."""
    event = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=5.0, failure=FAILURE)
    ledger = asked_to_end() if how == "asked to end since" else begun(two)
    if how == "handed over since":
        ledger.stopped(1, FAILURE)
    elif how == "over since":
        ledger.retry(1, FINAL, AT)
    before = list(ledger.pending)
    ledger.regain(event)
    assert ledger.pending == before


# --- code that failed -------------------------------------------------------------------------------------------------


def test_code_when_it_failed_then_all_that_had_ended_is_noted_and_the_rest_left_to_the_queue() -> None:
    """The code sees none of it until it is replayed; attempts that were cut short do not count."""

    async def five() -> None:
        await asyncio.gather(*(activity(name) for name in "abcde"))

    ledger = begun(five)
    ledger.to_start.append(5)
    ends: dict[int, AttemptEnd] = {1: Succeeded("x", "x", 3), 2: Failed(FAILURE), 3: Deferred(60.0), 4: Stopped()}
    ledger.fail(FAILURE, ends, AT)
    assert kinds(ledger.pending) == ["code_failed", "activity_completed", *["activity_handed_over"] * 4]
    assert [handed(event)[::2] for event in ledger.pending[2:]] == [(2, 2, None), (3, 1, None), (4, 1, None), (5, 1, None)]
    assert [fields(event, "delay_seconds", "failure") for event in ledger.pending[2:]] == [
        (1.0, FAILURE),
        (0.0, None),
        (0.0, FAILURE),
        (0.0, FAILURE),
    ]
    assert ledger.to_start == []


def test_code_when_it_failed_and_an_attempt_has_failed_for_good_then_that_is_noted() -> None:
    """The code is not told, for it could not take it."""
    ledger = begun(two)
    ledger.fail(FAILURE, {1: Failed(FINAL)}, AT)
    assert kinds(ledger.pending) == ["code_failed", "activity_failed", "activity_handed_over"]
    assert not ledger.has_inputs
