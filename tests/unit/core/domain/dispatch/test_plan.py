from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import (
    NEVER_FRESH,
    AttemptEnded,
    BatchAppended,
    CancelActivity,
    CancelChild,
    FactRecorded,
    OpenWork,
    RunStarted,
    SendLater,
    SendTask,
    StartChild,
    outstanding,
    plan,
)
from levante_core.domain.dispatch.tasks import ActivityTask, ActivityWork, DeadlineDue, Fact, TimerDue, WorkflowTask
from levante_core.domain.executions.execution import RunKey, RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityScheduled,
    ChildCancelRequested,
    ChildFailed,
    ChildScheduled,
    Outcome,
    ParentClosePolicy,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.state import HistoryBatch, fold
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
RUN = RunKey(Workspace("s"), ExecutionId("e"), RunId("r"))
POOL = WorkerPool.parse("d")
ADDRESS: dict[str, Any] = {"workspace": "s", "execution_id": "e", "run_id": "r", "deployment_name": "d"}
FAILURE = Failure(message="x")


def appended(*events: Any) -> BatchAppended:
    return BatchAppended(RUN, POOL, NOW, HistoryBatch(index=7, commit_id="c", events=events))


def scheduled(seq: int, **more: Any) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input={"x": 1}, **more)


@pytest.mark.parametrize(("timeout", "has_message"), [(timedelta(minutes=15), True), (timedelta(minutes=16), False)])
def test_plan_when_a_run_started_then_there_is_a_task_and_for_short_timeouts_a_message(
    timeout: timedelta, *, has_message: bool
) -> None:
    """Long execution timeouts are left to the sweep, so that the usual start costs one message."""
    start = RunStart(workflow_name=WorkflowName("w"), input=None, started_at=NOW, deadline_at=NOW + timeout)
    task = SendTask(WorkflowTask(**ADDRESS, fresh_at=NOW, start=start), "r:start")
    deadline = [SendLater(DeadlineDue(**ADDRESS, fresh_at=NOW + timeout))] if has_message else []
    assert plan(RunStarted(RUN, POOL, start)) == [task, *deadline]


def test_plan_when_a_batch_has_work_then_only_what_nobody_does_is_sent() -> None:
    """An activity that its owner runs in place, or that the same batch resolves, has no task."""
    work = ActivityWork(name="a", input={"x": 1}, options=scheduled(1).options)
    first = ActivityTask(**ADDRESS, fresh_at=NOW, seq=1, scheduled_in=7, attempt=1, work=work)
    effects = plan(
        appended(
            scheduled(1),
            scheduled(2, owner="me"),
            scheduled(3),
            ActivityCompleted(seq=3, at=NOW, result=1),
            scheduled(4),
            ActivityCancelRequested(seq=5, activity=4),
            TimerStarted(seq=6, fire_at=LATER),
            TimerStarted(seq=7, fire_at=LATER),
            TimerCanceled(seq=8, timer=7),
            TimerStarted(seq=9, fire_at=LATER),
            TimerFired(seq=9, at=LATER),
        )
    )
    assert effects == [SendTask(first, "r:1:1"), SendLater(TimerDue(**ADDRESS, fresh_at=LATER, seq=6))]


def test_plan_when_how_an_activity_or_child_ends_is_waited_for_then_it_is_started_and_asked_to_end() -> None:
    """Also where all of that is in one batch: it has to end to be waited for."""
    child = ChildScheduled(
        seq=3, workflow_name="w", execution_id=ExecutionId("c"), input=None, close_policy=ParentClosePolicy.TERMINATE
    )
    effects = plan(
        appended(
            scheduled(1),
            ActivityCancelRequested(seq=2, activity=1, is_queued=True, is_awaited=True),
            child,
            ChildCancelRequested(seq=4, child=3, execution_id=ExecutionId("c"), is_awaited=True),
        )
    )
    assert isinstance(effects[0], SendTask)
    assert effects[1:] == [
        CancelActivity(RUN, POOL, 1, is_awaited=True),
        StartChild(RUN, POOL, child),
        CancelChild(RUN, ExecutionId("c"), 3),
    ]
    state = fold([HistoryBatch(index=1, commit_id="c", events=(scheduled(1), child))], {})
    state.apply(ActivityCancelRequested(seq=2, activity=1, is_queued=True, is_awaited=True), 2, {})
    state.apply(ChildCancelRequested(seq=4, child=3, execution_id=ExecutionId("c"), is_awaited=True), 2, {})
    assert outstanding(RUN, POOL, OpenWork(state, (), {}), NOW)[1:] == effects[1:]
    state.apply(ActivityCompleted(seq=1, at=NOW, result=1), 3, {})
    state.apply(ChildFailed(seq=3, at=NOW, failure=FAILURE), 3, {})
    assert outstanding(RUN, POOL, OpenWork(state, (), {}), NOW) == []


