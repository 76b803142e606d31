"""Activities when something else happens between what was read of an attempt and what is written of it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.activities.options import RateLimit
from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.dispatch.plan import CancelActivity
from levante_core.domain.dispatch.tasks import ActivityTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.history.events import ActivityCancelRequested, ActivityScheduled, ExecutionCompleted
from levante_core.protocol import ActivityOptions
from levante_core.protocol.activities import PermitRequest
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_number, deferral_of, failed_attempts
from tests.support.place import DEPLOYMENT, POOL, SPACE, Place
from tests.support.races import races

FAILURE = Failure(message="it broke")
FINAL = Failure(message="it broke for good", non_retryable=True)
HOUR = timedelta(hours=1)
PERMIT = PermitRequest(deployment_name=POOL, activity_name="a", rate_limit=RateLimit(time_window_in_sec=1, max_execution=1))


@pytest.fixture
def run(place: Place) -> RunKey:
    """Start a run that has scheduled an activity which is tried three times, after pauses of ten minutes and more."""
    started = place.start()
    retry = RetryPolicy(max_attempts=3, initial_interval_seconds=600)
    event = ActivityScheduled(seq=1, name="a", input={}, options=ActivityOptions(retry=retry))
    assert place.commit(started, 1, event) is CommitOutcome.RECORDED
    place.lose_messages()
    return started


def outcome(place: Place, run: RunKey) -> Any:
    """Return how the activity ended, if it did."""
    facts = place.load(run).facts
    return facts[0].input if facts else None


def attempt(place: Place, run: RunKey) -> Any:
    """Return the item that says which attempt is current."""
    return place.racing.get(keys.attempt(run, 1))


def cancel(place: Place, run: RunKey, *, is_awaited: bool) -> None:
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited))


# --- how attempts end -------------------------------------------------------------------------------------------------


@races("reports._outcome Absent")
@pytest.mark.parametrize("failure", [None, FINAL], ids=["succeeds", "fails"])
def test_report_when_another_outcome_is_recorded_meanwhile_then_that_one_stands(
    place: Place, run: RunKey, failure: Failure | None
) -> None:
    """Invariant 3: an activity has one outcome. Who reports another one hears that nobody waits for it."""
    with place.racing.before_write(lambda: place.report(run, result="first")):
        assert not place.report(run, result="second", failure=failure)
    assert outcome(place, run).result == "first"
    assert len(place.tasks(TaskQueue.WORKFLOW)) == 1


@races("reports._answer AbsentOrMatches")
def test_failure_when_its_repeat_is_recorded_meanwhile_then_one_attempt_follows(place: Place, run: RunKey) -> None:
    """A report that is sent twice uses up one attempt."""
    with place.racing.before_write(lambda: place.report(run, failure=FAILURE)):
        assert not place.report(run, failure=Failure(message="another"))
    assert attempt_number(attempt(place, run)) == 2
    assert [one.failure for one in failed_attempts(attempt(place, run))] == [FAILURE]


@races("reports._answer AbsentOrMatches")
def test_failure_when_the_attempt_after_it_fails_meanwhile_then_no_attempt_is_made_again(place: Place, run: RunKey) -> None:
    """Attempts are counted upwards only, however late a report comes."""

    def fail_twice() -> None:
        assert place.report(run, 1, failure=FAILURE)
        assert place.report(run, 2, failure=FAILURE)

    with place.racing.before_write(fail_twice):
        assert not place.report(run, 1, failure=FAILURE)
    assert attempt_number(attempt(place, run)) == 3
    assert [one.attempt for one in failed_attempts(attempt(place, run))] == [1, 2]


@races("reports._outcome Absent")
def test_success_when_the_attempt_is_taken_for_lost_meanwhile_then_it_counts_and_no_other_begins(
    place: Place, run: RunKey
) -> None:
    """The work is done; the task of the next attempt is dropped by whoever receives it."""
    with place.racing.before_write(lambda: place.report(run, failure=FAILURE)):
        assert place.report(run, result="done")
    assert outcome(place, run).result == "done"
    task = ActivityTask(**task_of(run), attempt=2)
    assert place.engine.activities.check(place.attempt(run, 2), task, 1) is None


def task_of(run: RunKey) -> dict[str, Any]:
    return {
        "workspace": run.workspace,
        "execution_id": run.execution_id,
        "run_id": run.run_id,
        "deployment_name": DEPLOYMENT,
        "fresh_at": "2026-01-01T00:00:00Z",
        "seq": 1,
        "scheduled_in": 1,
    }


@races("reports._outcome Absent")
def test_session_when_the_activity_ends_before_it_is_called_lost_then_its_result_stands(place: Place, run: RunKey) -> None:
    """The worker was slow to be heard, and not gone; the workflow is told once."""
    task = ActivityTask(**{**task_of(run), "deployment_name": POOL.for_session("gone")}, attempt=1)
    with place.racing.before_write(lambda: place.report(run, result="done")):
        place.engine.activities.lose_session(task)
    assert outcome(place, run).result == "done"
    assert len(place.tasks(TaskQueue.WORKFLOW)) == 1


# --- cancelling -------------------------------------------------------------------------------------------------------


@races("reports.cancel Absent", "reports._outcome Absent")
@pytest.mark.parametrize("cancels_first", [True, False])
def test_cancel_when_the_activity_ends_meanwhile_then_what_was_first_stands(
    place: Place, run: RunKey, *, cancels_first: bool
) -> None:
    """Replays read what is recorded: it never changes."""
    if cancels_first:
        with place.racing.before_write(lambda: cancel(place, run, is_awaited=False)):
            assert not place.report(run, result="done")
        assert outcome(place, run).failure.kind is FailureKind.CANCELED
    else:
        with place.racing.before_write(lambda: place.report(run, result="done")):
            cancel(place, run, is_awaited=False)
        assert outcome(place, run).result == "done"


@races("reports._answer AbsentOrMatches")
def test_failure_when_the_activity_is_asked_to_end_meanwhile_then_it_is_over_and_no_attempt_is_waited_for(
    place: Place, run: RunKey
) -> None:
    """Whoever cancels waits for the end; the next attempt, much later, would only find that it is not wanted."""
    place.commit(run, 2, ActivityCancelRequested(seq=2, activity=1, is_awaited=True))
    with place.racing.before_write(lambda: cancel(place, run, is_awaited=True)):
        place.report(run, failure=FAILURE)
    assert outcome(place, run).failure.kind is FailureKind.CANCELED


def test_cancel_when_the_attempt_goes_on_elsewhere_then_its_end_is_waited_for(place: Place, run: RunKey) -> None:
    """It has begun, unlike an attempt that waits for its time; whoever looks after it hears that it is not wanted."""
    grant = place.attempt(run)
    place.engine.activities.defer(grant, HOUR, None)
    cancel(place, run, is_awaited=True)
    assert outcome(place, run) is None
    assert not place.engine.activities.heartbeat(grant, ())
    assert place.report(run, result="done")
    assert outcome(place, run).result == "done"


# --- what goes on elsewhere -------------------------------------------------------------------------------------------


@races("reports._defer AbsentOrMatches")
@pytest.mark.parametrize(
    "go_on",
    [
        lambda place, run: place.engine.activities.defer(place.attempt(run), HOUR, None),
        lambda place, run: place.engine.activities.defer(place.attempt(run), HOUR, 60),
    ],
    ids=["without heartbeats", "with heartbeats"],
)
def test_deferral_when_the_attempt_ends_meanwhile_then_the_next_attempt_is_current(
    place: Place, run: RunKey, go_on: Callable[[Place, RunKey], bool]
) -> None:
    """Who looks after the attempt elsewhere hears that it is not wanted, and what comes next is not put off."""
    with place.racing.before_write(lambda: place.report(run, failure=FAILURE)):
        assert not go_on(place, run)
    assert (attempt_number(attempt(place, run)), deferral_of(attempt(place, run))) == (2, None)


@races("reports._defer AbsentOrMatches")
def test_heartbeat_when_its_deferred_attempt_ends_meanwhile_then_the_next_attempt_is_current(
    place: Place, run: RunKey
) -> None:
    """A heartbeat puts off the end of its own attempt, and of no other."""
    activities = place.engine.activities
    assert activities.defer(place.attempt(run), HOUR, 60)
    with place.racing.before_write(lambda: place.report(run, failure=FAILURE)):
        activities.heartbeat(place.attempt(run), ("half",))
    assert (attempt_number(attempt(place, run)), deferral_of(attempt(place, run))) == (2, None)


@races("reports._outcome Absent")
def test_end_when_the_deferred_attempt_runs_out_of_time_meanwhile_then_one_outcome_is_recorded(
    place: Place, run: RunKey
) -> None:
    """The token that completes it and the message that ends it may come at the same moment."""
    activities = place.engine.activities
    for number in (1, 2):
        place.report(run, number, failure=FAILURE)
    grant = place.attempt(run, 3)
    assert activities.defer(grant, HOUR, None)
    place.clock.advance(3600)
    task = ActivityTask(**task_of(run), attempt=3)
    with place.racing.before_write(lambda: place.report(run, 3, result="done")):
        assert activities.check(grant, task, 1) is None
    assert outcome(place, run).result == "done"


def test_report_when_the_run_has_ended_then_a_failure_asks_for_no_attempt(place: Place, run: RunKey) -> None:
    """Nobody waits for it, and its timer would lead to nothing."""
    history = keys.execution(SPACE, run.execution_id).partition
    with place.racing.before_read(lambda: place.commit(run, 2, ExecutionCompleted(seq=2, result=None)), history):
        assert not place.report(run, failure=FAILURE)
    assert attempt(place, run) is None


# --- rate limits ------------------------------------------------------------------------------------------------------


@races("rate_limits.permit Absent", "rate_limits.permit Matches")
@pytest.mark.parametrize("before", [0, 1], ids=["the first place", "a later place"])
def test_permit_when_another_takes_the_place_meanwhile_then_it_gets_the_next_one(place: Place, before: int) -> None:
    """Two attempts never start in one place, or the limit would be exceeded."""
    limits = place.engine.rate_limits
    for _ in range(before):
        limits.permit(SPACE, PERMIT)
    began_at, others = place.clock.now(), list[timedelta]()
    with place.racing.before_write(lambda: others.append(limits.permit(SPACE, PERMIT))):
        mine = limits.permit(SPACE, PERMIT)
    starts = others[0], place.clock.now() + mine - began_at
    assert starts == (timedelta(seconds=before), timedelta(seconds=before + 1))
    place.clock.advance(60)
    assert [limits.permit(SPACE, PERMIT).total_seconds() for _ in range(2)] == [0, 1]
