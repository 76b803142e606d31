"""Where a history can be gone on from anew, what is kept of it, and which messages are carried over."""

from datetime import UTC, datetime
from typing import Any

from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.reset import Point, carried, kept, points
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    ChildCancelRequested,
    ChildCompleted,
    ChildScheduled,
    ChildStarted,
    ExecutionCompleted,
    ExecutionTerminated,
    Input,
    MessagesTaken,
    ParentClosePolicy,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.run_messages import (
    CancelRequested,
    RunMessage,
    SignalReceived,
    UpdateRequested,
    message_key,
)
from levante_core.domain.history.state import HistoryBatch, RunState, fold
from levante_core.domain.names import ExecutionId, RunId

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def history(*batches: Any) -> list[HistoryBatch]:
    """Number batches, each of which is one event or a tuple of them."""
    groups = [events if isinstance(events, tuple) else (events,) for events in batches]
    return [HistoryBatch(index=index, commit_id="c", events=events) for index, events in enumerate(groups, 1)]


def taken_until(*sent: type[SignalReceived] | type[UpdateRequested] | type[CancelRequested]) -> dict[str, Input]:
    """Make messages of these kinds, from number 1 on."""
    facts: dict[str, Input] = {}
    for number, kind in enumerate(sent, 1):
        if kind is CancelRequested:
            facts[message_key(number)] = CancelRequested(number=number, at=NOW)
        elif kind is SignalReceived:
            facts[message_key(number)] = SignalReceived(number=number, at=NOW, name=f"s{number}", input=None)
        else:
            facts[message_key(number)] = UpdateRequested(number=number, at=NOW, name=f"u{number}", input=None)
    return facts


def activity(seq: int, owner: str | None = None) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input=None, owner=owner)


def timer(seq: int) -> TimerStarted:
    return TimerStarted(seq=seq, fire_at=NOW)


def child(seq: int) -> ChildScheduled:
    return ChildScheduled(
        seq=seq,
        workflow_name="w",
        execution_id=ExecutionId(f"c{seq}"),
        input=None,
        close_policy=ParentClosePolicy.ABANDON,
        is_awaited=False,
    )


def test_points_when_nothing_is_recorded_then_the_start_is_the_only_one() -> None:
    """The start of the run is event 1, and can always be gone back to."""
    assert list(points([], {})) == [Point(1, 0)]


def test_points_when_messages_are_taken_then_each_is_an_event() -> None:
    """As the API shows them: what is taken at once is shown one by one."""
    facts = taken_until(SignalReceived, SignalReceived, UpdateRequested, SignalReceived)
    batches = history((timer(1), MessagesTaken(until=3), timer(2)), MessagesTaken(until=4), timer(3))
    assert list(points(batches, facts)) == [Point(1, 0), Point(6, 1), Point(7, 2), Point(8, 3)]


def test_points_when_messages_are_taken_twice_in_a_batch_then_what_was_taken_before_is_not_counted_again() -> None:
    """Each taking begins behind the one before, also within a batch."""
    facts = taken_until(SignalReceived, SignalReceived, SignalReceived)
    batches = history((MessagesTaken(until=2), timer(1), MessagesTaken(until=3)))
    assert list(points(batches, facts)) == [Point(1, 0), Point(5, 1)]


def test_points_when_a_child_is_open_then_there_is_none_until_it_has_ended() -> None:
    """A child that is started is as open as one that is only asked for; one that was given up reports to nobody."""
    batches = history(
        timer(1),
        child(2),
        ChildStarted(seq=2, at=NOW, run_id=RunId("r")),
        (ChildCompleted(seq=2, at=NOW, result=None), timer(3)),
        (child(4), child(5)),
        ChildCompleted(seq=4, at=NOW, result=None),
        ChildCancelRequested(seq=6, child=5, execution_id=ExecutionId("c5"), is_awaited=True),
        ChildCompleted(seq=5, at=NOW, result=None),
        (child(7), ChildCancelRequested(seq=8, child=7, execution_id=ExecutionId("c7"))),
    )
    assert list(points(batches, {})) == [Point(1, 0), Point(2, 1), Point(6, 4), Point(11, 8), Point(13, 9)]


def test_points_when_the_run_has_ended_then_its_end_is_none() -> None:
    """However it ended; what is before it in the same batch is no end of a batch."""
    for closing in (ExecutionCompleted(seq=3, result=None), ExecutionTerminated(at=NOW)):
        assert list(points(history(timer(1), (timer(2), closing)), {})) == [Point(1, 0), Point(2, 1)]


def test_kept_when_a_worker_has_an_activity_then_it_goes_to_the_queue() -> None:
    """Only where it is still open at the end of what is kept: all else stays as it is, and keeps its commit."""
    batches = history(
        (activity(1, "me"), activity(2, "me"), activity(3, "me"), activity(4)),
        (
            ActivityCompleted(seq=1, at=NOW, result=None),
            ActivityHandedOver(activity=3, scheduled_in=1, attempt=2, delay_seconds=0, failure=Failure(message="x")),
        ),
    )
    first, second = kept(batches, fold(batches, {}))
    assert first.events == (activity(1, "me"), activity(2), activity(3, "me"), activity(4))
    assert second == batches[1]
    assert (first.index, first.commit_id) == (1, "c")


def numbered(found: list[RunMessage]) -> list[tuple[int, str]]:
    return [(one.number, getattr(one, "name", "cancel")) for one in found]


def test_carried_when_there_is_a_later_message_then_it_follows_on_what_is_taken() -> None:
    """Counted on without a gap; what is left out has no number, and requests to cancel always are."""
    facts = taken_until(SignalReceived, UpdateRequested, CancelRequested, SignalReceived, UpdateRequested, SignalReceived)
    state = RunState(mail_taken=1)
    of = facts, state, 5
    assert numbered(carried(*of, signals=True, updates=True)) == [(2, "u2"), (3, "s4"), (4, "u5")]
    assert numbered(carried(*of, signals=True, updates=False)) == [(2, "s4")]
    assert numbered(carried(*of, signals=False, updates=True)) == [(2, "u2"), (3, "u5")]
    assert carried(*of, signals=False, updates=False) == []


def test_carried_when_all_messages_are_taken_then_there_is_none() -> None:
    """What the kept history has taken is in it already."""
    facts = taken_until(SignalReceived, SignalReceived)
    assert carried(facts, RunState(mail_taken=2), 2, signals=True, updates=True) == []
