"""Activities of the queue, redrive, and payloads that are kept elsewhere, in terms of all services."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.dispatch.plan import CancelActivity
from levante_core.domain.dispatch.tasks import ActivityTask, WorkflowTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityFailed,
)
from levante_core.domain.names import RunId
from levante_core.errors import NotFound
from levante_core.ports.item_store import Item, Key, Put
from levante_core.protocol.workers import TaskQueue
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.engine import build_engine
from levante_core.storage import keys
from levante_local.change_watch import LocalChangeWatch
from levante_local.queues.queues import InProcessQueues
from tests.support.place import POOL, SPACE, Place
from tests.unit.core.services.recorded import scheduled

FAILURE = Failure(message="x")


def test_report_when_an_attempt_was_given_up_then_it_is_stale_and_changes_nothing(place: Place) -> None:
    """Invariant 3: an outcome is recorded at most once, and late reports are answered, not obeyed."""
    run = place.start()
    place.commit(run, 1, scheduled())
    assert place.report(run, 1, failure=FAILURE)
    assert not place.report(run, 1, failure=FAILURE), "a repeat"
    assert not place.report(run, 1, result=1), "attempt 2 is on its way"
    assert place.report(run, 2, result=2)
    assert not place.report(run, 2, result=3)
    loaded = place.load(run)
    assert [fact.input.model_dump()["result"] for fact in loaded.facts] == [2]


def test_check_when_a_task_was_delivered_before_then_the_lost_worker_counts_as_an_attempt(place: Place) -> None:
    """What kills its worker is not tried for ever: each delivery that came to nothing is a failed attempt."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=2))
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    check = place.engine.activities.check
    assert check(place.attempt(run), task, 1) == task
    assert check(place.attempt(run), task, 2) is None
    second = task.model_copy(update={"attempt": 2, "work": None, "verify": True})
    assert check(place.attempt(run, 2), second, 1) == task.model_copy(update={"attempt": 2})
    assert check(place.attempt(run, 2), second, 2) is None
    assert place.kinds(run) == ["execution_started", "activity_scheduled"]
    loaded = place.load(run)
    assert [fact.input.kind for fact in loaded.facts] == ["activity_failed"]


def test_check_when_the_run_is_closed_then_nothing_is_wanted(place: Place) -> None:
    """Old messages ask first, and are dropped."""
    run = place.start()
    place.commit(run, 1, scheduled())
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    place.engine.closing.terminate(SPACE, run.execution_id)
    assert place.engine.activities.check(place.attempt(run), task, 1) is None
    assert not place.report(run, 1, failure=FAILURE)


def asked_to_end(place: Place, run: RunKey) -> None:
    """Ask activity 1 to end, as the change feed does once the request is recorded."""
    place.commit(run, 2, ActivityCancelRequested(seq=2, activity=1, is_queued=True, is_awaited=True))
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited=True))


def outcomes(place: Place, run: RunKey) -> list[Any]:
    """Return the facts about commands: kind of outcome, and of failure."""
    inputs = [fact.input for fact in place.load(run).facts]
    return [(one.kind, one.failure.kind if isinstance(one, ActivityFailed) else None) for one in inputs]


def test_heartbeat_when_the_activity_is_asked_to_end_then_it_says_so_and_the_end_still_counts(place: Place) -> None:
    """What was said before is kept; a repeat of the request changes nothing."""
    run = place.start()
    place.commit(run, 1, scheduled())
    heartbeat = place.engine.activities.heartbeat
    assert heartbeat(place.attempt(run), [1])
    asked_to_end(place, run)
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited=True))
    assert not heartbeat(place.attempt(run), [2])
    assert place.report(run, 1, result="done")
    assert outcomes(place, run) == [("activity_completed", None)]
    assert not heartbeat(place.attempt(run), [3])


def test_report_when_the_activity_is_asked_to_end_then_no_attempt_follows(place: Place) -> None:
    """It failed, and that is how it ended."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=9))
    asked_to_end(place, run)
    assert place.report(run, 1, failure=FAILURE)
    assert outcomes(place, run) == [("activity_failed", FailureKind.APPLICATION)]


@pytest.mark.parametrize("receive_count", [1, 2])
def test_check_when_the_activity_is_asked_to_end_then_no_attempt_begins_and_it_is_canceled(
    place: Place, receive_count: int
) -> None:
    """Neither one that waits in the queue, nor another one after the worker was lost that had it."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=9))
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    asked_to_end(place, run)
    assert place.engine.activities.check(place.attempt(run), task, receive_count) is None
    assert outcomes(place, run) == [("activity_failed", FailureKind.CANCELED)]


