"""Events of custom tasks that activities tell of: each once, in the order of its publisher, however often it is sent."""

import threading
from itertools import pairwise

import pytest

from levante_core.domain.custom_tasks import TaskEvent, TaskPhase
from levante_core.domain.execution import RunKey
from levante_core.domain.names import ExecutionId
from levante_core.domain.stream_events import PublishedTask
from levante_core.errors import InvalidInput, NotFound, Unavailable
from levante_core.services.streams import FEW, StreamService
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import SPACE, Place

ROOT = ExecutionId("e")


def events(place: Place, publisher: str, *numbers: int) -> list[PublishedTask]:
    """What a publisher sends in one call; the first of all begins a task."""
    return [
        PublishedTask(
            publisher,
            seq=1,
            activity_name="a",
            number=number,
            at=place.clock.now(),
            event=TaskEvent(
                task_id=publisher, task_type="t", phase=TaskPhase.IN_PROGRESS if number > 1 else TaskPhase.STARTED
            ),
        )
        for number in numbers
    ]


def append(place: Place, run: RunKey, publisher: str, *numbers: int, after: int | None) -> int:
    return place.engine.streams.append(SPACE, ROOT, run.run_id, events(place, publisher, *numbers), after)


def told(place: Place) -> list[str]:
    """Return the ids of what is in the stream behind its beginning, after a look at the numbers."""
    found = list(place.engine.streams.read(SPACE, ROOT, 1))
    assert [one.sequence for one in found] == list(range(1, len(found) + 1))
    assert found[0].told.event.event_type == "WORKFLOW_EXECUTION_STARTED"
    return [one.told.event.event_id for one in found[1:]]


@pytest.mark.parametrize("after", [None, 1])
def test_events_when_a_call_comes_again_then_they_are_told_once(place: Place, after: int | None) -> None:
    """The first call, too, which knows nothing of the stream yet."""
    run = place.start(execution_id=ROOT)
    first = append(place, run, "p", 1, 2, after=None)
    assert append(place, run, "p", 1, 2, after=after) == first == 3
    second = append(place, run, "p", 3, 4, after=first)
    assert append(place, run, "p", 3, 4, after=first) == second
    assert told(place) == ["p:1", "p:2", "p:3", "p:4"]


@pytest.mark.parametrize("after", [1, 3, 10**12 - 1])
def test_events_when_they_are_to_follow_what_is_not_there_then_they_are_refused(place: Place, after: int) -> None:
    """A gap would be one for ever, and nobody could publish to the stream any more."""
    run = place.start(execution_id=ROOT)
    if after > 1:
        assert append(place, run, "p", 1, after=None) == 2
    with pytest.raises(InvalidInput, match=f"no event {after}"):
        append(place, run, "p", 2, after=after)
    append(place, run, "q", 1, after=None)
    assert told(place) == (["p:1", "q:1"] if after > 1 else ["q:1"])


def test_events_when_a_call_comes_again_late_then_its_place_is_found(place: Place) -> None:
    """However much others have told in between."""
    run = place.start(execution_id=ROOT)
    first = append(place, run, "p", 1, after=None)
    append(place, run, "p", 2, after=first)
    for number in range(1, 2 * FEW):
        append(place, run, f"other{number}", 1, after=None)
    append(place, run, "p", 2, after=first)
    assert told(place).count("p:2") == 1


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
def test_events_when_a_write_fails_then_a_repeat_tells_them_once(place: Place, fate: Fate) -> None:
    """Whether it took effect or not."""
    run = place.start(execution_id=ROOT)
    sent = events(place, "p", 1, 2)
    for position in (1, 2):
        fault = OneFault("write", position, fate, is_armed=True)
        mortal = StreamService(FaultyStore(place.engine.streams._store, Operations("publisher", fault)))
        try:
            mortal.append(SPACE, ROOT, run.run_id, sent, None)
        except (Unavailable, RuntimeError):
            assert fault.count == position
    place.engine.streams.append(SPACE, ROOT, run.run_id, sent, None)
    assert told(place) == ["p:1", "p:2"]


def test_events_when_many_publish_at_once_then_all_are_told_in_the_order_of_each(place: Place) -> None:
    """Activities of one family tell into one stream, while readers add what is in the histories."""
    run = place.start(execution_id=ROOT)
    failures: list[BaseException] = []

    def tell(publisher: str) -> None:
        try:
            after = None
            for number in range(1, 21):
                after = append(place, run, publisher, number, after=after)
                place.engine.streams.publish(SPACE, ROOT)
        except BaseException as error:
            failures.append(error)
            raise

    tellers = [threading.Thread(target=tell, args=(f"p{index}",)) for index in range(4)]
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join(60)
    assert failures == []
    found = told(place)
    assert sorted(found) == sorted(f"p{index}:{number}" for index in range(4) for number in range(1, 21))
    for index in range(4):
        numbers = [int(one.partition(":")[2]) for one in found if one.startswith(f"p{index}:")]
        assert all(one < next_one for one, next_one in pairwise(numbers))


def test_events_when_their_run_is_not_the_current_one_then_they_are_refused(place: Place) -> None:
    """An attempt that outlived its run has nobody to tell anything."""
    run = place.start(execution_id=ROOT)
    with pytest.raises(NotFound, match="no open run"):
        place.engine.streams.append(SPACE, ROOT, "another", events(place, "p", 1), None)
    with pytest.raises(NotFound, match="no execution"):
        place.engine.streams.append(SPACE, "another", run.run_id, events(place, "p", 1), None)
