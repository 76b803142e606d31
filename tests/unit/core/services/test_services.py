"""Starting, committing, ending, loading, and what is due: each rule in terms of all services."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import SendLater
from levante_core.domain.dispatch.tasks import DELAYED, TimerDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import (
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    TimerStarted,
)
from levante_core.domain.history.state import HistorySize
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.errors import AlreadyRunning, InvalidInput, NotFound, NotRunning
from levante_core.protocol.workers import CommitOutcome, LoadResponse, TaskQueue
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.services.history import loading
from tests.support.place import HOUR, POOL, SPACE, Place
from tests.unit.core.services.recorded import scheduled


def test_start_when_the_id_is_taken_then_it_is_free_again_once_its_run_is_closed(place: Place) -> None:
    """Invariant 6: one open run per id; the run before is kept beside the new one."""
    first = place.start(execution_id="e")
    with pytest.raises(AlreadyRunning):
        place.start(execution_id="e")
    place.engine.closing.terminate(SPACE, ExecutionId("e"))
    second = place.start(execution_id="e")
    assert (first.run_id != second.run_id, place.status(second)) == (True, "RUNNING")
    loaded = place.load(first)
    assert loaded.status == "TERMINATED"


def test_commit_when_two_write_one_index_then_the_first_one_wins_and_may_repeat_itself(place: Place) -> None:
    """Invariant 1: one writer wins each index; a repeat of its own commit is harmless."""
    run = place.start()
    assert place.commit(run, 1, scheduled(), commit_id="mine") is CommitOutcome.RECORDED
    assert place.commit(run, 1, scheduled(), commit_id="other") is CommitOutcome.CONFLICT
    assert place.commit(run, 1, scheduled(), commit_id="mine") is CommitOutcome.RECORDED
    assert place.kinds(run) == ["execution_started", "activity_scheduled"]


@pytest.mark.parametrize("size", [HistorySize(events=51_201), HistorySize(bytes=50 * 1024 * 1024 + 1)])
def test_commit_when_the_history_would_be_too_large_then_the_run_is_terminated_once_and_says_why(
    place: Place, size: HistorySize
) -> None:
    """REST contract §1.5: 51,200 events or 50 MB. What is recorded stays, and a repeat changes nothing."""
    run = place.start()
    for _ in range(2):
        assert place.commit(run, 1, scheduled(), commit_id="mine", history=size) is CommitOutcome.CONFLICT
    assert place.kinds(run) == ["execution_started", "execution_terminated"]
    execution = place.engine.executions.get(SPACE, run.execution_id)
    assert execution.status is ExecutionStatus.TERMINATED
    assert execution.ending is not None
    assert execution.ending.failure is not None
    assert execution.ending.failure.type == "HistoryTooLarge"
    assert "51200 and 52428800" in execution.ending.failure.message


@pytest.mark.parametrize("size", [HistorySize(events=51_200), HistorySize(bytes=50 * 1024 * 1024)])
def test_commit_when_the_history_is_just_full_then_it_is_recorded(place: Place, size: HistorySize) -> None:
    """The limit itself is allowed."""
    assert place.commit(place.start(), 1, scheduled(), history=size) is CommitOutcome.RECORDED


def test_commit_when_it_ends_the_run_then_no_history_is_too_large(place: Place) -> None:
    """What completes needs no room for more."""
    run = place.start()
    event = ExecutionCompleted(seq=1, result=5)
    assert place.commit(run, 1, event, history=HistorySize(events=60_000)) is CommitOutcome.RECORDED
    assert place.engine.executions.get(SPACE, run.execution_id).status is ExecutionStatus.COMPLETED


def test_terminate_when_the_run_continues_as_new_meanwhile_then_the_new_one_is_ended(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever ends an execution does not know of its runs."""
    first = place.start()
    closing_service = type(place.engine.closing)
    close = closing_service._close

    def overtaken(service: Any, run: Any, closing: Any) -> bool:
        if run.key == first:
            event = ExecutionContinuedAsNew(seq=1, run_id=RunId("second"), input=None)
            assert place.commit(first, 1, event) is CommitOutcome.RECORDED
        return close(service, run, closing)

    monkeypatch.setattr(closing_service, "_close", overtaken)
    place.engine.closing.terminate(SPACE, first.execution_id)
    latest = place.engine.executions.get(SPACE, first.execution_id)
    assert (latest.key == first, latest.status) == (False, ExecutionStatus.TERMINATED)


def test_close_when_it_races_with_terminate_then_there_is_one_end_and_nothing_follows(place: Place) -> None:
    """Invariant 1: the closing transaction takes the next index, so who did not see the end cannot follow it."""
    run = place.start()
    place.engine.closing.terminate(SPACE, run.execution_id)
    assert place.commit(run, 1, ExecutionCompleted(seq=1, result=1)) is CommitOutcome.CONFLICT
    assert place.commit(run, 2, ExecutionCompleted(seq=1, result=1)) is CommitOutcome.CONFLICT
    assert (place.status(run), place.kinds(run)) == ("TERMINATED", ["execution_started", "execution_terminated"])
    other = place.start()
    assert place.commit(other, 1, ExecutionCompleted(seq=1, result=1)) is CommitOutcome.RECORDED
    with pytest.raises(NotRunning) as refusal:
        place.engine.closing.terminate(SPACE, other.execution_id)
    assert (refusal.value.status, place.kinds(other)) == ("COMPLETED", ["execution_started", "execution_completed"])


