"""Looks after quiet runs: bounded, complete, and right about sessions and builds whose workers are gone."""

from datetime import timedelta

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityFailed, ActivityScheduled, TimerStarted
from levante_core.domain.names import DeploymentName
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Item, Put
from levante_core.protocol import ActivityOptions, WorkflowSpec
from levante_core.protocol.workers import RegisterRequest, TaskQueue
from levante_core.services.dispatch import repair
from levante_core.services.dispatch.repair import LONGEST_LOOK, Looked
from levante_core.services.dispatch.sender import queue_name
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.parked import ParkedKind
from tests.support.engines import READ, Log, another, poll
from tests.support.place import DEPLOYMENT, HOUR, SPACE, Place

WORKFLOW, ACTIVITY = TaskQueue


def quiet(place: Place, number: int) -> list[RunKey]:
    """Start executions, and lose their messages."""
    runs = [place.start() for _ in range(number)]
    place.lose_messages()
    return runs


def minute(place: Place) -> Looked:
    place.clock.advance(60)
    return place.engine.repair.sweep()


def sent_for(place: Place) -> set[str]:
    return {task.task.run_id for task in poll(place.engine, WORKFLOW)}


# --- the walk ---------------------------------------------------------------------------------------------------------


def test_look_when_reading_takes_long_then_it_ends_and_the_next_one_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep has a minute, and more to do than that; no run is left out for it."""
    runs = quiet(place, 24)
    monkeypatch.setattr(repair, "RUNS_AT_ONCE", 2)
    place.clock.advance(60)
    slow = another(place, Log(lambda _: place.clock.advance(1)))
    found: set[str] = set()
    for _ in range(24):
        began_at = place.clock.now()
        assert slow.repair.sweep().runs < len(runs)
        assert place.clock.now() - began_at < 2 * LONGEST_LOOK
        found |= sent_for(place)
    assert found == {run.run_id for run in runs}


@pytest.mark.slow
def test_walk_when_it_takes_several_looks_then_the_next_one_counts_from_where_this_one_began(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was looked at early in one walk, and late in the next, was quiet for all the time between."""
    monkeypatch.setattr(repair, "RUNS_PER_LOOK", 3)
    quiet(place, 17)
    assert [minute(place) for _ in range(12)] == 2 * [*5 * [Looked(3, 3)], Looked(2, 2)]


def test_walk_when_its_place_cannot_be_read_then_it_begins_anew(place: Place) -> None:
    """One damaged item must not keep all runs from being looked after."""
    (run,) = quiet(place, 1)
    for documents in ({}, {"place": None}, {"place": "{"}, {"place": '{"shard": "x"}'}):
        place.store.write(Put(Item(keys.REPAIR, documents=documents)))
        assert minute(place).runs == 1
        assert place.store.get(keys.REPAIR) is None
    assert sent_for(place) == {run.run_id}


def reads_of_a_look(place: Place) -> int:
    """Count what a look reads."""
    log = Log()
    another(place, log).repair.sweep()
    return log.operations.count(READ)


def test_look_when_something_was_recorded_of_a_run_just_now_then_its_history_is_not_read(place: Place) -> None:
    """Most runs are busy: a look costs one query for each of them, however long its history is."""
    nothing = reads_of_a_look(place)
    (run,) = quiet(place, 1)
    place.clock.advance(120)
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + HOUR))
    place.clock.advance(59)
    assert reads_of_a_look(place) == nothing + 1
    place.clock.advance(1)
    assert reads_of_a_look(place) > nothing + 1


def test_run_when_it_cannot_be_looked_after_then_it_is_parked_and_the_others_are_sent_for(place: Place) -> None:
    """It stays in sight until somebody mends it."""
    damaged, sound = quiet(place, 2)
    place.commit(damaged, 2, TimerStarted(seq=1, fire_at=place.clock.now()))
    assert minute(place).runs == 2
    assert minute(place).sent_for <= 1
    (parked,) = place.engine.parking.list(SPACE, 10, None).items
    assert (parked.kind, parked.owner.run) == (ParkedKind.RUN, damaged)
    assert sent_for(place) == {sound.run_id}


