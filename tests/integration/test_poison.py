"""The poison matrix: whatever one stored or queued item is like, it holds up nobody else, and it is not lost.

Each kind of item, with each damage, in the loops that meet it: 20 executions each of the same deployment, of another one and
of another workspace complete meanwhile; the host starts again on the same data; what cannot be handled is parked, shown, and
goes through once it was mended and is tried again.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from levante_core.domain.dispatch.plan import StartChild
from levante_core.domain.dispatch.tasks import DELAYED, TimerDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ChildScheduled, ParentClosePolicy, TimerStarted
from levante_core.domain.history.run_messages import SignalReceived
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, WorkflowName
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Item, Key, Put
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol.workers import TaskQueue
from levante_core.services.children.lifecycle import ChildService
from levante_core.services.dispatch.sender import TIMERS_QUEUE, queue_name
from levante_core.services.schedules.schedules import Target
from levante_core.storage import keys
from levante_core.storage.large_documents import OFFLOAD_BYTES
from levante_core.storage.parked import ParkedKind
from levante_core.storage.runs import Recorded, fact_item, message_fact
from levante_local.sqlite.store import SqliteItemStore
from tests.support.dynamodb_tables import store_on_moto
from tests.support.poison import DAMAGES, HOME, NEIGHBOURS, VICTIM, Plant, batch_key

pytestmark = pytest.mark.slow

DEPLOYMENT = NEIGHBOURS[0][1]
POOL = WorkerPool(DEPLOYMENT)
EVERYWHERE = bool(os.environ.get("LEVANTE_POISON_EVERYWHERE"))
EACH = 2 if EVERYWHERE else 20
"""Of the neighbours: a transaction takes moto a third of a second."""
UNREADABLE = sorted({*DAMAGES, "missing"} - {"unknown kind", "too large"})
"""Damages of a document without a kind and a seq: nothing tells what it was."""
OF_KINDS = sorted({*DAMAGES, "missing"})
STORES = ("SQLite", "moto") if EVERYWHERE else ("SQLite",)


@pytest.fixture(params=STORES)
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    """An installation; on both stores in `make test-poison`, as moto takes its time."""
    if request.param == "SQLite":
        with closing(SqliteItemStore(tmp_path / "items.db", "NORMAL")) as store:
            yield Plant(store, tmp_path)
    else:
        with store_on_moto() as table:
            yield Plant(table, tmp_path)


@pytest.fixture
def plant_on_moto(tmp_path: Path) -> Iterator[Plant]:
    with store_on_moto() as store:
        yield Plant(store, tmp_path)


def a_child(execution_id: str) -> ChildScheduled:
    """Ask for a child of the other deployment, which stays when its parent ends."""
    return ChildScheduled(
        seq=1,
        workflow_name=WorkflowName("w-other"),
        execution_id=ExecutionId(execution_id),
        input=None,
        close_policy=ParentClosePolicy.ABANDON,
    )


Mend = Callable[[], None]
Damage = Callable[[Plant, str], tuple[RunKey, Mend]]


def start_of(plant: Plant, how: str) -> tuple[RunKey, Mend]:
    """Damage what an execution was started with."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    return run, plant.damage(keys.execution(HOME, run.execution_id), "start", how)


def batch_of(plant: Plant, how: str) -> tuple[RunKey, Mend]:
    """Damage a batch that asks for a child, an activity and a timer."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    child = a_child("child")
    timer = TimerStarted(seq=2, fire_at=plant.clock.now() + timedelta(minutes=5))
    plant.commit(run, DEPLOYMENT, child, timer, ActivityScheduled(seq=3, name="a", input={}))
    return run, plant.damage(batch_key(run), "batch", how)


def fact_of(plant: Plant, how: str) -> tuple[RunKey, Mend]:
    """Damage a fact that somebody is to take."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    plant.commit(run, DEPLOYMENT, TimerStarted(seq=2, fire_at=plant.clock.now() + timedelta(minutes=5)))
    plant.round()
    recorded = Recorded(run, POOL, plant.clock.now())
    fact = message_fact(SignalReceived(number=1, at=plant.clock.now(), name="s", input=None))
    item = fact_item(recorded, fact)
    plant.items.write(Put(item))
    return run, plant.damage(item.key, "fact", how)