@pytest.mark.parametrize(("delay", "effect"), [(0.0, SendTask), (30.0, SendLater)])
def test_plan_when_a_claim_was_handed_over_then_the_queue_carries_on(delay: float, effect: type[Any]) -> None:
    """The next attempt has a task of its own, after its delay."""
    handed = ActivityHandedOver(activity=1, scheduled_in=3, attempt=2, delay_seconds=delay, failure=FAILURE)
    (planned,) = plan(appended(handed))
    task = ActivityTask(**ADDRESS, fresh_at=NOW + timedelta(seconds=delay), seq=1, scheduled_in=3, attempt=2)
    assert planned == (SendTask(task, "r:1:2") if effect is SendTask else SendLater(task))


def test_plan_when_a_fact_is_recorded_then_its_run_is_advanced() -> None:
    """Each fact has a message, so none waits for another."""
    fact = Fact(key="00000001", input=TimerFired(seq=1, at=NOW))
    task = WorkflowTask(**ADDRESS, fresh_at=NOW, fact=fact)
    assert plan(FactRecorded(RUN, POOL, NOW, fact)) == [SendTask(task, "r:00000001")]


@pytest.mark.parametrize("due_at", [NOW, LATER])
def test_plan_when_an_attempt_ended_then_the_next_one_comes_when_it_is_due(due_at: datetime) -> None:
    """A retry without a delay is sent at once."""
    task = ActivityTask(**ADDRESS, fresh_at=due_at, seq=1, scheduled_in=3, attempt=2)
    ended = AttemptEnded(RUN, POOL, recorded_at=NOW, due_at=due_at, seq=1, scheduled_in=3, attempt=2)
    assert plan(ended) == [SendTask(task, "r:1:2") if due_at == NOW else SendLater(task)]


def test_outstanding_when_a_run_merely_waits_then_only_queues_are_filled_again() -> None:
    """A workflow task is for runs that somebody has to look at; everything is checked on arrival."""
    state = fold(
        [appended(scheduled(1), scheduled(2), TimerStarted(seq=3, fire_at=LATER)).batch.model_copy(update={"index": 1})], {}
    )
    retry = AttemptEnded(RUN, POOL, recorded_at=NOW, due_at=LATER, seq=2, scheduled_in=1, attempt=3)
    effects = outstanding(RUN, POOL, OpenWork(state, (), {2: retry}), NOW)
    address = {**ADDRESS, "verify": True}
    first = ActivityTask(**address, fresh_at=NEVER_FRESH, seq=1, scheduled_in=1, attempt=1)
    assert effects == [
        SendTask(first, "r:1:1"),
        SendLater(ActivityTask(**address, fresh_at=LATER, seq=2, scheduled_in=1, attempt=3)),
        SendLater(TimerDue(**address, fresh_at=LATER, seq=3)),
    ]


@pytest.mark.parametrize("why", ["nothing recorded", "an owner", "a fact", "a void fact"])
def test_outstanding_when_somebody_has_to_look_then_there_is_a_workflow_task(why: str) -> None:
    """Runs without any record, with a claim that may be dead, or with an answer that waits, are advanced."""
    events = {"nothing recorded": [], "an owner": [scheduled(1, owner="me")]}.get(why, [scheduled(1)])
    history = [HistoryBatch(index=1, commit_id="c", events=tuple(events))] if events else []
    outcomes: dict[str, Outcome] = {
        "a fact": ActivityCompleted(seq=1, at=NOW, result=1),
        "a void fact": TimerFired(seq=1, at=NOW),
    }
    outcome = outcomes.get(why)
    untaken = [Fact(key="1", input=outcome)] if outcome else []
    effects = outstanding(RUN, POOL, OpenWork(fold(history, {}), untaken, {}), NOW)
    task = SendTask(WorkflowTask(**ADDRESS, fresh_at=NEVER_FRESH, verify=True), "r:advance")
    assert (task in effects) == (why != "a void fact")
