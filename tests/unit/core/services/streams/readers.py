"""Readers of streams that grow."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from levante_core.adapters.system import SystemClock
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted
from levante_core.domain.names import ExecutionId
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.ports.item_store import ItemStore
from levante_core.protocol.activities import Publication, TaskEventReport
from levante_core.services.streams.activity_events import GrantedPublication
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.tails import TailService, TailUpdate
from levante_local.change_watch import LocalChangeWatch
from tests.support.place import SPACE, Place

ROOT = ExecutionId("e")
LONG_SECONDS = 20.0
"""Longer than anything here takes."""


class Script:
    """A ChangeWatch whose waits do, one after the other, what a test says; then they let the time pass."""

    def __init__(self, place: Place, *actions: Callable[[], object]) -> None:
        self.waited: list[float] = []
        self.watched: list[Sequence[str]] = []
        self._actions = iter(actions)
        self._clock = place.clock

    @contextmanager
    def watch(self, *partitions: str) -> Iterator["Script"]:
        """See ChangeWatch."""
        self.watched.append(partitions)
        yield self

    def wait(self, seconds: float) -> None:
        """See Watched."""
        self.waited.append(seconds)
        action = next(self._actions, None)
        if action is None:
            self._clock.advance(seconds)
        else:
            action()

    def has_changed(self) -> bool:
        """See Watched: this one cannot tell."""
        return True


def items_of(place: Place) -> ItemStore:
    return place.engine.streams._store


def tails_of(place: Place, script: Script) -> TailService:
    return TailService(place.engine.streams, place.clock, script)


def live_tails(place: Place, store: ItemStore | None = None) -> tuple[TailService, LocalChangeWatch]:
    """Tails that are woken by the store's own writer, on a clock that goes."""
    watch = LocalChangeWatch()
    place.store.listen(watch.notify)
    return TailService(StreamService(store or items_of(place), place.conflicts), SystemClock(), watch), watch


def begun(place: Place) -> RunKey:
    return place.start(execution_id=ROOT)


def step(place: Place, run: RunKey, index: int, count: int = 1) -> None:
    """Commit a batch that makes so many events."""
    events = [ActivityScheduled(seq=1000 * index + number, name="a", input=None) for number in range(count)]
    place.commit(run, index, *events, commit_id=f"c{index}")


def tell(place: Place, number: int) -> None:
    """Add an event of a custom task that so many events are in front of."""
    report = TaskEventReport(
        number=number, at=place.clock.now(), event=TaskEvent(task_id="t", task_type="t", phase=TaskPhase.IN_PROGRESS)
    )
    execution = place.engine.executions.get(SPACE, ROOT)
    publication = Publication(
        token="not read here",
        activity_name="a",
        publisher="p",
        events=(report,),
        after=number - 1,
    )
    assert place.engine.task_events.append(SPACE, [GrantedPublication(place.attempt(execution.key), publication)]) == [
        number
    ]


def complete(place: Place, run: RunKey, index: int) -> None:
    place.commit(run, index, ExecutionCompleted(seq=9999, result=None))


def sequences(update: TailUpdate) -> list[int]:
    return [one.sequence for one in update.events]
