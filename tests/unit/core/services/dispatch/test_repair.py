"""What the sweep notices when messages are lost for good, and how often it says so."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.dispatch.tasks import DELAYED, ActivityTask, TimerDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityScheduled,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch import repair
from levante_core.services.dispatch.repair import Looked
from levante_core.storage import keys
from tests.support.place import Place

FAILURE = Failure(message="x")


def scheduled(owner: str | None = None) -> ActivityScheduled:
    return ActivityScheduled(
        seq=1, name="a", input={}, owner=owner, options=ActivityOptions(retry=RetryPolicy(max_attempts=3))
    )


def started(place: Place) -> RunKey:
    """Start an execution, and lose its task."""
    run = place.start()
    place.lose_messages()
    return run


def minutes(place: Place, count: int, take: Callable[[], Sequence[object]]) -> list[int]:
    """Sweep once a minute. Returns the minutes, counted from now, after which there was something to take."""
    sent_at = []
    for minute in range(1, count + 1):
        place.clock.advance(60)
        place.engine.repair.sweep()
        if take():
            sent_at.append(minute)
    return sent_at


def sweep_after_a_minute(place: Place) -> None:
    place.clock.advance(60)
    place.engine.repair.sweep()


def test_repair_when_the_first_task_is_lost_then_the_run_is_sent_for_after_a_minute(place: Place) -> None:
    """Invariant 7: an open run always has something that will move it, whatever was lost."""
    run = started(place)
    place.clock.advance(59)
    assert place.engine.repair.sweep() == Looked(runs=1, sent_for=0)
    place.clock.advance(2)
    assert place.engine.repair.sweep() == Looked(runs=1, sent_for=1)
    (task,) = place.tasks(TaskQueue.WORKFLOW)
    assert (task.run_id, task.verify) == (run.run_id, True)


def test_repair_when_several_sweeps_look_at_once_then_one_message_is_sent(place: Place) -> None:
    """Sweeps may overlap: what they send has the same id, which the queue keeps once."""
    started(place)
    place.clock.advance(61)
    place.engine.repair.sweep()
    place.engine.repair.sweep()
    assert len(place.tasks(TaskQueue.WORKFLOW)) == 1


def test_repair_when_nobody_takes_the_messages_then_they_are_sent_at_doubling_intervals(place: Place) -> None:
    """A run that waits for workers, or for its code to be fixed, collects a few messages and not one a minute."""
    started(place)
    assert minutes(place, 70, lambda: place.emptied(TaskQueue.WORKFLOW)) == [1, 2, 4, 8, 16, 32, 64]


def test_repair_when_a_fact_waits_then_the_run_is_sent_for(place: Place) -> None:
    """A fact whose message is lost is noticed as soon as the run is quiet."""
    run = started(place)
    place.commit(run, 1, scheduled())
    place.clock.advance(600)
    assert place.report(run)
    place.lose_messages()
    assert minutes(place, 3, lambda: place.emptied(TaskQueue.WORKFLOW)) == [1, 2]
    assert place.tasks(TaskQueue.ACTIVITY) == [], "history does not know the outcome yet, but the activity has it"


def test_repair_when_the_task_of_a_queued_activity_is_lost_then_it_is_sent_again_to_be_checked(place: Place) -> None:
    """The activity may be running or waiting all the same, so the message says that it is to be checked first."""
    run = started(place)
    place.commit(run, 1, scheduled())
    place.lose_messages()
    sweep_after_a_minute(place)
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    assert isinstance(task, ActivityTask)
    assert (task.seq, task.attempt, task.verify) == (1, 1, True)
    assert place.tasks(TaskQueue.WORKFLOW) == []


def test_repair_when_an_owner_may_be_gone_then_its_run_is_sent_for(place: Place) -> None:
    """What runs in place hangs on one workflow task; a live owner holds the group, and so the message back."""
    run = started(place)
    place.commit(run, 1, scheduled(owner="w"))
    sweep_after_a_minute(place)
    assert len(place.tasks(TaskQueue.WORKFLOW)) == 1


def test_repair_when_a_retry_is_not_due_yet_then_it_waits_for_its_time(place: Place) -> None:
    """Back-off holds: neither a lost nor a waiting message makes an attempt early."""
    run = started(place)
    handed_over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=600, failure=FAILURE)
    place.commit(run, 1, scheduled(owner="w"), handed_over)
    place.lose_messages()
    assert minutes(place, 10, lambda: place.emptied(TaskQueue.ACTIVITY)) == []
    sweep_after_a_minute(place)
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    assert task.attempt == 2


def test_redrive_when_a_retry_is_not_due_yet_then_it_is_sent_for_later(place: Place) -> None:
    """A redrive keeps the back-off of an attempt that its owner handed over."""
    run = started(place)
    handed_over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=600, failure=FAILURE)
    place.commit(run, 1, scheduled(owner="w"), handed_over)
    place.lose_messages()
    place.engine.redrive.redrive()
    assert place.tasks(TaskQueue.ACTIVITY) == []
    place.clock.advance(600)
    assert [DELAYED.validate_json(body).attempt for body in place.due()] == [2]  # type: ignore[union-attr]


def test_repair_when_a_timer_is_overdue_then_it_is_asked_for_again_and_not_before(place: Place) -> None:
    """A timer whose message is lost fires all the same."""
    run = started(place)
    at = place.clock.now() + timedelta(minutes=5)
    place.commit(run, 1, TimerStarted(seq=1, fire_at=at))
    place.lose_messages()
    assert minutes(place, 5, place.due) == []
    sweep_after_a_minute(place)
    (body,) = place.due()
    due = DELAYED.validate_json(body)
    assert isinstance(due, TimerDue)
    assert due.fresh_at == at


def test_repair_when_nothing_waits_but_time_then_nothing_is_sent(place: Place) -> None:
    """A sleeping execution costs no messages."""
    run = started(place)
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + timedelta(days=30)))
    place.lose_messages()
    assert minutes(place, 10, place.due) == []


def test_repair_when_there_are_many_runs_then_all_are_looked_at_in_turn(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look costs a bounded number of reads; what it leaves is looked at by the next ones, and then all over again."""
    monkeypatch.setattr(repair, "RUNS_PER_LOOK", 3)
    runs = {place.start().run_id for _ in range(10)}
    place.lose_messages()
    looks = []
    for _ in range(8):
        place.clock.advance(60)
        looks.append(place.engine.repair.sweep())
    assert [look.runs for look in looks[:4]] == [3, 3, 3, 1]
    assert {task.run_id for task in place.tasks(TaskQueue.WORKFLOW)} == runs
    assert sum(look.sent_for for look in looks[:4]) == 10
    assert [look.runs for look in looks[4:]] == [3, 3, 3, 1], "the walk begins anew"


