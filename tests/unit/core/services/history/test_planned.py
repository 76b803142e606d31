"""What records of a run ask for beyond the usual: sessions, deferred attempts, resets, what is deleted. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante_core.domain.activities.options import ActivityOptions
from levante_core.domain.dispatch.plan import (
    NEVER_FRESH,
    AttemptEnded,
    BatchAppended,
    DeleteRest,
    FactRecorded,
    OpenWork,
    PayloadsExpired,
    RunExpired,
    RunStarted,
    SendLater,
    SendTask,
    outstanding,
    plan,
    task_id,
)
from levante_core.domain.dispatch.tasks import ActivityTask, DeadlineDue, Fact, TimerDue, WorkflowTask
from levante_core.domain.executions.execution import Reset, RunKey, RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.run_messages import CancelRequested
from levante_core.domain.history.state import HistoryBatch, fold
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
RUN = RunKey(Workspace("s"), ExecutionId("e"), RunId("r"))
PINNED, STUCK = WorkerPool.parse("d@1"), WorkerPool.parse("d@1~desk")
ADDRESS: dict[str, Any] = {"workspace": "s", "execution_id": "e", "run_id": "r", "deployment_name": "d@1"}
AT_DESK = ActivityOptions(session="desk")
FAILURE = Failure(message="x")


def scheduled(seq: int, **more: Any) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input=None, **more)


def planned(*events: Any) -> list[Any]:
    return plan(BatchAppended(RUN, PINNED, NOW, HistoryBatch(index=7, commit_id="c", events=events)))


def left(events: tuple[Any, ...], *untaken: Any, retries: Any = (), now: datetime = NOW) -> list[Any]:
    """Return what is outstanding after a history of one batch."""
    state = fold([HistoryBatch(index=1, commit_id="c", events=events)], {})
    work = OpenWork(state, [Fact(key="k", input=one) for one in untaken], {one.seq: one for one in retries})
    return outstanding(RUN, PINNED, work, now)


def test_activity_of_a_session_when_it_is_sent_then_only_the_sessions_worker_gets_it() -> None:
    """At first, after it was handed over, and when it is asked for again; timers and the run stay where they are."""
    (first,) = planned(scheduled(1, options=AT_DESK))
    (second,) = planned(
        ActivityHandedOver(activity=1, scheduled_in=3, attempt=2, delay_seconds=0, failure=FAILURE, session="desk")
    )
    (third,) = left((scheduled(1, options=AT_DESK),))
    assert [one.task.deployment_name for one in (first, second, third)] == [STUCK] * 3
    ended = AttemptEnded(RUN, STUCK, NOW, NOW, seq=1, scheduled_in=3, attempt=2)
    (fourth,) = plan(ended)
    assert fourth == SendTask(
        ActivityTask(**{**ADDRESS, "deployment_name": STUCK}, fresh_at=NOW, seq=1, scheduled_in=3, attempt=2), "r:1:2"
    )


def test_record_of_a_session_when_it_is_of_the_run_then_any_worker_gets_it() -> None:
    """A session is of an activity, and not of the run that waits for it."""
    fact = Fact(key="00000001", input=TimerFired(seq=1, at=NOW))
    task = WorkflowTask(**ADDRESS, fresh_at=NOW, fact=fact)
    assert plan(FactRecorded(RUN, STUCK, NOW, fact)) == [SendTask(task, "r:00000001")]


def test_activity_when_attempts_are_counted_from_above_one_then_the_task_says_so() -> None:
    """A worker was lost that may have made the first one."""
    (sent,) = planned(scheduled(1, attempt=3))
    assert (sent.task.attempt, sent.deduplication_id) == (3, "r:1:3")


@pytest.mark.parametrize(
    "ending",
    [
        ActivityCompleted(seq=1, at=NOW, result=None),
        ActivityFailed(seq=1, at=NOW, failure=FAILURE),
        ActivityCancelRequested(seq=2, activity=1),
    ],
)
def test_activity_when_its_batch_ends_it_then_nothing_is_sent(ending: Any) -> None:
    """Neither the activity, nor what was to follow on an attempt of it."""
    handed_over = ActivityHandedOver(activity=1, scheduled_in=7, attempt=2, delay_seconds=0, failure=FAILURE)
    assert planned(scheduled(1), handed_over, ending) == []


def test_attempt_when_it_goes_on_elsewhere_then_nobody_is_asked_for_another() -> None:
    """It goes on elsewhere, and is completed with its token."""
    assert planned(ActivityHandedOver(activity=1, scheduled_in=3, attempt=1, delay_seconds=0, failure=None)) == []


def test_attempt_when_it_is_deferred_then_it_is_known_by_its_deadline() -> None:
    """Each new deadline is another message: queues would drop it as a repeat of the one before."""
    ended = AttemptEnded(RUN, PINNED, NOW, LATER, seq=1, scheduled_in=3, attempt=2, is_deferred=True)
    task = ActivityTask(**ADDRESS, fresh_at=LATER, seq=1, scheduled_in=3, attempt=2, is_deferred=True)
    assert plan(ended) == [SendLater(task)]
    other = task.model_copy(update={"fresh_at": LATER + timedelta(seconds=1)})
    plain = task.model_copy(update={"is_deferred": False})
    assert len({task_id(task), task_id(other), task_id(plain)}) == 3
    assert task_id(plain) == task_id(plain.model_copy(update={"fresh_at": NOW})) == "r:1:2"


def test_run_when_it_goes_on_from_another_then_its_start_is_no_news() -> None:
    """Its worker has to load what is kept: the message holds no start, and is checked on arrival."""
    start = RunStart(
        workflow_name=WorkflowName("w"),
        input=None,
        started_at=NOW,
        deadline_at=NOW + timedelta(minutes=5),
        reset=Reset(run_id=RunId("old"), event_id=1, batches=0, seed=RunId("old")),
    )
    assert plan(RunStarted(RUN, PINNED, start)) == [
        SendTask(WorkflowTask(**ADDRESS, fresh_at=NEVER_FRESH, verify=True), "r:start"),
        SendLater(DeadlineDue(**ADDRESS, fresh_at=start.deadline_at)),
    ]


def test_plan_when_something_has_expired_then_the_rest_of_it_is_deleted() -> None:
    """What belonged to it has no time of its own."""
    for expired in (RunExpired(RUN, ExecutionId("root"), is_latest=True), PayloadsExpired("p", "s")):
        assert plan(expired) == [DeleteRest(expired)]


def test_outstanding_when_an_answer_waits_then_what_it_answers_is_not_asked_for() -> None:
    """Messages answer nothing, whatever their number."""
    events = (scheduled(1), TimerStarted(seq=2, fire_at=LATER))
    task = SendTask(ActivityTask(**ADDRESS, verify=True, fresh_at=NEVER_FRESH, seq=1, scheduled_in=1, attempt=1), "r:1:1")
    timer = SendLater(TimerDue(**ADDRESS, verify=True, fresh_at=LATER, seq=2))
    answers = {
        "nothing": (),
        "an activity": (ActivityCompleted(seq=1, at=NOW, result=None),),
        "a timer": (TimerFired(seq=2, at=NOW),),
        "messages": (CancelRequested(number=1, at=NOW), CancelRequested(number=2, at=NOW)),
    }
    found = {name: left(events, *untaken) for name, untaken in answers.items()}
    asked = {name: [one for one in effects if one in (task, timer)] for name, effects in found.items()}
    assert asked == {"nothing": [task, timer], "an activity": [timer], "a timer": [task], "messages": [task, timer]}
    advanced = {name for name, effects in found.items() if any(one not in (task, timer) for one in effects)}
    assert advanced == {"an activity", "a timer", "messages"}


@pytest.mark.parametrize(("now", "effect"), [(LATER, SendTask), (NOW, SendLater)])
def test_outstanding_when_an_attempt_failed_then_the_next_one_is_asked_for_when_it_is_due(
    now: datetime, effect: Any
) -> None:
    """Not before, and as the attempt that it is."""
    retry = AttemptEnded(RUN, PINNED, NOW, LATER, seq=1, scheduled_in=5, attempt=3)
    (found,) = left((scheduled(1, attempt=2),), retries=[retry], now=now)
    task = ActivityTask(**ADDRESS, verify=True, fresh_at=LATER, seq=1, scheduled_in=1, attempt=3)
    assert found == (SendTask(task, "r:1:3") if effect is SendTask else SendLater(task))


def test_outstanding_when_a_worker_runs_an_activity_in_place_then_no_other_is_asked_to() -> None:
    """Somebody looks at the run, and takes over the claim if its owner is gone; both would run it otherwise."""
    assert left((scheduled(1, owner="me"),)) == [
        SendTask(WorkflowTask(**ADDRESS, verify=True, fresh_at=NEVER_FRESH), "r:advance")
    ]


def test_outstanding_when_no_attempt_was_heard_of_then_the_first_to_be_made_is_asked_for() -> None:
    """Above one where a worker was lost that may have made it."""
    (found,) = left((scheduled(1, attempt=2),))
    assert (found.task.attempt, found.task.scheduled_in) == (2, 1)
