"""Resets: what the new run begins with, what is asked for at once, and how the old run ends."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import plan
from levante_core.domain.dispatch.tasks import DELAYED, DeadlineDue, TimerDue
from levante_core.domain.executions.execution import Reset, RunKey
from levante_core.domain.executions.search_keys import SearchKeysChanged
from levante_core.domain.history.events import (
    ActivityScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    FactTaken,
    MessagesTaken,
    TimerCanceled,
    TimerStarted,
)
from levante_core.domain.names import RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InvalidResetPoint
from levante_core.ports.item_store import Query
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import CommitOutcome, RegisterRequest, TaskQueue
from levante_core.services.dispatch.sender import queue_name
from levante_core.services.executions.lookup import execution_of_run
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.changes import records_of
from levante_core.storage.runs import recorded_of
from tests.support.faults import CountingStore
from tests.support.place import DEPLOYMENT, HOUR, RETENTION, SPACE, Place
from tests.unit.core.services.history.resetting import (
    EXECUTION,
    begun,
    earlier,
    earlier_runs,
    latest,
    messages_of,
    overtaken,
    reset,
    signal,
    update,
)

COMPLETED = ExecutionCompleted(seq=9, result="done")


def activity(seq: int, **more: Any) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input={}, **more)


def committed(place: Place, run: RunKey, index: int, *events: Any, **more: Any) -> None:
    assert place.commit(run, index, *events, **more) is CommitOutcome.RECORDED


def planned(place: Place) -> list[Any]:
    """Take what the feed asks for."""
    changes = place.store.read_changes(None, 1000)
    place.store.acknowledge_changes(changes[-1].sequence)
    return [effect for change in changes for record in records_of(change) for effect in plan(record)]


def test_new_run_when_it_was_reset_again_then_it_says_where_it_comes_from_and_has_the_first_seed(place: Place) -> None:
    """Random numbers stay those of the run that chose them first, however often its history is gone on from."""
    run = begun(place)
    committed(place, run, 1, activity(1), activity(2))
    committed(place, run, 2, activity(3))
    place.clock.advance(60)
    second = reset(place, 3, reason="why")
    assert second.start.reset == Reset(run_id=run.run_id, event_id=3, batches=1, seed=run.run_id, reason="why")
    assert second.start.deadline_at == place.clock.now() + HOUR
    third = reset(place, 1)
    assert third.start.reset == Reset(run_id=second.key.run_id, event_id=1, batches=0, seed=run.run_id)
    assert earlier_runs(place) == sorted([run.run_id, second.key.run_id])


def test_new_run_when_nothing_is_kept_then_its_execution_is_found_by_one_read(place: Place) -> None:
    """Its id does not say when it started, and no batch names the execution: it is not looked for among all open runs."""
    begun(place)
    new, store = reset(place, 1), CountingStore(place.store)
    assert execution_of_run(store, SPACE, new.key.run_id) == EXECUTION
    assert store.reads == 1


def test_old_run_when_it_is_open_then_it_is_terminated_at_its_next_index(place: Place) -> None:
    """Whoever holds it cannot commit any more; it is kept as long as any closed run."""
    run = begun(place)
    committed(place, run, 1, activity(1))
    place.clock.advance(60)
    reset(place, 1)
    now = place.clock.now()
    old = earlier(place, run)
    assert old.ending is not None
    assert (old.status, old.ending.ended_at, old.ending.expires_at) == ("TERMINATED", now, now + RETENTION)
    assert [batch.events[-1].kind for batch in place.load(run).batches] == ["activity_scheduled", "execution_terminated"]
    assert place.commit(run, 2, COMPLETED) is CommitOutcome.CONFLICT


def test_old_run_when_it_is_closed_then_it_stays_as_it_is(place: Place) -> None:
    """An execution that has ended is open again, with a new run; how the old one ended is kept."""
    run = begun(place)
    committed(place, run, 1, activity(1))
    committed(place, run, 2, COMPLETED)
    before = latest(place)
    place.clock.advance(60)
    new = reset(place, 2)
    assert (new.status, new.ending) == ("RUNNING", None)
    assert earlier(place, run) == before
    assert len(place.load(run).batches) == 2
    committed(place, new.key, 2, COMPLETED)


def test_new_run_when_the_old_one_was_about_to_end_then_nothing_of_that_is_left(place: Place) -> None:
    """Cancellation is forgotten, messages are taken, and nobody is kept waiting."""
    run = begun(place)
    place.engine.messages.cancel(SPACE, EXECUTION)
    assert place.commit(run, 1, COMPLETED, taken_until=0) is CommitOutcome.UNREAD_MESSAGES
    assert latest(place).mail_held_until is not None
    new = reset(place, 1)
    assert (new.is_cancel_requested, new.mail_held_until, new.mail_count) == (False, None, 0)
    assert messages_of(place, new.key) == []
    signal(place, "in time")
    assert messages_of(place, new.key) == [(1, "in time")]


def test_history_when_some_of_it_is_kept_then_facts_that_it_has_taken_are_too_with_their_times(place: Place) -> None:
    """What was told later is told anew: an activity runs again whose outcome the kept history does not have."""
    run = begun(place)
    committed(place, run, 1, activity(1), activity(2))
    place.clock.advance(10)
    place.report(run, seq=1, result="first")
    signal(place, "taken")
    place.clock.advance(10)
    committed(place, run, 2, FactTaken(fact=keys.outcome_fact(1)), MessagesTaken(until=1))
    committed(place, run, 3, TimerStarted(seq=3, fire_at=place.clock.now()))
    place.report(run, seq=2, result="second")
    signal(place, "later")
    place.clock.advance(10)
    new = reset(place, 5)
    loaded, old = place.load(new.key), place.load(run)
    assert loaded.batches == old.batches[:2]
    assert [fact.key for fact in loaded.facts] == ["00000001", "M00000001", "M00000002"]
    now = place.clock.now()
    times = {item.key.sort: now - recorded_of(item).at for item in items(place, new.key)}
    assert times == {
        "L#00000001": timedelta(seconds=30),
        "L#00000002": timedelta(seconds=10),
        "F#00000001": timedelta(seconds=20),
        "F#M00000001": timedelta(seconds=20),
        "F#M00000002": timedelta(seconds=0),
    }


def items(place: Place, run: RunKey) -> list[Any]:
    found = place.store.query(Query(keys.history(SPACE, run.run_id))).items
    return [item for item in found if item.key.sort.startswith((keys.BATCH, keys.FACT))]


def test_message_when_it_came_after_the_event_then_the_new_run_has_it_under_new_numbers(place: Place) -> None:
    """In its order, with no gap where something is left out: only so can the run take it."""
    run = begun(place)
    signal(place, "taken")
    committed(place, run, 1, MessagesTaken(until=1))
    signal(place, "signal")
    place.engine.messages.cancel(SPACE, EXECUTION)
    update(place, "update")
    new = reset(place, 2)
    assert messages_of(place, new.key) == [(1, "taken"), (2, "signal"), (3, "update")]
    assert new.mail_count == 3
    signal(place, "late")
    assert messages_of(place, new.key)[3:] == [(4, "late")]
    committed(place, new.key, 2, MessagesTaken(until=4), COMPLETED, taken_until=4)


@pytest.mark.parametrize(
    ("excluded", "left"),
    [
        ({"exclude_signals": True}, ["update"]),
        ({"exclude_updates": True}, ["signal"]),
        ({"exclude_signals": True, "exclude_updates": True}, []),
    ],
)
def test_message_when_its_kind_is_excluded_then_it_is_left_out(
    place: Place, excluded: dict[str, bool], left: list[str]
) -> None:
    """And counted no more: the run could not end before it had read what is not there."""
    begun(place)
    signal(place, "signal")
    update(place, "update")
    new = reset(place, 1, **excluded)
    assert messages_of(place, new.key) == list(enumerate(left, 1))
    assert new.mail_count == len(left)


def test_work_when_it_is_open_at_the_event_then_it_is_asked_for_once_more(place: Place) -> None:
    """By the reset itself, as a check on arrival; what a worker ran in place goes to the queue."""
    run = begun(place)
    fire_at = place.clock.now() + timedelta(seconds=30)
    committed(
        place,
        run,
        1,
        activity(1),
        activity(2, owner="gone"),
        activity(3),
        TimerStarted(seq=4, fire_at=fire_at),
        TimerStarted(seq=5, fire_at=fire_at),
    )
    place.report(run, seq=3, result="done")
    committed(place, run, 2, FactTaken(fact=keys.outcome_fact(3)), TimerCanceled(seq=7, timer=5))
    place.lose_messages()
    new = reset(place, 8)
    asked = place.tasks(TaskQueue.ACTIVITY)
    assert [(task.run_id, task.seq, task.attempt, task.verify) for task in asked] == [
        (new.key.run_id, 1, 1, True),
        (new.key.run_id, 2, 1, True),
    ]
    (started,) = place.tasks(TaskQueue.WORKFLOW)
    assert (started.run_id, started.verify, started.start) == (new.key.run_id, True, None)
    place.clock.advance(30)
    due = [body for body in place.due() if "timer_due" in body]
    assert [TimerDue.model_validate_json(body).seq for body in due] == [4]


def test_copies_when_the_feed_has_them_then_they_ask_for_nothing(place: Place) -> None:
    """What is ended, or was done by the old run, is not done again; the start of the run is all that the feed asks for."""
    run = begun(place)
    committed(place, run, 1, activity(1), TimerStarted(seq=2, fire_at=place.clock.now() + HOUR))
    place.report(run, seq=1, result="done")
    committed(place, run, 2, FactTaken(fact=keys.outcome_fact(1)))
    signal(place, "later")
    planned(place)
    new = reset(place, 4)
    (started,) = planned(place)
    assert (started.task.kind, started.task.run_id) == ("workflow_task", new.key.run_id)


@pytest.mark.parametrize("has_messages", [True, False])
def test_run_when_it_has_messages_then_it_is_sent_for_once_more(place: Place, *, has_messages: bool) -> None:
    """The start is sent without what is carried over, and might be dropped as known; each waits for nothing else."""
    run = begun(place)
    committed(place, run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + HOUR))
    if has_messages:
        signal(place, "later")
    place.lose_messages()
    reset(place, 2)
    assert len(place.emptied(TaskQueue.WORKFLOW)) == 1 + has_messages


def test_new_run_when_there_is_a_newer_build_then_that_one_has_it(place: Place) -> None:
    """The code of today goes on, for which most resets are made; all that is asked for is asked of its workers."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=timedelta(minutes=10))
    for build in ("old", "new"):
        request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name=build, build_id=build)
        place.engine.catalogue.register(SPACE, request)
        if build == "old":
            run = place.engine.executions.start(SPACE, "w", StartRequest(execution_id=EXECUTION))
            assert run.pool == WorkerPool.parse("d@old")
        place.clock.advance(1)
    assert reset(place, 1).pool == WorkerPool.parse("d@new")
    queue = queue_name(SPACE, WorkerPool.parse("d@new"), TaskQueue.WORKFLOW)
    sent = place.queues.receive(queue, limit=10, wait_seconds=0, visibility_seconds=30)
    assert len(sent) == 2, "for its start, and as nothing is recorded"
    place.clock.advance(600)
    due = [DELAYED.validate_json(body) for body in place.due()]
    assert [one.deployment_name for one in due if isinstance(one, DeadlineDue)] == [WorkerPool.parse("d@new")]


