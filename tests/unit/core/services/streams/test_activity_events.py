"""Events of custom tasks that activities publish: each once, in the order of its publisher, however often it is sent."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TypeVar

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.errors import Unavailable
from levante_core.protocol.activities import Publication, TaskEventReport
from levante_core.services.streams import activity_events
from levante_core.services.streams.activity_events import FEW, GrantedPublication, TaskEventService
from levante_core.services.streams.publish import StreamService
from tests.support.faults import CountingStore, Fate, FaultyStore, OneFault, Operations, OvertakenStore
from tests.support.place import SPACE, Place

ROOT = ExecutionId("e")
T = TypeVar("T")


def publication(place: Place, run: RunKey, publisher: str, *numbers: int, after: int | None = None) -> GrantedPublication:
    """What a publisher sends in one call; the first of all begins a task."""
    phases = {number: TaskPhase.IN_PROGRESS if number > 1 else TaskPhase.STARTED for number in numbers}
    published = Publication(
        token="not read here",
        activity_name="a",
        publisher=publisher,
        events=tuple(
            TaskEventReport(
                number=number,
                at=place.clock.now(),
                event=TaskEvent(task_id=publisher, task_type="t", phase=phase),
            )
            for number, phase in phases.items()
        ),
        after=after,
    )
    return GrantedPublication(place.attempt(run), published)


def append(place: Place, run: RunKey, publisher: str, *numbers: int, after: int | None) -> int:
    (last,) = place.engine.task_events.append(SPACE, [publication(place, run, publisher, *numbers, after=after)])
    assert last is not None
    return last


def persistently(publish: Callable[[], T]) -> T:
    """Publish, and once more where others were first too often, as workers do."""
    while True:
        with suppress(Unavailable):
            return publish()


def stream_events(place: Place) -> list[str]:
    """Return the ids of what is in the stream behind its beginning, after a look at the numbers."""
    found = list(place.engine.streams.read(SPACE, ROOT, 1))
    assert [one.sequence for one in found] == list(range(1, len(found) + 1))
    assert found[0].update.event.event_type == "WORKFLOW_EXECUTION_STARTED"
    return [one.update.event.event_id for one in found[1:]]


@pytest.mark.parametrize("after", [None, 1])
def test_events_when_a_call_comes_again_then_they_are_published_once(place: Place, after: int | None) -> None:
    """The first call, too, which knows nothing of the stream yet."""
    run = place.start(execution_id=ROOT)
    first = append(place, run, "p", 1, 2, after=None)
    assert append(place, run, "p", 1, 2, after=after) == first == 3
    second = append(place, run, "p", 3, 4, after=first)
    assert append(place, run, "p", 3, 4, after=first) == second
    assert stream_events(place) == ["p:1", "p:2", "p:3", "p:4"]


def test_events_when_a_call_comes_again_late_then_its_place_is_found(place: Place) -> None:
    """However much others have told in between."""
    run = place.start(execution_id=ROOT)
    first = append(place, run, "p", 1, after=None)
    append(place, run, "p", 2, after=first)
    for number in range(1, 2 * FEW):
        append(place, run, f"other{number}", 1, after=None)
    append(place, run, "p", 2, after=first)
    assert stream_events(place).count("p:2") == 1


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
def test_events_when_a_write_fails_then_a_repeat_tells_them_once(place: Place, fate: Fate) -> None:
    """Whether it took effect or not."""
    run = place.start(execution_id=ROOT)
    sent = publication(place, run, "p", 1, 2)
    for position in (1, 2):
        fault = OneFault("write", position, fate, is_armed=True)
        store = FaultyStore(place.engine.streams._store, Operations("publisher", fault))
        try:
            TaskEventService(store, StreamService(store, place.conflicts), place.conflicts).append(SPACE, [sent])
        except (Unavailable, RuntimeError):
            assert fault.count == position
    place.engine.task_events.append(SPACE, [sent])
    assert stream_events(place) == ["p:1", "p:2"]


def test_events_when_many_publish_at_once_then_all_are_published_in_the_order_of_each(place: Place) -> None:
    """Activities of one tree of executions publish to one stream, while readers add what is in the histories."""
    run = place.start(execution_id=ROOT)
    failures: list[BaseException] = []

    def tell(publisher: str) -> None:
        try:
            after = None
            for number in range(1, 21):
                after = persistently(partial(append, place, run, publisher, number, after=after))
                persistently(partial(place.engine.streams.publish, SPACE, ROOT))
        except BaseException as error:
            failures.append(error)
            raise

    publishers = [threading.Thread(target=tell, args=(f"p{index}",)) for index in range(4)]
    for publisher_thread in publishers:
        publisher_thread.start()
    for publisher_thread in publishers:
        publisher_thread.join(60)
    assert failures == []
    found = stream_events(place)
    assert sorted(found) == sorted(f"p{index}:{number}" for index in range(4) for number in range(1, 21))
    for index in range(4):
        numbers = [int(one.partition(":")[2]) for one in found if one.startswith(f"p{index}:")]
        assert all(one < next_one for one, next_one in pairwise(numbers))


def test_events_when_many_publishers_share_a_call_then_each_is_told_in_its_stream(place: Place) -> None:
    """Of one execution and of several; a repeat of the call, or of a part of it, adds nothing."""
    run, other = place.start(execution_id=ROOT), place.start(execution_id="f")
    sent = [
        publication(place, run, "p", 1, 2),
        publication(place, other, "o", 1),
        publication(place, run, "q", 1, 2, 3),
    ]
    lasts = place.engine.task_events.append(SPACE, sent)
    assert lasts == [6, 2, 6], "all that share a stream know how far it has come"
    more = publication(place, run, "p", 3, after=lasts[0])
    assert place.engine.task_events.append(SPACE, [more, *sent]) == [7, 7, 2, 7]
    assert stream_events(place) == ["p:1", "p:2", "q:1", "q:2", "q:3", "p:3"]
    assert [one.update.event.event_id for one in place.engine.streams.read(SPACE, ExecutionId("f"), 2)] == ["o:1"]


def test_events_when_the_end_is_known_then_nothing_is_read_for_them_but_their_runs(place: Place) -> None:
    """Each token that a model says costs a read and a write; a query only where somebody else has told meanwhile."""
    run = place.start(execution_id=ROOT)
    last = append(place, run, "p", 1, after=None)
    store = CountingStore(place.engine.streams._store)
    service = TaskEventService(store, StreamService(store, place.conflicts), place.conflicts)
    for number in (2, 3):
        (known,) = service.append(SPACE, [publication(place, run, "p", number, after=last)])
        assert known == last + 1
        last = known
    assert (store.reads, store.writes) == (2, 2)
    append(place, run, "other", 1, after=None)
    assert service.append(SPACE, [publication(place, run, "p", 4, after=last)]) == [last + 2]
    assert stream_events(place) == ["p:1", "p:2", "p:3", "other:1", "p:4"]


def test_events_when_a_call_is_large_then_it_is_added_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction takes only so much."""
    monkeypatch.setattr(activity_events, "WRITE_BYTES", 1)
    run = place.start(execution_id=ROOT)
    sent = [publication(place, run, name, 1, 2) for name in "pqr"]
    assert place.engine.task_events.append(SPACE, sent) == [3, 5, 7]
    assert stream_events(place) == ["p:1", "p:2", "q:1", "q:2", "r:1", "r:2"]


