"""The end of a stream that the readers of a process share: complete after any failure, and bounded."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ChildScheduled, ExecutionCompleted, ParentClosePolicy
from levante_core.domain.names import ExecutionId
from levante_core.errors import Unavailable
from levante_core.services.streams import shared_tail
from levante_core.services.streams.publish import StreamService
from levante_core.services.streams.shared_tail import StreamEnd
from levante_core.storage import keys
from levante_local.change_watch import LocalChangeWatch
from tests.support.engines import carry_out_changes
from tests.support.faults import CountingStore, Fate, FaultyStore, Operations
from tests.support.place import SPACE, Place

ROOT, CHILD = ExecutionId("e"), ExecutionId("child")


class Failing:
    """Faults of the next operations of some kinds, in this order."""

    def __init__(self) -> None:
        self.next: list[tuple[str, Fate]] = []

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        if self.next and operation.endswith(self.next[0][0]):
            return self.next.pop(0)[1]
        return Fate.DONE


class Shared:
    """The end of a stream as a process knows it whose store fails, and the reads that it costs."""

    def __init__(self, place: Place, watch: LocalChangeWatch | None = None) -> None:
        self.faults = Failing()
        self.watch = watch or LocalChangeWatch()
        self.store = CountingStore(FaultyStore(place.store, Operations("reader", self.faults)))
        place.store.listen(self.watch.notify)
        self.streams = StreamService(OffloadingStore(self.store, place.payloads), place.conflicts)
        self.end = StreamEnd(self.streams, self.watch, SPACE, ROOT)

    def look(self, first: int = 1) -> list[int]:
        """Publish, and read from a place on."""
        self.end.publish()
        return self.read(first)

    def read(self, first: int = 1) -> list[int]:
        """Read from a place on, without publishing."""
        return [one.sequence for one in self.end.read(first).events]


def begun(place: Place) -> RunKey:
    return place.start(execution_id=ROOT)


def step(place: Place, run: RunKey, index: int, count: int = 1) -> None:
    """Commit a batch that makes so many events."""
    events = [ActivityScheduled(seq=1000 * index + number, name="a", input=None) for number in range(count)]
    place.commit(run, index, *events, commit_id=f"c{index}")


def child(place: Place, run: RunKey, index: int) -> RunKey:
    """Let a run have a child that has started."""
    asked = ChildScheduled(
        seq=index, workflow_name="w", execution_id=CHILD, input=None, close_policy=ParentClosePolicy.ABANDON
    )
    place.commit(run, index, asked, commit_id=f"c{index}")
    carry_out_changes(place, place.engine)
    return place.engine.executions.get(SPACE, CHILD).key


@pytest.fixture
def shared(place: Place) -> Iterator[Shared]:
    """The end of a stream that has one event."""
    begun(place)
    made = Shared(place)
    with closing(made.end):
        assert made.look() == [1]
        yield made


def run_of(place: Place) -> RunKey:
    return place.engine.executions.get(SPACE, ROOT).key


# --- what fails -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["read", "write"])
def test_publish_when_it_fails_then_the_next_one_tells_it_though_nothing_has_changed_since(
    place: Place, shared: Shared, operation: str
) -> None:
    """Whoever learns of a change learns it once: if that comes to nothing, readers would miss the last events."""
    step(place, run_of(place), 1)
    shared.faults.next = [(operation, Fate.REFUSED)]
    with pytest.raises(Unavailable):
        shared.end.publish()
    assert shared.look(2) == [2]


def test_publish_when_it_fails_after_more_is_followed_then_the_next_one_tells_all(place: Place, shared: Shared) -> None:
    """The second look, at what was recorded before it was watched, may fail as well."""
    run = run_of(place)
    born = child(place, run, 1)
    publish, calls = shared.streams.publish, 0

    def second_fails(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            step(place, born, 1)
            raise Unavailable("at the second look")
        return publish(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shared.streams, "publish", second_fails)
        with pytest.raises(Unavailable):
            shared.end.publish()
    numbers = shared.look(1)
    assert numbers == [*range(1, len(numbers) + 1)]
    assert len(numbers) == 3, "two starts, and the child's activity"


def test_read_when_it_fails_then_the_next_one_has_what_is_new_though_nothing_has_changed_since(
    place: Place, shared: Shared
) -> None:
    """As for publishing."""
    step(place, run_of(place), 1)
    shared.end.publish()
    shared.faults.next = [("read", Fate.REFUSED)]
    with pytest.raises(Unavailable):
        shared.read(2)
    assert shared.read(2) == [2]
    assert shared.end.read(2).is_all


# --- what is watched --------------------------------------------------------------------------------------------------


class Meanwhile(LocalChangeWatch):
    """Lets something happen right before a partition is watched for the first time."""

    def __init__(self, partition: Callable[[], str], act: Callable[[], object]) -> None:
        super().__init__()
        self._partition = partition
        self._acts = iter([act])

    @contextmanager
    def watch(self, *partitions: str) -> Iterator[Any]:
        """See ChangeWatch."""
        if self._partition() in partitions:
            for act in self._acts:
                act()
        with super().watch(*partitions) as watched:
            yield watched


def test_publish_when_a_child_comes_before_its_parent_is_watched_then_the_child_is_watched_too(place: Place) -> None:
    """As long as there is more to follow, it is watched, and looked at once more."""
    run = begun(place)
    watch = Meanwhile(lambda: keys.history(SPACE, run.run_id), lambda: child(place, run, 1))
    shared = Shared(place, watch)
    with closing(shared.end):
        assert shared.look() == [1, 2]
        born = place.engine.executions.get(SPACE, CHILD).key
        assert keys.history(SPACE, born.run_id) in shared.end.recorded_in
        step(place, born, 1)
        assert shared.look(3) == [3]


def test_publish_when_the_id_of_a_closed_execution_is_used_again_then_the_new_run_is_published(
    place: Place, shared: Shared
) -> None:
    """A run that has ended says nothing any more, but its execution may begin anew."""
    place.commit(run_of(place), 1, ExecutionCompleted(seq=1, result=None))
    assert shared.look(2) == [2]
    place.clock.advance(1)
    begun(place)
    assert shared.look(3) == [3]


def test_publish_when_nothing_has_changed_then_it_costs_nothing(place: Place, shared: Shared) -> None:
    """Many readers look for each event that one of them publishes."""
    step(place, run_of(place), 1)
    assert shared.look(2) == [2]
    reads = shared.store.reads
    assert [shared.look(first) for first in (2, 3, 2)] == [[2], [], [2]]
    assert shared.store.reads == reads


def test_end_when_it_is_closed_then_nothing_is_watched_any_more(place: Place) -> None:
    """Processes serve streams for months."""
    run = begun(place)
    shared = Shared(place)
    shared.look()
    child(place, run, 1)
    shared.look()
    assert len(shared.watch._watchers) == 1 + len(shared.end.recorded_in) == 3
    place.commit(run, 2, ExecutionCompleted(seq=2, result=None))
    shared.look()
    assert set(shared.watch._watchers) == {shared.end.partition, *shared.end.recorded_in}
    shared.end.close()
    assert shared.watch._watchers == {}


# --- what is kept -----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a reader be given three events at a time."""
    monkeypatch.setattr(shared_tail, "EVENTS_AT_ONCE", 3)


