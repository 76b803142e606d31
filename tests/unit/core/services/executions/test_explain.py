"""What executions wait for, as it is told to whoever asks."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.waits import Wait
from levante_core.domain.history.events import ActivityScheduled, ChildScheduled, MessagesTaken, TimerStarted
from levante_core.domain.history.notes import ActivityHandedOver, CodeFailed
from levante_core.errors import NotFound
from levante_core.protocol import HandlerSpec, WorkflowSpec
from levante_core.protocol.activities import PermitRequest
from levante_core.protocol.workers import RegisterRequest, TaskQueue, WorkflowTaskFailedRequest
from levante_core.services.executions.explain import Explanation
from levante_core.storage import keys
from levante_core.storage.parked import ParkedKind, owner_of_item
from tests.support.engines import poll
from tests.support.place import DEPLOYMENT, HOUR, POOL, SPACE, Place

BUG = Failure(type="ZeroDivisionError", message="division by zero")


def explained(place: Place, run: RunKey) -> Explanation:
    """Explain the latest run of an execution."""
    found = place.engine.explanations.find(SPACE, run.execution_id)
    return place.engine.explanations.explain(found)


def waits(place: Place, run: RunKey) -> list[Wait]:
    """Return what it waits for but for workers, of which a place has none."""
    return [wait for wait in explained(place, run).waits if wait.kind != "no_worker"]


def the_wait(place: Place, run: RunKey) -> Wait:
    """Return the only thing that it waits for."""
    (wait,) = waits(place, run)
    return wait


def kinds(place: Place, run: RunKey) -> list[str]:
    """Return the kinds of all that it waits for."""
    return [wait.kind.value for wait in waits(place, run)]


def scheduled(seq: int = 1, **options: Any) -> ActivityScheduled:
    """Ask for an activity."""
    return ActivityScheduled.model_validate({"seq": seq, "name": "charge", "input": {}, "options": options})


# --- workflow tasks ---------------------------------------------------------------------------------------------------


def test_execution_when_it_has_just_begun_then_it_waits_for_a_worker(place: Place) -> None:
    """And says so at once, before `blockers` says anything."""
    run = place.start()
    wait = the_wait(place, run)
    assert (wait.kind, wait.actor, wait.since, wait.worker) == ("starting", "worker", place.clock.now(), None)
    (delivered,) = poll(place.engine, TaskQueue.WORKFLOW, worker="w7")
    assert delivered.task.run == run
    assert the_wait(place, run).worker == "w7"


def test_facts_when_the_code_has_not_taken_them_then_they_are_named(place: Place) -> None:
    """What has an outcome is waited for no longer, but for a worker that takes it in."""
    run = place.start()
    place.commit(run, 1, scheduled(), TimerStarted(seq=2, fire_at=place.clock.now() + HOUR))
    at = place.clock.now()
    place.clock.advance(3)
    assert place.report(run, result=1)
    place.engine.messages.cancel(SPACE, run.execution_id)
    found = {wait.kind.value: wait for wait in waits(place, run)}
    assert found.keys() == {"cancel_requested", "workflow_task_queued", "timer"}
    assert "activity 1 has completed, a request to cancel" in found["workflow_task_queued"].message
    assert found["workflow_task_queued"].since == at + timedelta(seconds=3)
    assert (found["cancel_requested"].since, found["cancel_requested"].actor) == (at + timedelta(seconds=3), "worker")


def test_facts_when_there_are_many_then_some_are_named_and_the_others_counted(place: Place) -> None:
    """It is one sentence."""
    run = place.start()
    place.commit(run, 1, *(scheduled(seq) for seq in range(1, 6)))
    for seq in range(1, 6):
        assert place.report(run, seq=seq, result=1)
    assert "activity 3 has completed and 2 more" in the_wait(place, run).message


# --- activities -------------------------------------------------------------------------------------------------------


def test_activity_when_it_runs_in_place_then_its_worker_is_named(place: Place) -> None:
    """It is in the history."""
    run = place.start()
    place.commit(run, 1, scheduled().model_copy(update={"owner": "w1"}))
    wait = the_wait(place, run)
    assert (wait.kind, wait.worker, wait.seq, wait.name) == ("activity_running", "w1", 1, "charge")
    assert (wait.attempt, wait.max_attempts, wait.since) == (1, 3, place.clock.now())
    assert wait.remedies == ("complete", "fail")


def test_activity_when_it_is_queued_then_whoever_takes_its_task_runs_it(place: Place) -> None:
    """As far as the queue knows."""
    run = place.start()
    place.commit(run, 1, scheduled())
    assert (the_wait(place, run).kind, the_wait(place, run).worker) == ("activity_queued", None)
    poll(place.engine, TaskQueue.ACTIVITY, worker="w2")
    assert (the_wait(place, run).kind, the_wait(place, run).worker) == ("activity_running", "w2")


def test_activity_when_it_has_sent_a_heartbeat_then_it_runs_and_its_age_is_known(place: Place) -> None:
    """Where the queue does not know, heartbeats say so."""
    run = place.start()
    place.commit(run, 1, scheduled())
    place.clock.advance(4)
    assert place.engine.activities.heartbeat(place.attempt(run), ["half"])
    wait = the_wait(place, run)
    assert (wait.kind, wait.heartbeat_at) == ("activity_running", place.clock.now())


def test_activity_when_it_backs_off_then_the_error_and_the_next_attempt_are_told(place: Place) -> None:
    """Once that is due, it is queued, and the error is there still."""
    run = place.start()
    place.commit(run, 1, scheduled(retry={"max_attempts": 5, "initial_interval_seconds": 60}))
    assert place.report(run, failure=BUG)
    wait = the_wait(place, run)
    assert (wait.kind, wait.attempt, wait.max_attempts, wait.failure) == ("activity_failing", 1, 5, BUG)
    assert (wait.since, wait.until) == (place.clock.now(), place.clock.now() + timedelta(seconds=60))
    assert (wait.actor, wait.remedies) == ("nobody", ("retry", "complete", "fail"))
    assert "attempt 1 of 5: ZeroDivisionError: division by zero; attempt 2 begins at" in wait.message
    place.clock.advance(60)
    later = the_wait(place, run)
    assert (later.kind, later.attempt, later.failure, later.until) == ("activity_queued", 2, BUG, None)


def test_activity_when_its_first_attempt_in_place_failed_then_it_backs_off_too(place: Place) -> None:
    """That is in the history, and in no item; what was stopped on purpose has not failed."""
    run = place.start()
    over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=5, failure=BUG)
    stopped = ActivityHandedOver(activity=2, scheduled_in=1, attempt=1, failure=BUG)
    owned = [scheduled(seq).model_copy(update={"owner": "w1"}) for seq in (1, 2)]
    place.commit(run, 1, *owned, over, stopped)
    told = [(wait.kind, wait.seq, wait.attempt, wait.failure) for wait in waits(place, run)]
    assert told == [("activity_failing", 1, 1, BUG), ("activity_queued", 2, 1, None)]


def test_activity_when_it_goes_on_elsewhere_then_the_caller_has_to_act_until_its_time_is_up(place: Place) -> None:
    """Whoever has its token."""
    run = place.start()
    place.commit(run, 1, scheduled())
    assert place.engine.activities.defer(place.attempt(run), HOUR, None)
    wait = the_wait(place, run)
    assert (wait.kind, wait.actor, wait.until) == ("activity_running", "caller", place.clock.now() + HOUR)


def test_activity_when_its_rate_limit_is_used_up_then_that_is_told(place: Place) -> None:
    """The next place is not promised to it, so there is no time at which it is sure to begin."""
    run = place.start()
    limit = {"time_window_in_sec": 60, "max_execution": 1}
    place.commit(run, 1, scheduled(rate_limit=limit))
    assert the_wait(place, run).kind == "activity_queued"
    asked = {"deployment_name": POOL, "activity_name": "charge", "rate_limit": limit}
    place.engine.rate_limits.permit(SPACE, PermitRequest.model_validate(asked))
    wait = the_wait(place, run)
    assert (wait.kind, wait.actor, wait.until) == ("rate_limited", "nobody", None)
    place.clock.advance(61)
    assert the_wait(place, run).kind == "activity_queued"


# --- timers, children, conditions -------------------------------------------------------------------------------------


def test_timer_when_it_is_open_then_its_time_is_told(place: Place) -> None:
    """Nobody has to do anything, and everybody may."""
    run = place.start()
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + HOUR))
    wait = the_wait(place, run)
    assert (wait.kind, wait.seq, wait.until, wait.actor) == ("timer", 1, place.clock.now() + HOUR, "nobody")
    assert wait.remedies == ("skip",)


def test_child_when_it_is_open_then_its_execution_is_named(place: Place) -> None:
    """Whoever asks goes on there."""
    run = place.start()
    child = {"seq": 1, "workflow_name": "w", "execution_id": "c1", "input": {}, "close_policy": "terminate"}
    place.commit(run, 1, ChildScheduled.model_validate(child))
    wait = the_wait(place, run)
    assert (wait.kind, wait.name, wait.child_execution_id, wait.seq) == ("child", "w", "c1", 1)
    assert wait.remedies == ("complete", "fail")


def takes(place: Place, signals: tuple[str, ...] = (), updates: tuple[str, ...] = ()) -> None:
    """Register the workflow of a place anew, with handlers."""
    spec = WorkflowSpec(
        name="w",
        task_queue="d",
        input_schema={},
        signals=tuple(HandlerSpec(name=name, input_schema={}) for name in signals),
        updates=tuple(HandlerSpec(name=name, input_schema={}) for name in updates),
    )
    place.engine.catalogue.register(SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))


def test_condition_when_nothing_else_is_open_then_the_messages_that_help_are_named(place: Place) -> None:
    """An approval that nobody has given looks like this."""
    run = place.start()
    takes(place, ("approve", "reject"), ("change",))
    place.engine.messages.cancel(SPACE, run.execution_id)
    place.commit(run, 1, MessagesTaken(until=1))
    asked, condition = waits(place, run)
    assert (asked.kind, condition.kind, condition.actor) == ("cancel_requested", "condition", "caller")
    assert (condition.signals, condition.updates) == (("approve", "reject"), ("change",))
    assert "it takes signals approve, reject and updates change" in condition.message


def test_condition_when_a_timer_is_open_then_a_message_may_help_too_if_there_is_one(place: Place) -> None:
    """An approval with a timeout looks like this; a sleep of a workflow without handlers is a sleep."""
    run = place.start()
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + HOUR))
    assert kinds(place, run) == ["timer"]
    takes(place, ("approve",))
    assert kinds(place, run) == ["timer", "condition"]


def test_condition_when_nothing_can_change_it_then_a_developer_has_to_act(place: Place) -> None:
    """The code waits for ever."""
    run = place.start()
    place.commit(run, 1, scheduled())
    assert place.report(run, result=1)
    place.commit(run, 2, {"kind": "fact_taken", "fact": keys.outcome_fact(1)})
    wait = the_wait(place, run)
    assert (wait.kind, wait.actor, wait.remedies) == ("condition", "developer", ("reset",))


# --- what has gone wrong ----------------------------------------------------------------------------------------------


def test_code_when_it_fails_then_it_is_told_once_with_the_next_attempt_if_somebody_makes_it(place: Place) -> None:
    """Without a worker, no time is promised."""
    run = place.start()
    place.commit(run, 1, CodeFailed(failure=BUG))
    assert (the_wait(place, run).kind, the_wait(place, run).failure) == ("code_failing", BUG)
    place.clock.advance(2)
    request = WorkflowTaskFailedRequest(token="t", receipt="r", attempt=3, failure=BUG)
    place.engine.tasks.workflow_task_failed(place.grant(run), request)
    wait = the_wait(place, run)
    assert (wait.kind, wait.attempt, wait.until, wait.actor) == ("code_failing", 3, None, "developer")
    place.tasks(TaskQueue.WORKFLOW)
    assert the_wait(place, run).until == place.clock.now() + timedelta(seconds=4)


def test_worker_when_none_is_there_then_it_comes_first_only_if_one_is_needed(place: Place) -> None:
    """A sleep of a year needs none for now."""
    run = place.start()
    place.clock.advance(2)
    assert [wait.kind for wait in explained(place, run).waits] == ["no_worker", "starting"]
    assert explained(place, run).summary.startswith("No worker of deployment 'd' is there: start one")
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + HOUR))
    assert [wait.kind for wait in explained(place, run).waits] == ["timer", "no_worker"]


def test_parked_items_when_there_are_some_then_they_are_told_with_their_next_try(place: Place) -> None:
    """Whoever runs the installation has to look."""
    run = place.start()
    item = place.store.get(keys.execution(SPACE, run.execution_id))
    assert item
    parked = place.engine.parking.park(ParkedKind.RUN, owner_of_item(item), "x", ValueError("it is broken"))
    wait = place.engine.explanations.explain(place.engine.explanations.find(SPACE, run.execution_id), [parked]).waits[0]
    assert (wait.kind, wait.actor, wait.until) == ("parked", "operator", parked.retry_at)


def test_history_when_it_is_damaged_then_that_is_told(place: Place) -> None:
    """The list is not empty even then."""
    run = place.start()
    place.commit(run, 2, TimerStarted(seq=1, fire_at=place.clock.now()))
    wait = the_wait(place, run)
    assert (wait.kind, wait.actor) == ("parked", "operator")
    assert "cannot be read" in wait.message


def test_execution_when_it_has_ended_or_is_not_there_then_it_waits_for_nothing(place: Place) -> None:
    """It says how it ended."""
    run = place.start()
    place.engine.closing.terminate(SPACE, run.execution_id)
    found = explained(place, run)
    assert (found.waits, "it is TERMINATED" in found.summary) == ((), True)
    with pytest.raises(NotFound):
        place.engine.explanations.find(SPACE, "nobody")


def test_entries_when_there_are_very_many_then_the_summary_counts_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer has its limits."""
    monkeypatch.setattr("levante_core.services.executions.explain.MOST_WAITS", 2)
    run = place.start()
    place.commit(run, 1, *(TimerStarted(seq=seq, fire_at=place.clock.now() + HOUR) for seq in range(1, 6)))
    found = explained(place, run)
    assert (len(found.waits), found.summary[-12:]) == (2, " and 4 more.")


def test_explain_when_asked_then_its_cost_is_as_documented(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads of the item, the history, the attempts, the registration, and what blockers cost."""
    run = place.start()
    place.commit(run, 1, scheduled())
    place.clock.advance(2)
    counted = {"get": 0, "query": 0}
    for name in counted:
        method = getattr(place.racing, name)

        def counting(*given: Any, name: str = name, method: Any = method) -> Any:
            counted[name] += 1
            return method(*given)

        monkeypatch.setattr(place.racing, name, counting)
    explained(place, run)
    assert counted == {"get": 3, "query": 5}
