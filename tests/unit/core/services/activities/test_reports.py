"""How attempts end: once each, in order, with all that is known of those before, whoever reports at the same time."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.domain.activities.retry import FailedAttempt, RetryPolicy
from levante_core.domain.dispatch.plan import CancelActivity
from levante_core.domain.dispatch.tasks import WORKFLOW_TASK, ActivityTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.history.events import ActivityCompleted, ActivityFailed, ActivityScheduled
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotFound
from levante_core.ports.queues import MAX_DELAY_SECONDS
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import TaskQueue
from levante_core.services.activities.reports import SESSION_LOST, WORKER_LOST, ActivityService, GrantedReport
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of, failed_attempts
from tests.support.engines import carry_out_changes, poll, seqs
from tests.support.faults import OvertakenStore
from tests.support.place import POOL, SPACE, Place

WORKFLOW, ACTIVITY = TaskQueue
FIRST, SECOND, THIRD = (Failure(message=f"attempt {number}") for number in (1, 2, 3))


def scheduled(seq: int = 1, attempts: int = 9, session: str | None = None) -> ActivityScheduled:
    retry = RetryPolicy(max_attempts=attempts, initial_interval_seconds=10)
    return ActivityScheduled(seq=seq, name="a", input=seq, options=ActivityOptions(retry=retry, session=session))


def begun(place: Place, *activities: ActivityScheduled) -> RunKey:
    """Start an execution with activities, and lose the messages."""
    run = place.start()
    place.commit(run, 1, *(activities or [scheduled()]))
    place.lose_messages()
    return run


def outcomes(place: Place, run: RunKey) -> list[ActivityCompleted | ActivityFailed]:
    """Return the facts about activities."""
    inputs = [fact.input for fact in place.load(run).facts]
    return [one for one in inputs if isinstance(one, ActivityCompleted | ActivityFailed)]


def failed(place: Place, run: RunKey) -> list[tuple[int, str]]:
    """Return what is kept of the attempts that others follow."""
    item = place.store.get(keys.attempt(run, 1))
    return [(one.attempt, one.failure.message) for one in failed_attempts(item)] if item else []


def check(place: Place, run: RunKey, attempt: int = 1, receive_count: int = 1) -> ActivityTask | None:
    """Ask whether an attempt is to be run, as whoever got its message does."""
    task = ActivityTask(
        workspace=SPACE,
        execution_id=run.execution_id,
        run_id=run.run_id,
        deployment_name=POOL,
        fresh_at=place.clock.now(),
        verify=True,
        seq=1,
        scheduled_in=1,
        attempt=attempt,
    )
    return place.engine.activities.check(place.attempt(run, attempt), task, receive_count)


def overtaken(place: Place, act: Callable[[], object]) -> ActivityService:
    """Return a service that is overtaken between what it reads and what it writes."""
    items = OffloadingStore(OvertakenStore(place.store, act), place.payloads)
    return ActivityService(items, place.clock, place.engine.dispatch)


def report(place: Place, *reports: GrantedReport) -> list[bool]:
    """Report together. Tells which of them changed something."""
    return [not result.stale for result in place.engine.activities.report(reports)]


# --- several at once --------------------------------------------------------------------------------------------------


def test_reports_when_some_are_stale_and_some_too_late_then_each_gets_its_own_answer(place: Place) -> None:
    """A batch has the attempts of one worker: nobody's answer is another one's, and what counts is told to its run."""
    run = begun(place, *[scheduled(seq) for seq in (1, 2, 3)])
    one, two, three = (place.attempt(run, seq=seq) for seq in (1, 2, 3))
    stale = place.attempt(run, 2, seq=2)
    assert place.report(run, seq=2, failure=FIRST)
    place.emptied(WORKFLOW)
    said = [GrantedReport(two, result="late"), GrantedReport(one, result="a"), GrantedReport(one, result="b")]
    assert report(place, *said, GrantedReport(stale, result="c"), GrantedReport(three, result="d")) == [
        False,
        True,
        False,
        True,
        True,
    ]
    assert [(fact.seq, fact.result) for fact in outcomes(place, run) if isinstance(fact, ActivityCompleted)] == [
        (1, "a"),
        (2, "c"),
        (3, "d"),
    ]
    assert len(place.emptied(WORKFLOW)) == 3


def test_failure_when_it_is_reported_twice_at_once_then_one_attempt_follows(place: Place) -> None:
    """Both have read that the attempt is current; one write of them counts."""
    run = begun(place)
    failure = GrantedReport(place.attempt(run), failure=FIRST)
    assert report(place, failure, GrantedReport(place.attempt(run), failure=SECOND)) == [True, False]
    assert failed(place, run) == [(1, "attempt 1")]


def test_failure_when_the_next_attempt_has_failed_meanwhile_then_it_is_stale(place: Place) -> None:
    """A late report must not turn attempts back."""
    run = begun(place)

    def others() -> None:
        assert place.report(run, 1, failure=FIRST)
        assert place.report(run, 2, failure=SECOND)

    (answer,) = overtaken(place, others).report([GrantedReport(place.attempt(run), failure=THIRD)])
    assert answer.stale
    assert failed(place, run) == [(1, "attempt 1"), (2, "attempt 2")]


def test_success_when_another_outcome_was_recorded_meanwhile_then_the_first_one_stands(place: Place) -> None:
    """Invariant 3: an outcome is recorded at most once, and its run is told once."""
    run = begun(place)
    service = overtaken(place, lambda: place.report(run, result="first"))
    (answer,) = service.report([GrantedReport(place.attempt(run), result="second")])
    assert answer.stale
    assert [fact.result for fact in outcomes(place, run) if isinstance(fact, ActivityCompleted)] == ["first"]
    assert len(place.emptied(WORKFLOW)) == 1


# --- one after the other ----------------------------------------------------------------------------------------------


def test_attempts_when_they_fail_then_each_is_kept_and_the_next_comes_after_its_pause(place: Place) -> None:
    """Pauses double, from the time at which the attempt failed; the outcome says which attempt was the last."""
    run = begun(place, scheduled(attempts=3))
    dues = []
    for attempt, failure in enumerate((FIRST, SECOND), 1):
        assert place.report(run, attempt, failure=failure)
        item = place.store.get(keys.attempt(run, 1))
        assert item is not None
        dues.append((attempt_of(item).due_at - place.clock.now()).total_seconds())
        place.clock.advance(100)
    assert dues == [10, 20]
    assert failed(place, run) == [(1, "attempt 1"), (2, "attempt 2")]
    assert place.report(run, 3, failure=THIRD)
    (outcome,) = outcomes(place, run)
    assert isinstance(outcome, ActivityFailed)
    assert (outcome.attempt, outcome.failure, outcome.at) == (3, THIRD, place.clock.now())


def test_failed_attempts_when_an_attempt_failed_then_its_time_is_kept(place: Place) -> None:
    """Readers of the stream see when each of them was."""
    run = begun(place)
    assert place.report(run, failure=FIRST)
    item = place.store.get(keys.attempt(run, 1))
    assert item is not None
    assert failed_attempts(item) == (FailedAttempt(seq=1, attempt=1, at=place.clock.now(), failure=FIRST),)


def test_attempt_when_its_worker_was_lost_then_the_next_one_follows_at_once(place: Place) -> None:
    """The work itself said nothing against being tried again; that it was lost counts as an attempt."""
    run = begun(place)
    assert check(place, run, receive_count=2) is None
    assert failed(place, run) == [(1, WORKER_LOST.message)]
    assert [(task.attempt, task.work) for task in place.tasks(ACTIVITY)] == [(2, None)]


def test_attempt_when_others_have_said_something_before_then_it_is_told(place: Place) -> None:
    """Heartbeats of attempts before carry over; the last one counts; the task is to be believed from here on."""
    run = begun(place)
    for details in ([1], [2, "x"]):
        assert place.engine.activities.heartbeat(place.attempt(run), details)
    again = check(place, run)
    assert again is not None
    assert (again.details, again.verify) == ((2, "x"), False)
    assert place.report(run, failure=FIRST)
    following = check(place, run, 2)
    assert following is not None
    assert (following.details, following.work and following.work.input) == ((2, "x"), 1)


@pytest.mark.parametrize("why", ["the run is closed", "an outcome is known", "another attempt is current"])
def test_attempt_when_nobody_waits_for_it_then_nothing_that_is_said_of_it_counts(place: Place, why: str) -> None:
    """Its heartbeats are answered with that, and change nothing; its message is dropped."""
    run = begun(place)
    if why == "the run is closed":
        place.engine.closing.terminate(SPACE, run.execution_id)
    else:
        assert place.report(run, result=1) if why == "an outcome is known" else place.report(run, failure=FIRST)
    before = place.store.get(keys.attempt(run, 1))
    activities = place.engine.activities
    assert check(place, run) is None
    assert check(place, run, receive_count=2) is None
    assert not activities.heartbeat(place.attempt(run), ["late"])
    assert not activities.defer(place.attempt(run), timedelta(seconds=10), None)
    assert not activities.end(GrantedReport(place.attempt(run), result="late"))
    assert not place.report(run, failure=SECOND)
    assert place.store.get(keys.attempt(run, 1)) == before
    assert place.store.get(keys.heartbeat(run, 1)) is None


def test_attempt_when_its_run_has_not_scheduled_it_then_a_failure_is_to_come_again(place: Place) -> None:
    """What runs in place can fail before the batch that schedules it is there."""
    run = place.start()
    with pytest.raises(NotFound, match="try again"):
        place.report(run, failure=FIRST)


# --- activities that nobody wants -------------------------------------------------------------------------------------


def test_cancel_when_nobody_waits_for_the_end_then_attempts_are_unwanted_and_no_task_is_sent(place: Place) -> None:
    """Workflow code has gone on already."""
    run = begun(place)
    seen = carry_out_changes(place, place.engine)
    place.lose_messages()
    place.engine.activities.cancel(CancelActivity(run, POOL, 1))
    carry_out_changes(place, place.engine, seen)
    assert place.emptied(WORKFLOW) == []
    assert not place.engine.activities.heartbeat(place.attempt(run), [])
    assert not place.report(run, result=1)


def test_cancel_when_an_outcome_is_known_then_that_stands(place: Place) -> None:
    """It may be on its way into the history; a repeat changes nothing either."""
    run = begun(place)
    assert place.report(run, result="done")
    for _ in range(2):
        place.engine.activities.cancel(CancelActivity(run, POOL, 1))
    assert [type(one) for one in outcomes(place, run)] == [ActivityCompleted]


@pytest.mark.parametrize(("seconds", "kinds"), [(9, [FailureKind.CANCELED]), (10, [])])
def test_cancel_when_the_end_is_waited_for_then_a_pause_ends_at_once_and_a_running_attempt_by_itself(
    place: Place, seconds: float, kinds: Sequence[FailureKind]
) -> None:
    """An attempt whose time has come may have begun: how it ends is what the code waits for."""
    run = begun(place)
    assert place.report(run, failure=FIRST)
    place.clock.advance(seconds)
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited=True))
    found: list[Any] = outcomes(place, run)
    assert [one.failure.kind for one in found] == kinds


def test_attempt_when_its_worker_is_lost_after_it_was_asked_to_end_then_it_counts_as_canceled(place: Place) -> None:
    """That it was lost says nothing about the activity; the worker's loss is the cause."""
    run = begun(place)
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited=True))
    assert place.report(run, failure=WORKER_LOST)
    (outcome,) = outcomes(place, run)
    assert isinstance(outcome, ActivityFailed)
    assert (outcome.failure.kind, outcome.failure.cause) == (FailureKind.CANCELED, WORKER_LOST)