def read_on(shared: Shared, first: int) -> list[list[int]]:
    """Read part by part until that was all."""
    parts: list[list[int]] = []
    while True:
        found = shared.end.read(first)
        parts.append([one.sequence for one in found.events])
        if found.is_all:
            return parts
        first = found.events[-1].sequence + 1


@pytest.mark.usefixtures("small")
def test_read_when_it_is_behind_what_is_kept_then_it_gets_all_from_the_store(place: Place, shared: Shared) -> None:
    """What is kept for all are the last events; whoever is slow, or comes late, reads the others by himself."""
    run = run_of(place)
    for index in range(1, 8):
        step(place, run, index)
        assert shared.look(index + 1) == [index + 1]
    assert [shared.read(first) for first in (1, 4, 5, 6, 8, 9)] == [[1, 2, 3], [4, 5, 6], [5, 6, 7], [6, 7, 8], [8], []]
    assert read_on(shared, 1) == [[1, 2, 3], [4, 5, 6], [7, 8]]


@pytest.mark.usefixtures("small")
def test_read_when_more_has_come_than_is_given_at_a_time_then_the_next_parts_follow(place: Place, shared: Shared) -> None:
    """Nobody is told that this was all before it was."""
    step(place, run_of(place), 1, 7)
    shared.end.publish()
    assert read_on(shared, 2) == [[2, 3, 4], [5, 6, 7], [8]]
    step(place, run_of(place), 2, 3)
    shared.end.publish()
    assert read_on(shared, 9) == [[9, 10, 11]]


@pytest.mark.usefixtures("small")
def test_read_when_the_first_reader_begins_in_the_middle_then_nothing_of_the_rest_is_lost(place: Place) -> None:
    """A part of a stream is not its end."""
    run = begun(place)
    step(place, run, 1, 9)
    place.engine.streams.publish(SPACE, ROOT)
    shared = Shared(place)
    with closing(shared.end):
        assert shared.read(2) == [2, 3, 4]
        assert read_on(shared, 5) == [[5, 6, 7], [8, 9, 10]]
        step(place, run, 2)
        shared.end.publish()
        assert (shared.read(11), shared.read(3)) == ([11], [3, 4, 5])


@pytest.mark.usefixtures("small")
def test_read_when_somebody_asks_for_what_is_yet_to_come_then_it_comes_in_its_place(place: Place) -> None:
    """A reader may know more than this process has seen; the events before are not taken for those."""
    run = begun(place)
    shared = Shared(place)
    with closing(shared.end):
        shared.end.publish()
        assert shared.read(5) == []
        step(place, run, 1, 5)
        shared.end.publish()
        assert (shared.read(5), shared.read(2)) == ([5, 6], [2, 3, 4])


def test_kept_when_a_stream_grows_then_it_is_no_more_than_a_reader_is_given(
    place: Place, shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In events and in bytes: a process serves many streams."""
    run = run_of(place)
    monkeypatch.setattr(shared_tail, "EVENTS_AT_ONCE", 3)
    for index in range(1, 8):
        step(place, run, index)
        shared.look(index + 1)
        assert len(shared.end._last or []) <= 3
    monkeypatch.setattr(shared_tail, "BYTES_AT_ONCE", 10)
    step(place, run, 8)
    assert shared.look(9) == [9]
    assert len(shared.end._last or []) == 1
    reads = shared.store.reads
    assert shared.read(9) == [9]
    assert shared.store.reads == reads, "what is kept need not be read again"