# --- sessions whose worker is gone ------------------------------------------------------------------------------------


def registered(place: Place, worker: str, build: str | None = None, session: str | None = None) -> None:
    """Let a worker register, or say that it is there."""
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=30 * HOUR)
    place.engine.catalogue.register(
        SPACE,
        RegisterRequest(
            definitions=(spec,), deployment_name=DEPLOYMENT, worker_name=worker, build_id=build, session=session
        ),
    )


def sticky(place: Place, session: str) -> RunKey:
    """Start an execution with an activity that sticks to a session, and one that does not; lose their messages."""
    run = place.start()
    options = ActivityOptions(session=session)
    for_session = ActivityScheduled(seq=1, name="a", input={}, options=options)
    place.commit(run, 1, for_session, ActivityScheduled(seq=2, name="a", input={}))
    place.lose_messages()
    name = queue_name(SPACE, WorkerPool.parse(f"d~{session}"), ACTIVITY)
    (message,) = place.queues.receive(name, limit=1, wait_seconds=0, visibility_seconds=30)
    place.queues.delete(name, [message.receipt])
    return run


def failures(place: Place, run: RunKey) -> list[tuple[int, str]]:
    facts = [fact.input for fact in place.load(run).facts]
    return [(one.seq, one.failure.type) for one in facts if isinstance(one, ActivityFailed)]


def test_activity_when_the_worker_of_its_session_is_gone_then_it_fails_and_is_sent_to_nobody(place: Place) -> None:
    """The code is told at once, and begins another session; activities of no session are sent again."""
    registered(place, "w1", session="s")
    run = sticky(place, "s")
    place.clock.advance(120)
    registered(place, "w2", session="another")
    assert minute(place) == Looked(1, 1)
    assert failures(place, run) == [(1, "StickyWorkerSessionLost")]
    assert [task.seq for task in place.tasks(ACTIVITY)] == [2]
    assert sent_for(place) == {run.run_id}
    registered(place, "w1", session="s")
    assert poll(place.engine, ACTIVITY, "d~s") == []


def test_activity_when_the_worker_of_its_session_lives_then_its_task_is_sent_there_again(place: Place) -> None:
    """It may have lost the message, and nothing else."""
    registered(place, "w1", session="s")
    run = sticky(place, "s")
    place.clock.advance(30)
    registered(place, "w1", session="s")
    place.clock.advance(31)
    assert place.engine.repair.sweep() == Looked(1, 1)
    assert failures(place, run) == []
    assert [task.seq for task in place.tasks(ACTIVITY)] == [2]
    again = poll(place.engine, ACTIVITY, "d~s")
    assert [(task.task.run_id, task.task.verify) for task in again] == [(run.run_id, True)]


# --- builds whose workers are gone ------------------------------------------------------------------------------------


def test_run_when_the_workers_of_its_build_are_gone_then_those_of_another_get_what_is_due_and_nothing_else(
    place: Place,
) -> None:
    """The run goes over, with its activities; its timers wait for their time."""
    registered(place, "w1", build="b1")
    run = place.engine.executions.start(SPACE, "w", StartRequest()).key
    timer = TimerStarted(seq=2, fire_at=place.clock.now() + timedelta(minutes=10))
    place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={}), timer)
    place.clock.advance(420)
    registered(place, "w2", build="b2")
    place.due()
    assert minute(place) == Looked(1, 1)
    assert [task.task.run_id for task in poll(place.engine, ACTIVITY, "d@b2")] == [run.run_id]
    assert poll(place.engine, ACTIVITY, DeploymentName("d@b1")) == []
    place.clock.advance(200)
    assert place.due() == []