# --- sessions ---------------------------------------------------------------------------------------------------------


def sticky_task(place: Place, run: RunKey, attempt: int = 1) -> ActivityTask:
    return ActivityTask(
        workspace=SPACE,
        execution_id=run.execution_id,
        run_id=run.run_id,
        deployment_name=WorkerPool.parse("d~s"),
        fresh_at=place.clock.now(),
        seq=1,
        scheduled_in=1,
        attempt=attempt,
    )


def test_session_when_its_worker_is_gone_then_the_activity_fails_for_good_and_the_run_is_told(place: Place) -> None:
    """No attempt follows, as there is no worker for it; any worker of the deployment advances the run."""
    run = begun(place, scheduled(session="s"))
    for _ in range(2):
        place.engine.activities.lose_session(sticky_task(place, run))
    (outcome,) = outcomes(place, run)
    assert isinstance(outcome, ActivityFailed)
    assert (outcome.failure, outcome.attempt) == (SESSION_LOST, 1)
    assert [task.task.deployment_name for task in poll(place.engine, WORKFLOW)] == [POOL]


def test_session_when_the_attempt_has_ended_then_nothing_is_lost_with_its_worker(place: Place) -> None:
    """What it did still counts, and so does the attempt that follows."""
    run = begun(place, scheduled(session="s"))
    assert place.report(run, failure=FIRST)
    place.engine.activities.lose_session(sticky_task(place, run))
    assert outcomes(place, run) == []
    assert place.report(run, 2, result="done")
    place.emptied(WORKFLOW)
    place.engine.activities.lose_session(sticky_task(place, run, 2))
    assert [type(one) for one in outcomes(place, run)] == [ActivityCompleted]
    assert place.emptied(WORKFLOW) == []