def test_events_when_another_publisher_is_first_then_none_of_the_group_is_out_of_place(place: Place) -> None:
    """The places of one write are taken all together or not at all, and so never leave a gap."""
    run = place.start(execution_id=ROOT)
    append(place, run, "first", 1, after=None)
    store = OvertakenStore(place.engine.streams._store, lambda: append(place, run, "other", 1, 2, after=None))
    service = TaskEventService(store, place.engine.streams, place.conflicts)
    assert service.append(SPACE, [publication(place, run, "p", 2), publication(place, run, "q", 2, 3)]) == [7, 7]
    assert stream_events(place) == ["first:1", "other:1", "other:2", "p:2", "q:2", "q:3"]


def test_events_when_their_run_is_not_the_current_one_then_nobody_sees_them(place: Place) -> None:
    """An attempt that outlived its run has nobody to tell anything; those that share its call have."""
    run = place.start(execution_id=ROOT)
    stale = (replace(run, run_id=RunId("another")), replace(run, execution_id=ExecutionId("another")))
    sent = [publication(place, run, "p", 1), *(publication(place, one, "q", 1) for one in stale)]
    assert place.engine.task_events.append(SPACE, sent) == [2, None, None]
    elsewhere = publication(place, replace(run, workspace=Workspace("other")), "p", 1)
    assert place.engine.task_events.append(Workspace("other"), [elsewhere]) == [None]
    assert stream_events(place) == ["p:1"]