def test_search_keys_when_history_is_kept_then_they_are_as_they_were_at_the_event(place: Place) -> None:
    """What is found by what the execution has not done yet would mislead."""
    run = begun(place)
    first, second = SearchKeysChanged(values={"a": "1", "b": "1"}), SearchKeysChanged(values={"a": "2"}, removed=("b",))
    committed(place, run, 1, first, search_keys={"a": "1", "b": "1"})
    committed(place, run, 2, second, search_keys={"a": "2"})
    assert latest(place).search_keys == {"a": "2"}
    assert reset(place, 2).search_keys == {"a": "1", "b": "1"}
    assert reset(place, 1).search_keys == {}


def test_search_keys_when_the_run_goes_on_from_another_then_it_has_those_that_it_began_with(place: Place) -> None:
    """They came with the start of the run, which is kept in any case."""
    run = begun(place)
    again = ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input={})
    committed(place, run, 1, SearchKeysChanged(values={"a": "1"}), again, search_keys={"a": "1"})
    committed(place, latest(place).key, 1, SearchKeysChanged(values={"a": "2"}), search_keys={"a": "2"})
    assert reset(place, 1).search_keys == {"a": "1"}


def test_reset_when_the_end_of_the_run_is_asked_for_then_it_is_refused_and_changes_nothing(place: Place) -> None:
    """There is nothing to go on with after the end; the error says from where it is possible."""
    run = begun(place)
    committed(place, run, 1, activity(1), activity(2))
    place.report(run, seq=1, result=1)
    committed(place, run, 2, FactTaken(fact=keys.outcome_fact(1)), COMPLETED)
    for event_id in (0, 2, 4, 5, 6):
        with pytest.raises(InvalidResetPoint) as raised:
            reset(place, event_id)
        assert raised.value.valid_reset_events == [1, 3]
    assert (latest(place).key, earlier_runs(place)) == (run, [])


def test_reset_when_nothing_expires_then_neither_does_the_old_run(place: Place) -> None:
    """Without a retention, runs are kept for ever."""
    run = begun(place)
    overtaken(place, lambda: None, retention=None).reset(SPACE, EXECUTION, ResetRequest(1))
    old = earlier(place, run)
    assert old.ending is not None
    assert old.ending.expires_at is None