def test_cancel_when_the_next_attempt_is_not_due_then_the_activity_is_canceled_at_once(place: Place) -> None:
    """Nobody waits for the end of a pause between attempts."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=9))
    assert place.report(run, 1, failure=FAILURE)
    asked_to_end(place, run)
    assert outcomes(place, run) == [("activity_failed", FailureKind.CANCELED)]


def test_attempt_that_goes_on_elsewhere_when_it_is_asked_to_end_then_its_end_counts(place: Place) -> None:
    """Whoever has its token learns of it by a heartbeat, and ends it; if nobody does, its time limit does."""
    run, overdue = place.start(), place.start()
    for one in (run, overdue):
        place.commit(one, 1, scheduled(attempts=9))
        assert place.engine.activities.defer(place.attempt(one), timedelta(seconds=60), None)
        asked_to_end(place, one)
        assert not place.engine.activities.heartbeat(place.attempt(one), [])
    assert place.engine.activities.end(GrantedReport(place.attempt(run), result="signed"))
    assert outcomes(place, run) == [("activity_completed", None)]
    (task,) = [one for one in place.tasks(TaskQueue.ACTIVITY) if one.run_id == overdue.run_id and one.work]
    place.clock.advance(61)
    place.engine.activities.check(place.attempt(overdue), task, 1)
    assert outcomes(place, overdue) == [("activity_failed", FailureKind.TIMEOUT)]


def test_redrive_when_all_messages_are_lost_then_every_open_run_can_go_on(place: Place) -> None:
    """The queues are disposable; runs that merely wait are left alone, closed ones too."""
    fresh, queued, closed = place.start(), place.start(), place.start()
    place.commit(queued, 1, scheduled())
    place.engine.closing.terminate(SPACE, closed.execution_id)
    place.tasks(TaskQueue.WORKFLOW)
    place.tasks(TaskQueue.ACTIVITY)
    place.clock.advance(3600)
    place.tasks(TaskQueue.WORKFLOW)
    place.tasks(TaskQueue.ACTIVITY)
    replaced: Any = InProcessQueues(place.clock)
    items = OffloadingStore(place.store, place.payloads)
    engine = build_engine(items, replaced, place.clock, RandomIds(), LocalChangeWatch(), fast_path=True)
    assert engine.redrive.redrive() == 2
    place.engine = engine
    advanced: list[WorkflowTask] = place.tasks(TaskQueue.WORKFLOW)
    asked: list[ActivityTask] = place.tasks(TaskQueue.ACTIVITY)
    assert [(task.run_id, task.verify) for task in advanced] == [(fresh.run_id, True)]
    assert [(task.run_id, task.verify, task.work) for task in asked] == [(queued.run_id, True, None)]


def test_redrive_when_one_history_is_damaged_then_the_others_go_on(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Damage is reported, and does not spread."""
    damaged, sound = place.start(), place.start()
    place.commit(damaged, 2, scheduled())
    place.tasks(TaskQueue.WORKFLOW)
    place.tasks(TaskQueue.ACTIVITY)
    assert place.engine.redrive.redrive() == 2
    assert damaged.execution_id in caplog.text
    place.clock.advance(60)
    assert sound.run_id in [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)]


def test_payload_when_it_is_large_then_it_is_kept_elsewhere_and_read_back(place: Place) -> None:
    """Documents over 64 KiB leave a reference in the table; who reads them does not notice."""
    run = place.start(input={"text": "x" * 100_000})
    raw = place.store.get(Key(f"X#s#{run.execution_id}", "X"))
    assert raw is not None
    assert not isinstance(raw.documents["start"], str)
    assert place.engine.executions.get(SPACE, run.execution_id).start.input == {"text": "x" * 100_000}
    (task,) = place.tasks(TaskQueue.WORKFLOW)
    assert (task.start, task.verify) == (None, True), "too large for a message: its worker loads it"


def test_run_id_when_it_is_unknown_then_loading_says_so(place: Place) -> None:
    """A run that does not exist is not an empty one."""
    run = place.start()
    with pytest.raises(NotFound):
        place.load(replace(run, run_id=RunId("nope")))


def test_run_when_a_heartbeat_lies_before_its_history_then_it_is_found_by_its_id(place: Place) -> None:
    """Not everything beside a history says which execution it is of."""
    run = place.start()
    place.store.write(Put(Item(keys.heartbeat(run, 1), {})))
    assert place.engine.executions.get_run(SPACE, run.run_id)[0].key == run
    place.commit(run, 1, scheduled())
    assert place.engine.executions.get_run(SPACE, run.run_id)[0].key == run