def test_close_when_a_message_is_unread_then_the_run_stays_open(place: Place) -> None:
    """Invariant 5: a run that was sent something it has not read does not close."""
    run = place.start()
    assert place.commit(run, 1, ExecutionCompleted(seq=1, result=1), taken_until=1) is CommitOutcome.UNREAD_MESSAGES
    assert (place.status(run), place.kinds(run)) == ("RUNNING", ["execution_started"])


def test_run_id_of_another_workspace_when_used_then_it_leads_nowhere(place: Place) -> None:
    """Invariant 9: no read or write crosses a workspace, even with ids that were guessed."""
    run = place.start()
    intruder = RunKey(Workspace("other"), run.execution_id, run.run_id)
    place.commit(intruder, 1, scheduled())
    with pytest.raises(NotFound):
        place.load(intruder)
    with pytest.raises(NotFound):
        place.engine.closing.terminate(intruder.workspace, run.execution_id)
    assert place.kinds(run) == ["execution_started"]


def appended_timer(place: Place, seconds: float) -> RunKey:
    """Commit a timer, and dispatch it as the change feed does."""
    run = place.start()
    timer = TimerStarted(seq=1, fire_at=place.clock.now() + timedelta(seconds=seconds))
    place.commit(run, 1, timer)
    task = TimerDue(
        workspace=SPACE,
        execution_id=run.execution_id,
        run_id=run.run_id,
        deployment_name=POOL,
        fresh_at=timer.fire_at,
        seq=1,
    )

    place.queues.ensure(TIMERS_QUEUE)
    place.engine.dispatch.carry_out([SendLater(task)])
    return run


def test_timer_when_it_is_due_then_its_run_is_told_once(place: Place) -> None:
    """A timer that fires twice has one fact; the second message is void."""
    run = appended_timer(place, 10)
    assert place.due() == []
    place.clock.advance(10)
    (body,) = place.due()
    place.tasks(TaskQueue.WORKFLOW)
    for _ in range(2):
        place.engine.due.handle(body)
    loaded = place.load(run)
    assert [fact.input.kind for fact in loaded.facts] == ["timer_fired"]


def test_timer_when_its_message_is_early_then_it_is_sent_again(place: Place) -> None:
    """Queues round delays; a timer never fires before its time."""
    run = appended_timer(place, 10)
    place.clock.advance(10)
    (body,) = place.due()
    early = DELAYED.validate_json(body).model_copy(update={"fresh_at": place.clock.now() + timedelta(seconds=5)})
    place.engine.due.handle(early.model_dump_json())
    loaded = place.load(run)
    assert loaded.facts == ()
    place.clock.advance(5)
    assert len(place.due()) == 1


def test_timer_when_it_is_beyond_the_queue_then_the_sweep_brings_it_in_time(place: Place) -> None:
    """What is due in more than 15 minutes waits in the table until it is within reach."""
    appended_timer(place, 3600)
    place.engine.due.sweep()
    assert place.due() == []
    place.clock.advance(3600 - 900)
    place.engine.due.sweep()
    place.engine.due.sweep()
    place.clock.advance(900)
    assert len(place.due()) == 1


@pytest.mark.parametrize("timeout", [timedelta(seconds=30), HOUR])
def test_execution_when_its_timeout_passes_then_it_is_timed_out_and_not_before(place: Place, timeout: timedelta) -> None:
    """Short timeouts have a message, long ones the sweep; either ends the run, once."""
    run = place.start(timeout)
    place.clock.advance(timeout.total_seconds() - 1)
    place.engine.due.sweep()
    assert place.status(run) == "RUNNING"
    place.clock.advance(1)
    place.engine.due.sweep()
    place.engine.due.sweep()
    assert (place.status(run), place.kinds(run)) == ("TIMED_OUT", ["execution_started", "execution_timed_out"])


def loaded_in_parts(place: Place, run: RunKey, **wanted: Any) -> list[LoadResponse]:
    """Load a history part by part."""
    parts: list[LoadResponse] = []
    after = None
    while True:
        parts.append(place.load(run, after=after, **wanted))
        after = parts[-1].next
        if after is None:
            return parts


def test_load_when_a_history_is_larger_than_an_answer_then_its_parts_are_the_whole(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of a Lambda function holds 6 MB, a history more: batches come first, then facts, nothing twice."""
    run = place.start()
    place.commit(run, 1, *[scheduled(seq) for seq in range(1, 6)])
    for index in range(2, 8):
        place.commit(run, index, TimerStarted(seq=index + 10, fire_at=place.clock.now()))
    for seq in range(1, 6):
        place.report(run, 1, seq=seq, result="x" * 100)
    (whole,) = loaded_in_parts(place, run)
    monkeypatch.setattr(loading, "PAGE_BYTES", 300)
    monkeypatch.setattr(loading, "PAGE_ITEMS", 2)
    parts = loaded_in_parts(place, run)
    assert len(parts) > 5
    assert tuple(batch for part in parts for batch in part.batches) == whole.batches
    assert tuple(fact for part in parts for fact in part.facts) == whole.facts
    some = loaded_in_parts(place, run, after_index=3, open_from=3)
    assert [batch.index for part in some for batch in part.batches] == [4, 5, 6, 7]
    assert [fact.key for part in some for fact in part.facts] == ["00000003", "00000004", "00000005"]


@pytest.mark.parametrize("after", ["x", "L#", "L#one", "A#00000001", "F#", "L#0"])
def test_load_when_the_part_is_none_then_it_is_refused(place: Place, after: str) -> None:
    """Only `next` of an answer says where the following part begins."""
    run = place.start()
    with pytest.raises(InvalidInput, match="next"):
        place.load(run, after=after)