RECORDS: dict[str, tuple[Damage, list[str]]] = {
    "start": (start_of, UNREADABLE),
    "batch": (batch_of, UNREADABLE),
    "fact": (fact_of, UNREADABLE),
}


def live(plant: Plant, minutes: int, name: str) -> None:
    """Let 20 executions of everybody run, over some minutes with their sweeps; a restart comes in between."""
    runs = plant.start_neighbours(name, EACH)
    plant.round()
    plant.assert_complete(runs)
    for _ in range(minutes):
        plant.minute()
    plant.restart()
    again = plant.start_neighbours(f"{name}-again", EACH)
    plant.round()
    plant.assert_complete(again)


def is_reported(plant: Plant) -> bool:
    """Whether the status of the execution says that something of it is parked."""
    return bool(plant.engine.parking.of_execution(HOME, ExecutionId(VICTIM)))


@pytest.mark.broad
@pytest.mark.parametrize(("kind", "how"), [(kind, how) for kind, (_, hows) in RECORDS.items() for how in hows])
def test_record_of_the_feed_when_damaged_then_it_is_parked_and_goes_through_once_mended(
    plant: Plant, kind: str, how: str
) -> None:
    """The feed, the looks after quiet runs, redrive at the start: nobody waits for what one of them cannot read."""
    damage, _ = RECORDS[kind]
    run, mend = damage(plant, how)
    live(plant, 3, "meanwhile")
    assert is_reported(plant)
    assert plant.is_open(run)
    mend()
    plant.completes_victim = True
    plant.retry_all()
    for _ in range(3):
        plant.minute()
    assert not plant.is_open(run)
    assert plant.parked() == []


