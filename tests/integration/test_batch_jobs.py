"""Batch jobs on both stores, with the dispatcher's handlers: the feed and the timers queue take them on by themselves."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from levante_core.domain.batch_jobs.job import PAGE, BatchJob
from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled, ExecutionFailed
from levante_core.domain.names import Workspace
from levante_core.ports.item_store import Query
from levante_core.storage import keys
from levante_core.storage.batch_jobs.jobs import KEPT_FOR
from levante_core.storage.catalogue import ApiKey, Role
from levante_core.storage.large_documents import OFFLOAD_BYTES
from levante_local.sqlite.store import SqliteItemStore
from tests.support.dynamodb_tables import store_on_moto
from tests.support.poison import AWAY, HOME, NEIGHBOURS, Plant

OWN = NEIGHBOURS[0][1]
ACTIONS: Sequence[dict[str, Any]] = (
    {"kind": "cancel"},
    {"kind": "terminate"},
    {"kind": "signal", "name": "s"},
    {"kind": "reset"},
    {"kind": "retry"},
    {"kind": "rerun"},
)


@pytest.fixture(params=["SQLite", pytest.param("DynamoDB", marks=pytest.mark.slow)])
def plant(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Plant]:
    if request.param == "SQLite":
        with closing(SqliteItemStore(tmp_path / "items.db", "NORMAL")) as store:
            yield Plant(store, tmp_path)
    else:
        with store_on_moto() as table:
            yield Plant(table, tmp_path)


def start(plant: Plant, action: dict[str, Any], value: Any = None, **criteria: Any) -> BatchJob:
    """Start a job in the home workspace."""
    key = ApiKey("k1", "digest", HOME, Role.CLIENT, "ann", plant.clock.now())
    wanted = {"criteria": criteria or {"workflow_identifier": f"w-{OWN}"}, "action": action}
    return plant.engine.batch_jobs.start(key, "b1", BatchRequest.model_validate(wanted), value)


def run(plant: Plant, workspace: Workspace = HOME) -> BatchJob:
    """Take steps until the job has ended."""
    for _ in range(100):
        plant.pump()
        plant.fire()
        job = plant.engine.batch_jobs.get(workspace, "b1")
        if not job.is_running:
            return job
    raise AssertionError("the job goes on and on")


def executions(plant: Plant, count: int) -> list[RunKey]:
    """Start executions, one after the other."""
    runs = []
    for number in range(count):
        runs.append(plant.start(HOME, OWN, f"e{number}"))
        plant.clock.advance(0.1)
    plant.clock.advance(1)
    return runs


def fail(plant: Plant, run_key: RunKey) -> None:
    """Let an execution take a step, and fail."""
    plant.commit(run_key, OWN, ActivityScheduled(seq=1, name="a", input={}))
    plant.commit(run_key, OWN, ExecutionFailed(seq=2, failure=Failure(message="it broke")))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["kind"])
def test_job_when_it_has_several_pages_then_it_goes_on_by_itself_to_its_end(
    plant: Plant, action: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same on both stores; executions of others are left alone."""
    monkeypatch.setattr(BatchJob, "page_size", 2)
    plant.start(AWAY, NEIGHBOURS[2][1], "theirs")
    for run_key in executions(plant, 5):
        fail(plant, run_key)
    plant.clock.advance(1)
    kind = action["kind"]
    if kind in {"reset", "rerun"}:
        start(plant, action, status=["FAILED"])
        expected: tuple[int, int, dict[str, int]] = (5, 5, {})
    else:
        plant.start(HOME, OWN, "open")
        plant.clock.advance(1)
        start(plant, action, {} if kind == "signal" else None, search="w-own")
        expected = (6, 0, {"ended": 5, "not_applicable": 1}) if kind == "retry" else (6, 1, {"ended": 5})
    progress = run(plant).progress
    assert (progress.matched, progress.done, dict(progress.skipped), progress.failed) == (*expected, 0)
    assert plant.engine.executions.get(AWAY, "theirs").is_open
    assert not plant.parked()


def test_job_when_the_host_starts_again_in_the_middle_then_it_goes_on(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queues are empty then, and nobody waits for a sweep."""
    monkeypatch.setattr(BatchJob, "page_size", 2)
    executions(plant, 6)
    start(plant, {"kind": "terminate"})
    plant.pump()
    plant.fire()
    assert plant.engine.batch_jobs.get(HOME, "b1").progress.done == 2
    plant.skip_feed()
    plant.restart()
    progress = run(plant).progress
    assert (progress.done, progress.careful) == (6, 0)


def test_job_when_feed_and_queue_lose_everything_then_the_sweep_takes_it_on(plant: Plant) -> None:
    """Within some minutes."""
    executions(plant, 3)
    start(plant, {"kind": "terminate"})
    plant.skip_feed()
    for _ in range(3):
        plant.clock.advance(60)
        plant.handlers.sweep({}, None)
    assert run(plant).progress.done == 3


@pytest.mark.slow
def test_reset_when_five_hundred_executions_have_failed_then_each_goes_on_once(tmp_path: Path) -> None:
    """After an outage, for example."""
    with closing(SqliteItemStore(tmp_path / "items.db", "NORMAL")) as store:
        plant = Plant(store, tmp_path)
        for run_key in executions(plant, 500):
            fail(plant, run_key)
        plant.clock.advance(1)
        started = start(plant, {"kind": "reset"}, status=["FAILED"])
        plant.rewind()
        progress = run(plant).progress
        assert (progress.matched, progress.done, progress.failed, progress.steps) == (500, 500, 0, 500 // PAGE + 1)
        for number in range(500):
            execution = plant.engine.executions.get(HOME, f"e{number}")
            assert (execution.is_open, execution.key.run_id) == (True, started.derived_id(execution.key.execution_id))


def test_job_when_its_time_is_over_then_it_goes_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    """Its failures, and an input that is kept elsewhere."""
    with closing(SqliteItemStore(tmp_path / "items.db", "NORMAL")) as store:
        plant = Plant(store, tmp_path)
        executions(plant, 1)
        start(plant, {"kind": "signal", "name": "nobody takes this"}, {"a": "x" * 2 * OFFLOAD_BYTES})
        assert run(plant).progress.failed == 1
        payloads = [path for path in (tmp_path / "payloads").rglob("*") if path.is_file()]
        assert len(payloads) == 1
        os.utime(payloads[0], times=(plant.clock.now().timestamp(),) * 2)
        plant.clock.advance((KEPT_FOR + timedelta(days=1)).total_seconds())
        assert store.delete_expired(plant.clock.now(), 100) >= 2
        plant.pump()
        assert plant.engine.batch_jobs.all(HOME) == []
        assert store.query(Query(keys.all_batch_failures(HOME, "b1"))).items == []
        assert not payloads[0].exists()
