"""Explain, repairs, pages and deletions on a table: what SQLite lets pass, DynamoDB may refuse."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.dispatch.plan import plan
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled, ChildScheduled, FactTaken, TimerStarted
from levante_core.errors import NotApplicable, NotFound
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.engine import build_engine
from levante_core.services.executions.interventions import Command
from levante_core.services.history.pages import PageRequest
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey, Role
from levante_core.storage.changes import records_of
from levante_local.change_watch import LocalChangeWatch
from tests.support.dynamodb_tables import StoreWithStream, store_on_moto
from tests.support.place import HOUR, RETENTION, SPACE, Place, new_place

CHILD = {"seq": 3, "workflow_name": "w", "execution_id": "c1", "input": {}, "close_policy": "abandon"}


@contextmanager
def on_a_table(directory: Path) -> Iterator[tuple[Place, StoreWithStream]]:
    """Build a place whose engine works on a table of its own."""
    with new_place(directory) as place, store_on_moto() as store:
        items = OffloadingStore(store, place.payloads)
        clock, queues = place.clock, place.queues
        engine = build_engine(items, queues, clock, RandomIds(), LocalChangeWatch(), fast_path=True, retention=RETENTION)
        yield replace(place, engine=engine), store


@pytest.fixture
def place_and_store(tmp_path: Path) -> Iterator[tuple[Place, StoreWithStream]]:
    """See `on_a_table`."""
    with on_a_table(tmp_path) as found:
        yield found


def waiting(place: Place) -> RunKey:
    """Start a run that waits for an activity (1), a timer (2) and a child (3)."""
    run = place.start(execution_id="e")
    retry = {"max_attempts": 5, "initial_interval_seconds": 600}
    activity = ActivityScheduled.model_validate({"seq": 1, "name": "charge", "input": {}, "options": {"retry": retry}})
    timer = TimerStarted(seq=2, fire_at=place.clock.now() + HOUR)
    place.commit(run, 1, activity, timer, ChildScheduled.model_validate(CHILD))
    return run


def kinds(place: Place) -> list[str]:
    """Return what the execution waits for, but for workers."""
    explanations = place.engine.explanations
    found = explanations.explain(explanations.find(SPACE, "e")).waits
    return [wait.kind.value for wait in found if wait.kind != "no_worker"]


def test_repairs_when_done_on_a_table_then_each_is_recorded_once(place_and_store: tuple[Place, StoreWithStream]) -> None:
    """With the conditions, documents and attributes that it takes."""
    place, _ = place_and_store
    run = waiting(place)
    key = ApiKey("k1", "digest", SPACE, Role.CLIENT, "ann", place.clock.now())
    by = place.engine.interventions
    activity, timer, child = (Command(SPACE, "e", seq, key, "because") for seq in (1, 2, 3))
    assert kinds(place) == ["activity_queued", "timer", "child"]
    place.clock.advance(1)
    assert place.engine.activities.heartbeat(place.attempt(run), ["half"])
    assert kinds(place)[0] == "activity_running"
    assert place.report(run, failure=Failure(message="it broke"))
    assert kinds(place)[0] == "activity_failing"
    by.retry_activity(activity)
    by.retry_activity(activity)
    assert kinds(place)[0] == "activity_queued"
    for _ in range(2):
        by.complete_activity(activity, {"paid": 1})
        by.skip_timer(timer)
        by.fail_child(child, "it was lost")
    with pytest.raises(NotApplicable):
        by.fail_activity(activity, "no")
    assert kinds(place) == ["workflow_task_queued"]
    place.commit(run, 2, *(FactTaken(fact=keys.outcome_fact(seq)) for seq in (1, 2, 3)))
    page = place.engine.history_pages.read(lambda: place.engine.histories.find(SPACE, "e"), PageRequest(descending=True))[1]
    assert [event.get("by_hand", {}).get("key_name") for event in page.events[:4]] == ["ann", "ann", "ann", None]


def test_run_when_paused_on_a_table_then_the_stream_sends_for_it_again_once_it_is_resumed(
    place_and_store: tuple[Place, StoreWithStream],
) -> None:
    """With a transaction each; what was dropped meanwhile is asked for by the record that says that it was resumed."""
    place, store = place_and_store
    run = waiting(place)
    key = ApiKey("k1", "digest", SPACE, Role.CLIENT, "ann", place.clock.now())
    for _ in range(2):
        place.engine.pausing.pause(SPACE, "e", key, "the bank is away")
    assert kinds(place) == ["paused", "activity_queued", "timer", "child"]
    assert place.commit(run, 2, FactTaken(fact="00000001")) is CommitOutcome.CONFLICT
    place.lose_messages()
    before = store.read_changes(None, 1000)[-1].sequence
    for _ in range(2):
        place.engine.pausing.resume(SPACE, "e", key)
    assert [task.verify for task in place.tasks(TaskQueue.WORKFLOW)] == [True]
    for change in store.read_changes(before, 1000):
        for record in records_of(change):
            place.engine.effects.carry_out(plan(record))
    assert kinds(place) == ["activity_queued", "timer", "child"]
    assert [task.attempt for task in place.tasks(TaskQueue.ACTIVITY)] == [1]


def test_execution_when_it_is_deleted_on_a_table_then_the_stream_leads_to_the_rest(
    place_and_store: tuple[Place, StoreWithStream],
) -> None:
    """A deletion by hand is in the stream like one by the table's own clock."""
    place, store = place_and_store
    run = waiting(place)
    place.engine.closing.terminate(SPACE, run.execution_id)
    before = store.read_changes(None, 1000)[-1].sequence
    place.engine.expiry.delete(SPACE, "e")
    with pytest.raises(NotFound):
        place.engine.histories.find(SPACE, "e")
    records = [record for change in store.read_changes(before, 1000) for record in records_of(change)]
    assert [type(record).__name__ for record in records].count("RunExpired") == 1
    for record in records:
        place.engine.effects.carry_out(plan(record))
    assert store.get(keys.batch(run, 1)) is None