def test_record_when_its_handler_raises_then_the_rest_of_its_batch_is_carried_out_and_it_goes_through_later(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the code cannot do today, such as a pattern that it does not know, it can after an upgrade."""
    carry_out = ChildService.carry_out

    def broken(service: ChildService, effect: object) -> None:
        if isinstance(effect, StartChild):
            raise RecursionError("a schema that refers to itself")
        carry_out(service, effect)  # type: ignore[arg-type]

    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    child = a_child("child")
    with monkeypatch.context() as patched:
        patched.setattr(ChildService, "carry_out", broken)
        plant.commit(run, DEPLOYMENT, child, ActivityScheduled(seq=2, name="a", input={}))
        plant.pump()
        queue = queue_name(HOME, POOL, TaskQueue.ACTIVITY)
        assert plant.queues.receive(queue, limit=1, wait_seconds=0, visibility_seconds=1), "the activity was sent"
        live(plant, 3, "meanwhile")
        assert {one.kind for one in plant.parked()} >= {ParkedKind.CHANGE}
        assert all("a schema" not in one.error and "RecursionError" in one.error for one in plant.parked())
    plant.retry_all()
    plant.minute()
    assert plant.parked() == []
    plant.round()
    assert plant.engine.executions.get(HOME, "child").parent_execution_id == VICTIM


# --- messages ---------------------------------------------------------------------------------------------------------

BODIES = {
    "no JSON": "{",
    "no object": "[7]",
    "no kind": "{}",
    "unknown kind": '{"kind": "of_a_later_version", "workspace": "home", "execution_id": "victim"}',
    "null": "null",
    "lone surrogate": '"\\ud800"',
    "deep": "[" * 5000 + "]" * 5000,
    "large": '{"kind": "timer_due", "x": "' + "x" * 200_000 + '"}',
}


@pytest.mark.broad
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("queue", ["timers", "workflow", "activity"])
def test_message_when_it_cannot_be_read_then_it_is_parked_as_it_is_and_can_be_dropped(
    plant: Plant, queue: str, body: str
) -> None:
    """No message is lost for being of a kind that this version does not know, and none is given out that cannot be read."""
    if queue == "timers":
        plant.queues.send(TIMERS_QUEUE, [OutgoingMessage(BODIES[body])])
    else:
        name = queue_name(HOME, POOL, TaskQueue(queue))
        plant.queues.ensure(name)
        plant.queues.send(name, [OutgoingMessage(BODIES[body], group="g", deduplication_id="d")])
    if queue == "activity":
        plant.poll(HOME, DEPLOYMENT, TaskQueue.ACTIVITY)
    live(plant, 2, "meanwhile")
    (item,) = plant.parked()
    stored = plant.items.get(item.key)
    assert stored is not None
    assert stored.documents["item"] == BODIES[body]
    plant.engine.parking.drop(HOME, item.parked_id)
    plant.minute()
    assert plant.parked() == []


def far_timer(plant: Plant, run: RunKey, minutes: int = 60) -> Key:
    """Store a timer that is out of the queue's reach."""
    fire_at = plant.clock.now() + timedelta(minutes=minutes)
    plant.commit(run, DEPLOYMENT, TimerStarted(seq=2, fire_at=fire_at))
    plant.pump()
    return keys.timer(fire_at, run.run_id, "timer:2")


@pytest.mark.parametrize("how", OF_KINDS)
def test_far_timer_when_damaged_then_the_timers_behind_it_fire(plant: Plant, how: str) -> None:
    """It is at the head of its line, and gets out of the way; others of its shard and of others come in time."""
    victim = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    plant.damage(far_timer(plant, victim, 59), "due", how)
    waiting = [plant.start(HOME, DEPLOYMENT, f"waiting-{number}") for number in range(EACH)]
    for run in waiting:
        far_timer(plant, run)
    plant.lose_tasks()
    for _ in range(46):
        plant.clock.advance(60)
        plant.handlers.sweep({}, None)
        plant.lose_tasks()
    assert [kind for kind in (one.kind for one in plant.parked()) if kind == ParkedKind.TIMER]
    plant.clock.advance(16 * 60)
    plant.round()
    plant.assert_complete(waiting)
    live(plant, 1, "meanwhile")


def test_far_timer_when_its_kind_is_known_after_an_upgrade_then_it_fires(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade that was rolled back leaves what only the newer version knows: it waits until that comes back."""
    victim = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    body = TimerDue(
        workspace=HOME,
        execution_id=victim.execution_id,
        run_id=victim.run_id,
        deployment_name=POOL,
        fresh_at=plant.clock.now(),
        seq=2,
    ).model_dump_json()
    plant.queues.send(TIMERS_QUEUE, [OutgoingMessage(body)])
    with monkeypatch.context() as patched:
        patched.setattr(type(DELAYED), "validate_json", lambda *_: (_ for _ in ()).throw(ValueError("unknown kind")))
        plant.fire()
    assert [one.kind for one in plant.parked()] == [ParkedKind.TIMER]
    plant.completes_victim = True
    plant.minute()
    assert plant.parked() == []
    assert plant.items.get(keys.fact(victim, keys.outcome_fact(2)))


# --- deadlines, schedules, expiry -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", UNREADABLE)
def test_overdue_run_when_its_input_cannot_be_read_then_it_times_out_all_the_same(plant: Plant, how: str) -> None:
    """Timing out, terminating and listing a run need nothing of what it was started with."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    others = plant.start_neighbours("overdue", EACH)
    plant.damage(keys.execution(HOME, run.execution_id), "start", how)
    plant.clock.advance(2 * 3600)
    plant.handlers.sweep({}, None)
    for one in [run, *others]:
        status, _ = plant.engine.executions.status(one.workspace, one.execution_id)
        assert status.status is ExecutionStatus.TIMED_OUT
    live(plant, 1, "meanwhile")


def test_overdue_run_when_it_cannot_be_ended_then_it_gets_out_of_the_way_and_is_ended_once_it_can(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays open, listed and parked; the runs behind it in its shard end in time."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    others = plant.start_neighbours("overdue", EACH)
    plant.clock.advance(2 * 3600)
    closing_service = type(plant.engine.closing)
    time_out, tried = closing_service.time_out, []

    def broken(service: object, of: RunKey) -> None:
        if of == run:
            tried.append(of)
            raise KeyError("is_open")
        time_out(service, of)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(closing_service, "time_out", broken)
        for _ in range(10):
            plant.clock.advance(60)
            plant.handlers.sweep({}, None)
        assert len(tried) <= 6, "it is tried less and less often"
        assert not any(plant.is_open(other) for other in others)
        assert plant.is_open(run)
        assert ParkedKind.DEADLINE in [one.kind for one in plant.parked()]
        live(plant, 1, "meanwhile")
    plant.retry_all()
    plant.handlers.sweep({}, None)
    assert not plant.is_open(run)
    assert [one for one in plant.parked() if one.kind == ParkedKind.DEADLINE] == []


@pytest.mark.broad
@pytest.mark.parametrize("document", ["definition", "state"])
@pytest.mark.parametrize("how", UNREADABLE)
def test_schedule_when_damaged_then_the_others_start_their_executions(plant: Plant, document: str, how: str) -> None:
    """Schedules of a shard are reminded one by one."""
    every = ScheduleDefinition.model_validate({"input": None, "cron_expressions": ["*/5 * * * *"]})
    for workspace, deployment in NEIGHBOURS:
        for number in range(5):
            definition = every.model_copy(update={"schedule_id": f"s{number}-{deployment}"})
            plant.engine.schedules.create(workspace, Target(WorkflowName(f"w-{deployment}"), deployment), definition)
    mend = plant.damage(keys.schedule(HOME, "s0-own"), document, how)
    for _ in range(6):
        plant.minute()
    for workspace, deployment in NEIGHBOURS:
        for number in range(5):
            if (workspace, deployment, number) != (HOME, "own", 0):
                state = plant.engine.schedules.get(workspace, f"s{number}-{deployment}").state
                assert state.recent, (workspace, deployment, number)
    assert [one.kind for one in plant.parked()] == [ParkedKind.TIMER]
    mend()
    plant.retry_all()
    for _ in range(6):
        plant.minute()
    assert plant.engine.schedules.get(HOME, "s0-own").state.recent
    assert plant.parked() == []


def test_run_when_its_payload_is_gone_then_it_can_be_terminated_canceled_and_listed(plant: Plant) -> None:
    """What is damaged has to be got rid of: that needs nothing that is damaged."""
    large = {"x": "y" * OFFLOAD_BYTES}
    runs = [plant.start(HOME, DEPLOYMENT, f"{VICTIM}-{number}", input=large) for number in range(2)]
    plant.pump()
    for run in runs:
        plant.damage(keys.execution(HOME, run.execution_id), "start", "payload gone")
    plant.engine.messages.cancel(HOME, runs[0].execution_id)
    plant.engine.closing.terminate(HOME, runs[1].execution_id)
    assert [plant.is_open(run) for run in runs] == [True, False]
    assert plant.engine.executions.status(HOME, runs[1].execution_id)[0].workflow_name == "w-own"


# --- what is parked itself --------------------------------------------------------------------------------------------


def test_parked_item_when_it_is_of_a_later_version_then_it_stays_and_is_listed(plant: Plant) -> None:
    """A kind that this version does not know cannot be tried again by it, and is not lost."""
    plant.queues.send(TIMERS_QUEUE, [OutgoingMessage("{")])
    plant.fire()
    (item,) = plant.parked()
    stored = plant.raw.get(item.key)
    assert stored is not None
    later = {**stored.attributes, "kind": "of_a_later_version", "count": None, "since": "long ago", "tries": "x"}
    plant.raw.write(Put(Item(stored.key, later, {}, stored.indexes)))
    live(plant, 3, "meanwhile")
    assert [one.kind for one in plant.parked()] == ["of_a_later_version"]
    plant.engine.parking.drop(HOME, item.parked_id)
    assert plant.parked() == []


def test_parked_item_when_trying_it_ends_the_process_then_the_next_sweep_does_not_meet_it_first(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends a process cannot be caught: it is noted as failed before it is tried."""
    plant.queues.send(TIMERS_QUEUE, [OutgoingMessage("{")])
    plant.fire()
    tried: list[str] = []

    def killed(_: object, body: str) -> None:
        tried.append(body)
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(type(plant.engine.due), "handle", killed)
        plant.clock.advance(60)
        with pytest.raises(SystemExit):
            plant.handlers.sweep({}, None)
        plant.clock.advance(60)
        plant.handlers.sweep({}, None)
    assert tried == ["{"]
    (item,) = plant.parked()
    assert (item.count, item.tries) == (2, 2)


def test_parking_when_the_table_is_out_of_reach_then_the_batch_comes_again(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is the only case in which a loop waits: what cannot be parked is lost otherwise."""
    run, _ = start_of(plant, "no JSON")

    def down(*_: object, **__: object) -> None:
        raise Unavailable("the table is down")

    with monkeypatch.context() as patched:
        patched.setattr(plant.engine.parking, "park", down)
        with pytest.raises(Unavailable):
            plant.pump()
    plant.rewind()
    plant.pump()
    assert is_reported(plant)
    assert plant.is_open(run)


def test_walk_over_open_runs_when_its_place_cannot_be_read_then_it_begins_anew(plant: Plant) -> None:
    """One item that says where to go on must not end all looks after quiet runs."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.completes_victim = True
    plant.raw.write(Put(Item(keys.REPAIR, {}, {"place": "{"})))
    plant.skip_feed()
    plant.minute()
    plant.minute()
    assert not plant.is_open(run)


# --- on DynamoDB ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["no JSON", "payload gone"])
def test_record_on_dynamodb_when_damaged_then_it_is_parked_and_goes_through_once_mended(
    plant_on_moto: Plant, how: str
) -> None:
    """The same on the other store, whose indexes carry less."""
    plant = plant_on_moto
    run, mend = start_of(plant, how)
    runs = plant.start_neighbours("meanwhile", 3)
    plant.round()
    plant.assert_complete(runs)
    plant.minute()
    plant.restart()
    assert is_reported(plant)
    mend()
    plant.completes_victim = True
    plant.retry_all()
    plant.minute()
    plant.minute()
    assert not plant.is_open(run)
    assert plant.parked() == []


def test_sweep_on_dynamodb_when_a_timer_and_a_run_are_bad_then_all_else_is_done(
    plant_on_moto: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Timers, deadlines and parked items in the indexes of the real table's layout."""
    plant = plant_on_moto
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    others = plant.start_neighbours("overdue", 3)
    plant.damage(far_timer(plant, run, 30), "due", "unknown kind")
    plant.clock.advance(2 * 3600)
    closing_service = type(plant.engine.closing)
    time_out = closing_service.time_out

    def broken(service: object, of: RunKey) -> None:
        if of == run:
            raise KeyError("is_open")
        time_out(service, of)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(closing_service, "time_out", broken)
        plant.handlers.sweep({}, None)
    assert not any(plant.is_open(other) for other in others)
    assert {ParkedKind.TIMER, ParkedKind.DEADLINE} <= {one.kind for one in plant.parked()}
    plant.retry_all()
    plant.handlers.sweep({}, None)
    assert not plant.is_open(run)


@pytest.mark.parametrize("child_id", ["", "x y\n#", "../../etc", "nul\0x", "a" * 257, "a" * 5000])
def test_child_when_its_id_is_none_that_a_caller_could_use_then_the_parent_hears_so(plant: Plant, child_id: str) -> None:
    """Workers check this before; a hostile one does not, and nobody could ask for such an execution, or end it."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    child = a_child(child_id)
    plant.commit(run, DEPLOYMENT, child)
    plant.round()
    handed_over = plant.items.get(keys.fact(run, keys.outcome_fact(1)))
    assert handed_over is not None
    assert "is not allowed: use 1 to 256 letters" in handed_over.documents["fact"]
    plant.engine.closing.terminate(HOME, run.execution_id)
    plant.round()
    assert plant.parked() == []


def test_children_when_the_history_of_their_parent_cannot_be_read_then_they_are_left_once_it_can(plant: Plant) -> None:
    """What is to become of them stands in what is damaged: it is not forgotten for that."""
    run = plant.start(HOME, DEPLOYMENT, VICTIM)
    plant.round()
    child = a_child("child").model_copy(update={"close_policy": ParentClosePolicy.TERMINATE})
    plant.commit(run, DEPLOYMENT, child)
    plant.pump()
    mend = plant.damage(batch_key(run), "batch", "payload gone")
    plant.engine.closing.terminate(HOME, run.execution_id)
    plant.pump()
    assert plant.engine.executions.status(HOME, "child")[0].is_open
    assert [one.owner.execution_id for one in plant.parked()] == [VICTIM]
    mend()
    plant.retry_all()
    plant.handlers.sweep({}, None)
    assert plant.engine.executions.status(HOME, "child")[0].status is ExecutionStatus.TERMINATED
    assert plant.parked() == []
