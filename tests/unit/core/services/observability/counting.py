"""Executions that end, and what is counted of them, for tests of statistics."""

from datetime import datetime, timedelta
from typing import Any

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ExecutionCompleted,
    ExecutionFailed,
)
from levante_core.domain.names import Workspace
from levante_core.domain.observability.statistics import Totals
from levante_core.ports.item_store import Query
from levante_core.services.observability.statistics import StatisticsService
from levante_core.storage import keys
from levante_core.storage.decoding import readable
from levante_core.storage.observability.statistics import hour_of
from tests.support.place import SPACE, Place

MINUTE = 60.0
FAR_BACK = timedelta(days=30)


def run(place: Place, execution_id: str, seconds: float = 1, ending: Any = None) -> RunKey:
    """Start an execution and end it after some time."""
    key = place.start(execution_id=execution_id)
    place.clock.advance(seconds)
    place.commit(key, 1, ending or ExecutionCompleted(seq=1, result=None))
    return key


def runs(place: Place, count: int, begin: str = "e") -> None:
    for number in range(count):
        run(place, f"{begin}{number}")


def failure(kind: str) -> ExecutionFailed:
    return ExecutionFailed(seq=1, failure=Failure(message="no", type=kind))


def totals(place: Place, since: datetime | None = None, workspace: Workspace = SPACE) -> Totals:
    """Return what is shown."""
    return place.engine.statistics.since(workspace, since or place.clock.now() - FAR_BACK).totals


def stored(place: Place, workspace: Workspace = SPACE) -> Totals:
    """Return what sweeps have counted."""
    added = Totals()
    for hour in readable(place.store.query(Query(keys.statistics(workspace))).items, hour_of):
        added.add(hour.totals)
    return added


def sweep_later(place: Place, seconds: float = 3 * MINUTE) -> None:
    place.clock.advance(seconds)
    place.engine.statistics.sweep()


def fresh(place: Place) -> StatisticsService:
    """Return the service as another process has it."""
    return StatisticsService(place.racing, place.clock, place.conflicts)


def statuses(counted: Totals) -> dict[str, int]:
    return {status.value: count for (_, status), count in counted.closed.items()}
