"""Which workers are there: what it costs to know, and when what is known of them goes."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.catalogue.routing import LIVENESS_WINDOW
from levante_core.domain.history.events import TimerStarted
from levante_core.domain.names import DeploymentName
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import AmbiguousWorkflow
from levante_core.ports.item_store import Query
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import HeartbeatRequest, RegisterRequest, RegisterResponse
from levante_core.services.catalogue import builds, worker_groups
from levante_core.services.catalogue.worker_groups import BUILD_KEPT_FOR, NOTED_EVERY
from levante_core.services.engine import Engine, build_engine
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from levante_core.storage.catalogue import WORKER_KEPT_FOR
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import CountingStore
from tests.support.place import DEPLOYMENT, SPACE, Place, new_place

BEAT = timedelta(seconds=10)
DAY = timedelta(days=1)


def register(
    engine: Engine, worker: str, *workflows: str, deployment: str = DEPLOYMENT, build: str | None = None
) -> RegisterResponse:
    definitions = tuple(
        WorkflowSpec(name=name, task_queue="q", input_schema={}, execution_timeout=timedelta(days=1000))
        for name in workflows or ("w",)
    )
    request = RegisterRequest(
        definitions=definitions, deployment_name=DeploymentName(deployment), worker_name=worker, build_id=build
    )
    return engine.catalogue.register(SPACE, request)


def beat(
    engine: Engine, worker: str, known: RegisterResponse, deployment: str = DEPLOYMENT, build: str | None = None
) -> bool:
    request = HeartbeatRequest(
        workflow_registration_refs=known.workflow_registration_refs,
        deployment_name=DeploymentName(deployment),
        worker_name=worker,
        build_id=build,
    )
    return engine.catalogue.heartbeat(SPACE, request)


def let_pass(place: Place, time: timedelta) -> None:
    """Let time pass, and the store delete what has expired."""
    place.clock.advance(time.total_seconds())
    while place.store.delete_expired(place.clock.now(), 100):
        pass


def counting(place: Place) -> tuple[Engine, CountingStore]:
    """Build an engine on the same items that counts what it asks for."""
    store = CountingStore(place.store)
    items = OffloadingStore(store, place.payloads)
    return build_engine(items, place.queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=False), store


def reads_of_start(place: Place, workers: int, build: str | None, *others: str) -> tuple[int, int]:
    """Return the reads of a start, and the items that they return, with so many workers in each deployment."""
    for deployment in (str(DEPLOYMENT), *others):
        for number in range(workers):
            register(place.engine, f"w{number}", deployment=deployment, build=build)
    engine, store = counting(place)
    engine.executions.start(SPACE, "w", StartRequest(deployment_name=str(DEPLOYMENT)))
    return store.reads, store.items


@pytest.fixture
def another(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with new_place(tmp_path_factory.mktemp("another")) as made:
        yield made


@pytest.mark.parametrize("build", [None, "b1"])
@pytest.mark.parametrize("others", [(), ("other",)])
def test_start_when_there_are_many_workers_then_it_reads_no_more_than_with_one(
    place: Place, another: Place, build: str | None, others: tuple[str, ...]
) -> None:
    """What a start costs depends on the deployments that serve the workflow, not on how many workers they have."""
    assert reads_of_start(place, 1, build, *others) == reads_of_start(another, 60, build, *others)


def test_registration_when_another_deployment_has_many_workers_then_it_reads_no_more(place: Place, another: Place) -> None:
    """A conflict is noticed without a look at each worker."""
    found = []
    for where, workers in ((place, 1), (another, 60)):
        for number in range(workers):
            register(where.engine, f"w{number}", deployment="other")
        engine, store = counting(where)
        assert register(engine, "mine").has_conflicts
        found.append((store.reads, store.items))
    assert found[0] == found[1]


@pytest.mark.parametrize("build", [None, "b1"])
def test_heartbeats_when_sent_then_each_is_one_write_and_every_other_one_notes_the_group(
    place: Place, build: str | None
) -> None:
    """Each is a write of one item by itself: in a transaction it would cost two."""
    engine, store = counting(place)
    known = register(engine, "w1", build=build)
    store.writes = store.reads = 0
    for _ in range(60):
        place.clock.advance(BEAT.total_seconds())
        assert beat(engine, "w1", known, build=build)
    assert (store.writes, store.reads) == (60 + 30, 0)
    assert len(engine.worker_groups.live(SPACE, DEPLOYMENT)) == 1


def test_group_when_its_workers_are_gone_then_it_is_live_for_the_window_at_least_and_soon_no_more(place: Place) -> None:
    """Whoever was heard of is live for the whole window; between two notes, a little longer."""
    known = register(place.engine, "w1")
    for _ in range(7):
        place.clock.advance(BEAT.total_seconds())
        beat(place.engine, "w1", known)
    place.clock.advance(LIVENESS_WINDOW.total_seconds() - 1)
    assert place.engine.worker_groups.live(SPACE, DEPLOYMENT)
    place.clock.advance(NOTED_EVERY.total_seconds() + 1)
    assert place.engine.worker_groups.live(SPACE, DEPLOYMENT) == []


def test_workflow_when_it_has_moved_to_another_deployment_then_the_one_it_left_is_not_asked(place: Place) -> None:
    """A deployment that is alive counts for what its live workers serve, and for nothing that older ones served."""
    engine = place.engine
    register(engine, "old", "w", "moved")
    register(engine, "new", "moved", deployment="other")
    with pytest.raises(AmbiguousWorkflow):
        engine.executions.start(SPACE, "moved", StartRequest())
    place.clock.advance((LIVENESS_WINDOW + NOTED_EVERY).total_seconds())
    register(engine, "next", "w")
    register(engine, "new", "moved", deployment="other")
    assert engine.executions.start(SPACE, "moved", StartRequest()).pool == WorkerPool.parse("other")


def test_worker_when_it_is_gone_for_long_then_it_is_forgotten_and_may_come_back(place: Place) -> None:
    """Names that are never used again must not pile up; one that is has to register."""
    engine = place.engine
    known = register(engine, "w1")
    let_pass(place, WORKER_KEPT_FOR - BEAT)
    assert beat(engine, "w1", known)
    let_pass(place, WORKER_KEPT_FOR - BEAT)
    assert [worker.name for worker in engine.catalogue.workers(SPACE, DEPLOYMENT)] == ["w1"]
    let_pass(place, 2 * BEAT)
    assert engine.catalogue.workers(SPACE, DEPLOYMENT) == []
    assert not beat(engine, "w1", known)
    register(engine, "w1")
    assert beat(engine, "w1", known)


def test_deployment_when_all_its_workers_are_forgotten_then_executions_still_go_there(place: Place) -> None:
    """Deployments, registrations and workflows stay: a start waits for the next worker."""
    register(place.engine, "w1", build="b1")
    let_pass(place, BUILD_KEPT_FOR + DAY)
    partition = keys.deployment(SPACE, DEPLOYMENT).partition
    assert [item.key.sort for item in place.store.query(Query(partition)).items] == [keys.DEPLOYMENT]
    assert place.engine.executions.start(SPACE, "w", StartRequest()).pool == WorkerPool.parse("d@b1")


def test_build_when_its_workers_go_on_then_it_is_kept_and_stays_as_old_as_it_is(place: Place) -> None:
    """A build that is in use for months is no new one after that."""
    engine = place.engine
    known = register(engine, "w1", build="b1")
    (before,) = engine.builds.all(SPACE, DEPLOYMENT)
    for _ in range(2 * BUILD_KEPT_FOR.days):
        let_pass(place, DAY)
        assert beat(engine, "w1", known, build="b1")
    assert engine.builds.all(SPACE, DEPLOYMENT) == [before]


def test_build_when_open_executions_are_pinned_to_it_then_it_is_kept_without_workers(place: Place) -> None:
    """Who comes back for what is left of an old build must not become the current one by that."""
    engine = place.engine
    register(engine, "w1", build="b1")
    run = engine.executions.start(SPACE, "w", StartRequest()).key
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now() + 100 * DAY))
    for _ in range(2 * BUILD_KEPT_FOR.days):
        let_pass(place, DAY)
        engine.repair.sweep()
    assert [build.build_id for build in engine.builds.all(SPACE, DEPLOYMENT)] == ["b1"]
    engine.closing.terminate(SPACE, run.execution_id)
    for _ in range(BUILD_KEPT_FOR.days + 1):
        let_pass(place, DAY)
        engine.repair.sweep()
    assert engine.builds.all(SPACE, DEPLOYMENT) == []


def test_execution_when_the_build_it_is_pinned_to_is_forgotten_then_the_current_one_takes_over(place: Place) -> None:
    """Routing needs no trace of a build that is gone."""
    engine = place.engine
    register(engine, "w1", build="b1")
    run = engine.executions.start(SPACE, "w", StartRequest()).key
    let_pass(place, BUILD_KEPT_FOR + DAY)
    assert engine.builds.all(SPACE, DEPLOYMENT) == []
    pinned_to = engine.executions.get(SPACE, run.execution_id).pool
    assert engine.builds.take_over(run, pinned_to) == pinned_to, "nobody is there"
    register(engine, "w2", build="b2")
    assert engine.builds.take_over(run, pinned_to) == WorkerPool.parse("d@b2")
    assert engine.executions.get(SPACE, run.execution_id).pool == WorkerPool.parse("d@b2")


def test_worker_when_its_build_was_forgotten_all_the_same_then_it_registers_again(place: Place) -> None:
    """A worker that stood still for a month, and goes on."""
    engine = place.engine
    known = register(engine, "w1", build="b1")
    worker = place.store.get(keys.worker(SPACE, DEPLOYMENT, "w1", "b1"))
    let_pass(place, BUILD_KEPT_FOR + DAY)
    assert worker is not None
    assert not beat(engine, "w1", known, build="b1")
    register(engine, "w1", build="b1")
    assert beat(engine, "w1", known, build="b1")
    assert [build.build_id for build in engine.builds.all(SPACE, DEPLOYMENT)] == ["b1"]


def test_open_runs_when_there_are_more_than_are_counted_then_it_says_so(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number that may be too low must not tell anybody that a build is drained."""
    monkeypatch.setattr(builds, "MOST_COUNTED", 5)
    register(place.engine, "w1", build="b1")
    for number in range(7):
        found = place.engine.builds.open_runs(SPACE, DEPLOYMENT)
        assert (found.by_build["b1"], found.is_partial) == (min(number, 5), number > 5)
        place.engine.executions.start(SPACE, "w", StartRequest())


def test_notes_when_many_groups_come_and_go_then_a_process_remembers_a_bounded_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API process may live for months."""
    monkeypatch.setattr(worker_groups, "MOST_NOTES_REMEMBERED", 10)
    with new_place(tmp_path) as place:
        for number in range(50):
            register(place.engine, "w", deployment=f"d{number}")
            place.clock.advance(60)
        assert len(place.engine.worker_groups._noted) == 10


@pytest.mark.parametrize(("builds", "live"), [(3, 3), (4, 3)])
def test_groups_when_there_are_more_than_are_looked_at_then_those_beyond_do_not_count(
    place: Place, monkeypatch: pytest.MonkeyPatch, builds: int, live: int
) -> None:
    """Finding out who is there costs no more, however many builds a day has seen."""
    monkeypatch.setattr(worker_groups, "MOST_GROUPS", 3)
    for number in range(builds):
        register(place.engine, f"w{number}", build=f"b{number}")
    assert len(place.engine.worker_groups.live(SPACE, DEPLOYMENT)) == live
