"""Streams of runs that tests record by hand."""

from collections.abc import Callable, Sequence
from typing import Any

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    ExecutionCompleted,
)
from levante_core.domain.names import ExecutionId
from levante_core.ports.item_store import ItemStore, Write
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.streams.publish import Sequenced, StreamService
from tests.support.faults import NO_FAULTS, FaultyStore, Operations
from tests.support.place import SPACE, Place

STARTED, COMPLETED = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_COMPLETED"
ROOT = ExecutionId("e")


def items_of(place: Place) -> ItemStore:
    """The store that the services use, payloads in place."""
    return place.engine.streams._store


def begun(place: Place) -> RunKey:
    return place.start(execution_id=ROOT)


def scheduled(seq: int) -> ActivityScheduled:
    options = ActivityOptions(retry=RetryPolicy(max_attempts=9))
    return ActivityScheduled(seq=seq, name="a", input=seq, options=options)


def run_step(place: Place, run: RunKey, index: int, result: Any = None) -> None:
    """Commit a batch with the outcome of the step before, and the start of this one."""
    outcome = [ActivityCompleted(seq=index - 1, at=place.clock.now(), result=result)] if index > 1 else []
    assert place.commit(run, index, *outcome, scheduled(index)) is CommitOutcome.RECORDED


def complete(place: Place, run: RunKey, index: int) -> None:
    assert place.commit(run, index, ExecutionCompleted(seq=9999, result=None)) is CommitOutcome.RECORDED


def all_of(place: Place, root: ExecutionId = ROOT) -> list[Sequenced]:
    """Read a stream, and check what holds of each: it begins with 1, has no gap, and has nothing twice."""
    events = list(place.engine.streams.read(SPACE, root, 1))
    assert [one.sequence for one in events] == list(range(1, len(events) + 1))
    assert len({one.update.event.event_id for one in events}) == len(events)
    return events


def types(events: Sequence[Sequenced]) -> list[str]:
    return [one.update.event.event_type for one in events]


def steps_published(events: Sequence[Sequenced]) -> list[tuple[str, str]]:
    """Return what was published of activities, and of which."""
    return [
        (one.update.event.event_type.removeprefix("ACTIVITY_TASK_"), str(one.update.activity_id).partition(":")[2])
        for one in events
        if one.update.scope == "activity"
    ]


def steps_expected(count: int) -> list[tuple[str, str]]:
    """Return what has to be published of steps one after the other, the last of them without an outcome."""
    return [told for seq in range(1, count + 1) for told in (("STARTED", str(seq)), ("COMPLETED", str(seq)))][:-1]


def publish(place: Place, service: StreamService | None = None) -> None:
    (service or place.engine.streams).publish(SPACE, ROOT)


def published(place: Place) -> list[Sequenced]:
    publish(place)
    return all_of(place)


class InterruptedStore(FaultyStore):
    """Calls somebody else in before each write; `writes` counts those that were tried."""

    def __init__(self, store: ItemStore, meanwhile: Callable[[], None]) -> None:
        super().__init__(store, Operations("publisher", NO_FAULTS))
        self.writes = 0
        self._meanwhile = meanwhile

    def write(self, *writes: Write) -> None:
        self.writes += 1
        self._meanwhile()
        super().write(*writes)