def test_repair_when_one_look_is_enough_then_nothing_is_written(place: Place) -> None:
    """Idle costs nothing but reads: the place of the walk is kept only while a walk takes several looks."""
    started(place)
    place.clock.advance(60)
    place.engine.repair.sweep()
    assert place.store.get(keys.REPAIR) is None


def test_repair_when_walks_are_short_again_then_the_place_is_forgotten(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a long walk comes a short one, which needs no place any more."""
    for _ in range(4):
        place.start()
    monkeypatch.setattr(repair, "RUNS_PER_LOOK", 3)
    place.engine.repair.sweep()
    assert place.store.get(keys.REPAIR) is not None
    monkeypatch.setattr(repair, "RUNS_PER_LOOK", 100)
    place.engine.repair.sweep()
    place.engine.repair.sweep()
    assert place.store.get(keys.REPAIR) is None


def test_repair_when_a_history_is_damaged_then_the_other_runs_are_sent_for(place: Place) -> None:
    """One damaged run must not keep the others from going on."""
    damaged, whole = started(place), started(place)
    place.commit(damaged, 2, scheduled())
    place.lose_messages()
    place.clock.advance(61)
    assert place.engine.repair.sweep() == Looked(runs=2, sent_for=1)
    assert [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)] == [whole.run_id]
