from datetime import UTC, datetime
from typing import Any

import pytest

from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildCompleted,
    ExecutionCompleted,
    ExecutionTerminated,
    FactTaken,
    MessagesTaken,
    Outcome,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    UpdateCompleted,
)
from levante_core.domain.history.notes import ActivityHandedOver, CodeFailed
from levante_core.domain.history.run_messages import SignalReceived, message_key
from levante_core.domain.history.state import HistoryBatch, RunState, closing_event, fold
from levante_core.domain.history.transitions import ActivityState, ExecutionStatus
from levante_core.errors import InconsistentHistory

AT = datetime(2026, 1, 1, tzinfo=UTC)
FAILURE = Failure(message="x")
SIGNAL = SignalReceived(number=1, at=AT, name="s", input=None)


def batches(*events_of_each: list[Any]) -> list[HistoryBatch]:
    return [HistoryBatch(index=index, commit_id="c", events=tuple(events)) for index, events in enumerate(events_of_each, 1)]


def scheduled(seq: int, owner: str | None = None) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input={}, owner=owner)


def completed(seq: int) -> ActivityCompleted:
    return ActivityCompleted(seq=seq, at=AT, result=1)


def test_fold_when_work_is_open_then_it_says_what_and_where_it_stands() -> None:
    """The state of a run is a fold over its history, nothing else."""
    state = fold(
        batches(
            [scheduled(1), scheduled(2, "me"), TimerStarted(seq=3, fire_at=AT)],
            [ActivityHandedOver(activity=2, scheduled_in=1, attempt=2, failure=FAILURE), CodeFailed(failure=FAILURE)],
            [FactTaken(fact="00000001"), scheduled(4, "me")],
        ),
        {"00000001": completed(1)},
    )
    assert {seq: (one.state, one.attempt, one.batch_index) for seq, one in state.activities.items()} == {
        2: (ActivityState.QUEUED, 2, 1),
        4: (ActivityState.OWNED, 1, 3),
    }
    assert (list(state.timers), state.taken, state.last_index) == ([3], {"00000001"}, 3)


def test_fold_when_everything_has_ended_then_nothing_is_open() -> None:
    """Outcomes and cancellations close what commands opened."""
    state = fold(
        batches(
            [scheduled(1), scheduled(2), scheduled(3), TimerStarted(seq=4, fire_at=AT), TimerStarted(seq=5, fire_at=AT)],
            [completed(1), ActivityFailed(seq=2, at=AT, failure=FAILURE), ActivityCancelRequested(seq=6, activity=3)],
            [TimerFired(seq=4, at=AT), TimerCanceled(seq=7, timer=5), ExecutionCompleted(seq=8, result=None)],
        ),
        {},
    )
    assert (state.activities, state.timers, state.status) == ({}, {}, ExecutionStatus.COMPLETED)


@pytest.mark.parametrize(
    ("outcome", "is_void"),
    [
        (completed(1), False),
        (completed(2), True),
        (ActivityFailed(seq=9, at=AT, failure=FAILURE), True),
        (TimerFired(seq=3, at=AT), False),
        (TimerFired(seq=1, at=AT), True),
    ],
)
def test_is_void_when_history_has_an_answer_then_another_one_is_void(outcome: Outcome, is_void: bool) -> None:  # noqa: FBT001
    """The first answer counts."""
    state = fold(batches([scheduled(1), scheduled(2), TimerStarted(seq=3, fire_at=AT), completed(2)]), {})
    assert state.is_void(outcome) is is_void


DAMAGED = [
    (batches([scheduled(1), completed(1), completed(1)]), "a second outcome"),
    (batches([completed(1)]), "an outcome of nothing"),
    (batches([TimerFired(seq=1, at=AT)]), "a timer that was never started"),
    (batches([FactTaken(fact="00000001")]), "a fact that is not recorded"),
    (batches([ExecutionTerminated(at=AT)], [scheduled(1)]), "something after the end"),
    ([HistoryBatch(index=2, commit_id="c", events=(scheduled(1),))], "a gap"),
    (
        batches([scheduled(1), ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, failure=FAILURE)]),
        "handing over what nobody owns",
    ),
    (batches([MessagesTaken(until=1)]), "a message that is not recorded"),
    (batches([UpdateCompleted(seq=1, update=1, result=None)]), "an answer that nobody waits for"),
    (batches([ChildCompleted(seq=1, at=AT, result=None)]), "the end of a child that nobody asked for"),
]


@pytest.mark.parametrize(("history", "reason"), DAMAGED, ids=[case[1] for case in DAMAGED])
def test_fold_when_a_history_is_damaged_then_it_is_refused(history: list[HistoryBatch], reason: str) -> None:
    """Invariant 1: what cannot have happened is never read as if it had."""
    with pytest.raises(InconsistentHistory):
        fold(history, {})


def test_fold_when_a_message_is_taken_as_an_outcome_then_it_is_refused() -> None:
    """Messages have an order of their own."""
    with pytest.raises(InconsistentHistory, match="message 1"):
        fold(batches([FactTaken(fact="M00000001")]), {"M00000001": SIGNAL})
    with pytest.raises(InconsistentHistory, match="message 1 is taken after message 1"):
        fold(batches([MessagesTaken(until=1), MessagesTaken(until=1)]), {message_key(1): SIGNAL})


def test_is_void_when_a_message_was_taken_then_it_is_void() -> None:
    """Each piece reaches the code once."""
    state = fold(batches([MessagesTaken(until=1)]), {message_key(1): SIGNAL})
    assert state.is_void(SIGNAL)
    assert not state.is_void(SIGNAL.model_copy(update={"number": 2}))


def test_closing_event_when_there_is_one_then_it_must_be_the_last() -> None:
    """Nothing follows the end of a run, within a batch either."""
    end = ExecutionCompleted(seq=1, result=None)
    assert closing_event([scheduled(1), end]) is end
    assert closing_event([scheduled(1)]) is None
    with pytest.raises(InconsistentHistory):
        closing_event([end, scheduled(2)])


def test_state_when_new_then_it_is_running_with_nothing_open() -> None:
    """Batch 0 is implied."""
    assert RunState() == fold([], {})
