"""Streams when somebody else adds to them between what was read and the write: each event is told once, in one place."""

from collections.abc import Callable

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ExecutionCompleted, ExecutionContinuedAsNew
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase
from levante_core.domain.streams.events import OutsideTask, StreamEventType
from levante_core.errors import LevanteError, NotFound, NotRunning
from levante_core.protocol.activities import Publication, TaskEventReport
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.streams.activity_events import GrantedPublication
from levante_core.services.streams.external_events import OutsideEvent
from levante_core.storage import keys
from tests.support.place import SPACE, Place
from tests.support.races import races

ROOT = ExecutionId("e")
STREAM = keys.stream(SPACE, ROOT)
STARTED = "WORKFLOW_EXECUTION_STARTED"


@pytest.fixture
def run(place: Place) -> RunKey:
    return place.start(execution_id=ROOT)


def stream_events(place: Place) -> list[str]:
    """Return what is in the stream, after a look at the numbers: custom events by their ids, others by their types."""
    found = list(place.engine.streams.read(SPACE, ROOT, 1))
    assert [one.sequence for one in found] == list(range(1, len(found) + 1))
    events = [one.update.event for one in found]
    return [event.event_type if event.event_type.startswith("WORKFLOW") else event.event_id for event in events]


def publish(place: Place) -> None:
    place.engine.streams.publish(SPACE, ROOT)


def end(place: Place) -> None:
    place.engine.closing.terminate(SPACE, ROOT)


def continue_as_new(place: Place, run: RunKey) -> None:
    event = ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input=None)
    assert place.commit(run, 1, event) is CommitOutcome.RECORDED


def outside(run: RunKey, *event_ids: str) -> list[OutsideEvent]:
    """Make events of others than activities."""
    return [
        OutsideEvent(
            where=(),
            execution_id=run.execution_id,
            run_id=run.run_id,
            root_execution_id=ROOT,
            parent_execution_id=None,
            workflow_name="w",
            task=OutsideTask(event_id, 0, StreamEventType.CUSTOM_TASK_IN_PROGRESS, "t", {}),
        )
        for event_id in event_ids
    ]


def tell(place: Place, run: RunKey, *event_ids: str) -> None:
    place.engine.outside_events.append(SPACE, outside(run, *event_ids))


def report(place: Place, run: RunKey, publisher: str, *numbers: int, after: int | None = None) -> int | None:
    """Publish events as an activity does. Returns how far the stream has come with them."""
    event = TaskEvent(task_id=publisher, task_type="t", phase=TaskPhase.IN_PROGRESS)
    events = tuple(TaskEventReport(number=number, at=place.clock.now(), event=event) for number in numbers)
    published = Publication(token="not read here", activity_name="a", publisher=publisher, events=events, after=after)
    (last,) = place.engine.task_events.append(SPACE, [GrantedPublication(place.attempt(run), published)])
    return last


# --- what is recorded -------------------------------------------------------------------------------------------------


@races("publish._append Absent", "publish._append Absent 2")
@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("by_read", [True, False])
def test_publish_when_another_publishes_the_same_meanwhile_then_it_is_published_once(place: Place, *, by_read: bool) -> None:
    """The first look at a stream may come from many readers at once."""
    how = place.racing.before_read(lambda: publish(place), STREAM, nth=2)
    with how if by_read else place.racing.before_write(lambda: publish(place)):
        publish(place)
    assert stream_events(place) == [STARTED]


@races("publish._append Matches", "publish._append Absent 2")
@pytest.mark.parametrize("by_read", [True, False])
def test_publish_when_another_publishes_the_same_end_meanwhile_then_it_is_published_once(
    place: Place, run: RunKey, *, by_read: bool
) -> None:
    """Whether the other was faster before the next place was looked for, or after that."""
    publish(place)
    place.commit(run, 1, ExecutionCompleted(seq=1, result=None))
    how = place.racing.before_read(lambda: publish(place), STREAM, nth=2)
    with how if by_read else place.racing.before_write(lambda: publish(place)):
        publish(place)
    assert stream_events(place) == [STARTED, "WORKFLOW_EXECUTION_COMPLETED"]


