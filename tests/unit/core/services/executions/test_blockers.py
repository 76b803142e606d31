"""What keeps executions from going on, as it is told to those who wait for them."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.executions.blockers import Blocker
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    FactTaken,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.protocol.workers import TaskQueue, WorkflowTaskFailedRequest
from levante_core.storage import keys
from levante_core.storage.runs import RunSummary
from tests.support.place import SPACE, Place

STACK = (
    '  File "/venv/lib/python3.12/site-packages/levante/replay/run.py", line 7, in step\n    go()\n'
    '  File "/home/ann/checkout.py", line 12, in run\n    1 / 0\n    ~~^~~\n'
    '  File "/usr/lib/python3.12/json/decoder.py", line 3, in decode\n'
)
BUG = Failure(type="ZeroDivisionError", message="division by zero\nand more", stack=STACK)
RAISED = "ZeroDivisionError: division by zero (/home/ann/checkout.py:12 in run)"


def summary(place: Place, run: RunKey) -> RunSummary:
    """Return how the run stands."""
    return place.engine.executions.status(SPACE, run.execution_id)[0]


def blockers(place: Place, run: RunKey) -> list[Blocker]:
    """Return what is in its way but for the missing workers, of which a place has none."""
    return [one for one in place.engine.blockers.of(summary(place, run)) if one.kind != "no_worker"]


def told(found: list[Blocker]) -> list[tuple[Any, ...]]:
    """Return what the tests compare."""
    return [(one.kind.value, one.activity_name, one.attempt, one.message) for one in found]


def fail_code(place: Place, run: RunKey, attempt: int = 1) -> None:
    """Report that the code of the run cannot be run on."""
    request = WorkflowTaskFailedRequest(token="t", receipt="r", attempt=attempt, failure=BUG)
    place.engine.tasks.workflow_task_failed(place.grant(run), request)


def old_run(place: Place) -> RunKey:
    """Start a run, and let the time pass in which it would be picked up."""
    run = place.start()
    place.clock.advance(2)
    return run


# --- code that fails --------------------------------------------------------------------------------------------------


def test_code_when_it_fails_then_it_is_told_with_its_place_and_the_next_attempt(place: Place) -> None:
    """The innermost line of the user's own files, not of what these call."""
    run = old_run(place)
    fail_code(place, run, attempt=3)
    (found,) = blockers(place, run)
    message = f"workflow code fails: {RAISED}; fix it and restart the worker, and it goes on"
    assert told([found]) == [("code_failing", None, 3, message)]
    assert (found.since, found.failure) == (place.clock.now(), BUG)
    assert found.next_attempt_at == place.clock.now() + timedelta(seconds=4)


def test_code_when_it_has_gone_on_since_then_nothing_is_in_its_way(place: Place) -> None:
    """Somebody has fixed it."""
    run = old_run(place)
    fail_code(place, run)
    place.clock.advance(1)
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + timedelta(hours=1)))
    assert blockers(place, run) == []


def test_run_when_it_is_closed_or_has_just_begun_then_nothing_is_in_its_way(place: Place) -> None:
    """A worker is picking it up."""
    run = place.start()
    fail_code(place, run)
    assert place.engine.blockers.of(summary(place, run)) == ()
    place.clock.advance(2)
    assert blockers(place, run)
    place.engine.closing.terminate(SPACE, run.execution_id)
    assert place.engine.blockers.of(summary(place, run)) == ()


# --- activities that fail ---------------------------------------------------------------------------------------------


def test_activity_when_its_first_attempt_in_place_failed_then_the_next_one_is_told(place: Place) -> None:
    """It is in the history, and in no item."""
    run = old_run(place)
    over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=5, failure=BUG)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}, owner="w"), over)
    (found,) = blockers(place, run)
    message = f"activity charge failed at attempt 1 and is tried again: {RAISED}"
    assert told([found]) == [("activity_failing", "charge", 1, message)]
    assert found.next_attempt_at == place.clock.now() + timedelta(seconds=5)


def test_activity_when_attempts_of_the_queue_failed_then_the_last_one_is_told(place: Place) -> None:
    """With its own number and time, although the history has an earlier one."""
    run = old_run(place)
    over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=0, failure=Failure(message="at first"))
    options = {"retry": {"max_attempts": 9}}
    scheduled = ActivityScheduled.model_validate({"seq": 1, "name": "charge", "input": {}, "owner": "w", "options": options})
    place.commit(run, 1, scheduled, over)
    place.clock.advance(7)
    assert place.report(run, 2, failure=BUG)
    (found,) = blockers(place, run)
    assert told([found])[0][:3] == ("activity_failing", "charge", 2)
    assert (found.since, found.failure) == (place.clock.now(), BUG)


@pytest.mark.parametrize("how", ["its fact waits", "its fact is taken", "it is cancelled", "it was only stopped"])
def test_activity_when_it_is_over_or_was_stopped_on_purpose_then_nothing_is_told(place: Place, how: str) -> None:
    """What is past is in nobody's way."""
    run = old_run(place)
    attempt = 1 if how == "it was only stopped" else 2
    over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=attempt, delay_seconds=0, failure=BUG)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}, owner="w"), over)
    if "fact" in how:
        assert place.report(run, 2, result=1)
    if how == "its fact is taken":
        place.commit(run, 2, FactTaken(fact=keys.outcome_fact(1)))
    if how == "it is cancelled":
        place.commit(run, 2, ActivityCancelRequested(seq=2, activity=1, is_queued=True))
    assert blockers(place, run) == []


def test_activity_when_its_failure_lies_far_back_then_only_one_that_is_still_to_come_is_told(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How it ended may be in batches that are not read; its name is looked up."""
    monkeypatch.setattr("levante_core.services.executions.blockers.BATCHES_READ", 1)
    run = old_run(place)
    options = {"retry": {"max_attempts": 9, "initial_interval_seconds": 60}}
    place.commit(run, 1, ActivityScheduled.model_validate({"seq": 1, "name": "charge", "input": {}, "options": options}))
    assert place.report(run, 1, failure=BUG)
    place.clock.advance(10)
    place.commit(run, 2, TimerStarted(seq=2, fire_at=place.clock.now() + timedelta(hours=1)))
    assert told(blockers(place, run))[0][:3] == ("activity_failing", "charge", 1)
    place.clock.advance(60)
    assert blockers(place, run) == []


# --- missing workers --------------------------------------------------------------------------------------------------


def test_worker_when_none_is_there_then_it_is_told_how_to_start_one(place: Place) -> None:
    """With the command."""
    run = old_run(place)
    (found,) = place.engine.blockers.of(summary(place, run))
    assert found.message == "no worker of deployment 'd' is there: start one (`levante worker MODULE --deployment-name d`)"
    assert (found.kind, found.attempt, found.failure) == ("no_worker", None, None)
    assert place.tasks(TaskQueue.WORKFLOW)  # somebody holds its task now
    assert place.engine.blockers.of(summary(place, run)) == ()


def test_finder_when_it_looks_at_many_runs_then_at_their_deployment_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of a listing is of one or two deployments."""
    runs = [place.start() for _ in range(5)]
    place.clock.advance(2)
    asked: list[str] = []
    is_attended = place.queues.is_attended

    def noting(queue: str) -> bool:
        asked.append(queue)
        return is_attended(queue)

    monkeypatch.setattr(place.queues, "is_attended", noting)
    finder = place.engine.blockers.finder()
    assert all(finder.of(summary(place, run)) for run in runs)
    assert len(asked) == 1
