"""Statistics on DynamoDB: closed runs move within an index of the table, and each is counted once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ExecutionCompleted, ExecutionContinuedAsNew, ExecutionFailed
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import RunId
from levante_core.services.conflicts import Conflicts
from levante_core.services.engine import build_engine
from levante_core.services.observability.statistics import StatisticsService
from levante_local.change_watch import LocalChangeWatch
from levante_local.payload_files import PayloadFiles
from levante_local.queues.queues import InProcessQueues
from tests.fakes import FakeClock
from tests.support.dynamodb_tables import store_on_moto
from tests.support.place import SPACE, Place

EXPECTED = {
    ("w", ExecutionStatus.COMPLETED): 5,
    ("w", ExecutionStatus.FAILED): 1,
    ("w", ExecutionStatus.CONTINUED_AS_NEW): 1,
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An engine on a table, in which seven runs have ended."""
    clock, ids = FakeClock(), RandomIds()
    with store_on_moto() as table:
        queues, payloads = InProcessQueues(clock), PayloadFiles(tmp_path)
        items = OffloadingStore(table, payloads)
        engine = build_engine(items, queues, clock, ids, LocalChangeWatch(), fast_path=True)
        made = Place(engine, table, items, queues, clock, payloads, Conflicts(clock, ids))  # type: ignore[arg-type]
        for number in range(4):
            made.commit(made.start(execution_id=f"e{number}"), 1, ExecutionCompleted(seq=1, result=None))
        made.commit(made.start(execution_id="e0"), 1, ExecutionFailed(seq=1, failure=Failure(message="no", type="Refused")))
        made.commit(made.start(execution_id="c"), 1, ExecutionContinuedAsNew(seq=1, run_id=RunId("r2"), input=None))
        second = engine.executions.get(SPACE, "c").key
        made.commit(second, 1, ExecutionCompleted(seq=1, result=None))
        yield made


def test_statistics_when_runs_end_on_dynamodb_then_looks_and_sweeps_count_each_once(place: Place) -> None:
    """Also after several sweeps at once, and by processes that know nothing of one another."""
    since = place.clock.now()
    assert place.engine.statistics.since(SPACE, since).totals.closed == EXPECTED
    place.clock.advance(180)
    services = [StatisticsService(place.racing, place.clock, place.conflicts) for _ in range(3)]
    threads = [threading.Thread(target=service.sweep) for service in services]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    place.engine.statistics.sweep()
    found = place.engine.statistics.since(SPACE, since)
    assert found.totals.closed == EXPECTED
    assert found.totals.failures == {("w", "Refused"): 1}
    assert not found.is_partial