def test_session_when_the_attempt_ends_at_that_moment_then_its_outcome_stands(place: Place) -> None:
    """Two say how it ended: the first one counts, and the other one is no error."""
    run = begun(place, scheduled(session="s"))
    overtaken(place, lambda: place.report(run, result="done")).lose_session(sticky_task(place, run))
    assert [type(one) for one in outcomes(place, run)] == [ActivityCompleted]
    (body,) = place.emptied(WORKFLOW)
    told = WORKFLOW_TASK.validate_json(body).fact
    assert told is not None
    assert told.input.kind == "activity_completed"


def test_retry_when_its_pause_is_long_then_it_waits_in_the_table(place: Place) -> None:
    """The change feed sees to that; a pause may be longer than a queue can wait."""
    retry = RetryPolicy(initial_interval_seconds=2 * MAX_DELAY_SECONDS)
    options = ActivityOptions(retry=retry)
    run = begun(place, ActivityScheduled(seq=1, name="a", input={}, options=options))
    seen = carry_out_changes(place, place.engine)
    place.lose_messages()
    assert place.report(run, failure=FIRST)
    carry_out_changes(place, place.engine, seen)
    place.engine.due.sweep()
    place.clock.advance(MAX_DELAY_SECONDS)
    assert place.due() == []
    place.engine.due.sweep()
    place.clock.advance(MAX_DELAY_SECONDS)
    (body,) = place.due()
    place.engine.due.handle(body)
    assert seqs(poll(place.engine, ACTIVITY)) == [1]