@races("publish._append Absent 2")
def test_publish_when_an_event_takes_its_place_meanwhile_then_it_goes_behind_that(place: Place, run: RunKey) -> None:
    """Invariant 8: what is told is never replaced; events of activities do not ask how far the histories are told."""
    publish(place)
    place.commit(run, 1, ExecutionCompleted(seq=1, result=None))
    with place.racing.before_write(lambda: report(place, run, "p", 1)):
        publish(place)
    assert stream_events(place) == [STARTED, "p:1", "WORKFLOW_EXECUTION_COMPLETED"]


# --- what activities tell ---------------------------------------------------------------------------------------------


@races("activity_events._placed Absent")
@pytest.mark.parametrize("after", [None, 1])
def test_event_when_another_takes_its_place_meanwhile_then_it_goes_behind_that(
    place: Place, run: RunKey, after: int | None
) -> None:
    """Two activities know the same end of the stream."""
    publish(place)
    with place.racing.before_write(lambda: report(place, run, "first", 1, 2, after=after)):
        assert report(place, run, "second", 1, after=after) == 4
    assert stream_events(place) == [STARTED, "first:1", "first:2", "second:1"]


@races("activity_events._placed Absent")
@pytest.mark.parametrize("after", [None, 1])
def test_event_when_its_repeat_is_published_meanwhile_then_it_is_published_once(
    place: Place, run: RunKey, after: int | None
) -> None:
    """A worker whose call was not answered in time sends its events again, and perhaps some more."""
    publish(place)
    with place.racing.before_write(lambda: report(place, run, "p", 1, 2, after=after)):
        assert report(place, run, "p", 1, 2, 3, after=after) == 4
    assert stream_events(place) == [STARTED, "p:1", "p:2", "p:3"]


@races("activity_events._placed Absent")
def test_event_when_recorded_events_are_published_meanwhile_then_it_goes_behind_them(place: Place, run: RunKey) -> None:
    """Readers see how an activity began before what it tells."""
    publish(place)
    place.commit(run, 1, ExecutionCompleted(seq=1, result=None))
    with place.racing.before_write(lambda: publish(place)):
        report(place, run, "p", 1, after=1)
    assert stream_events(place) == [STARTED, "WORKFLOW_EXECUTION_COMPLETED", "p:1"]


# --- what others tell -------------------------------------------------------------------------------------------------


@races("external_events._append Absent")
def test_outside_event_when_another_takes_its_place_meanwhile_then_it_goes_behind_that(place: Place, run: RunKey) -> None:
    """Nothing that was told is replaced, whoever told it."""
    publish(place)
    with place.racing.before_write(lambda: report(place, run, "p", 1)):
        tell(place, run, "one")
    assert stream_events(place) == [STARTED, "p:1", "one"]


@races("external_events._append Absent 2")
@pytest.mark.parametrize("by_read", [True, False])
def test_outside_event_when_its_repeat_comes_meanwhile_then_it_is_published_once(
    place: Place, run: RunKey, *, by_read: bool
) -> None:
    """Also where that has a place of its own already, and where others come with it."""
    publish(place)
    how = place.racing.before_read(lambda: tell(place, run, "one"), STREAM, nth=2)
    with how if by_read else place.racing.before_write(lambda: tell(place, run, "one")):
        tell(place, run, "zero", "one", "two")
    assert stream_events(place) == [STARTED, "one", "zero", "two"]


@races("external_events._check_of open_run")
@pytest.mark.parametrize(
    ("act", "expected"), [(lambda place, _: end(place), NotRunning), (continue_as_new, NotFound)], ids=["end", "continue"]
)
def test_outside_event_when_its_run_ends_meanwhile_then_it_is_refused(
    place: Place, run: RunKey, act: Callable[[Place, RunKey], None], expected: type[LevanteError]
) -> None:
    """Nothing is published of a run after its end, and nothing of one run as if it were of the next."""
    publish(place)
    with place.racing.before_write(lambda: act(place, run)), pytest.raises(expected):
        tell(place, run, "one")
    publish(place)
    assert "one" not in stream_events(place)
