"""Services on local adapters and a clock that stands still: what is due, what ends runs, what races."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.dispatch.plan import CancelActivity, SendLater
from levante_core.domain.dispatch.tasks import DELAYED, ActivityTask, TimerDue, WorkflowTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityFailed,
    ActivityScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    TimerStarted,
)
from levante_core.domain.history.state import HistorySize
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.errors import AlreadyRunning, InvalidInput, NotFound, NotRunning
from levante_core.ports.item_store import Item, Key, Put
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import CommitOutcome, LoadResponse, TaskQueue
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.services.engine import build_engine
from levante_core.services.history import loading
from levante_core.storage import keys
from levante_local.change_watch import LocalChangeWatch
from levante_local.queues.queues import InProcessQueues
from tests.support.place import HOUR, POOL, SPACE, Place

FAILURE = Failure(message="x")


def scheduled(seq: int = 1, attempts: int = 2) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input={}, options=ActivityOptions(retry=RetryPolicy(max_attempts=attempts)))


# --- starting ---------------------------------------------------------------------------------------------------------


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


# --- the fence --------------------------------------------------------------------------------------------------------


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


# --- what is due ------------------------------------------------------------------------------------------------------


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


# --- reading ----------------------------------------------------------------------------------------------------------


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


# --- activities of the queue ------------------------------------------------------------------------------------------


def test_report_when_an_attempt_was_given_up_then_it_is_stale_and_changes_nothing(place: Place) -> None:
    """Invariant 3: an outcome is recorded at most once, and late reports are answered, not obeyed."""
    run = place.start()
    place.commit(run, 1, scheduled())
    assert place.report(run, 1, failure=FAILURE)
    assert not place.report(run, 1, failure=FAILURE), "a repeat"
    assert not place.report(run, 1, result=1), "attempt 2 is on its way"
    assert place.report(run, 2, result=2)
    assert not place.report(run, 2, result=3)
    loaded = place.load(run)
    assert [fact.input.model_dump()["result"] for fact in loaded.facts] == [2]


def test_check_when_a_task_was_delivered_before_then_the_lost_worker_counts_as_an_attempt(place: Place) -> None:
    """What kills its worker is not tried for ever: each delivery that came to nothing is a failed attempt."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=2))
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    check = place.engine.activities.check
    assert check(place.attempt(run), task, 1) == task
    assert check(place.attempt(run), task, 2) is None
    second = task.model_copy(update={"attempt": 2, "work": None, "verify": True})
    assert check(place.attempt(run, 2), second, 1) == task.model_copy(update={"attempt": 2})
    assert check(place.attempt(run, 2), second, 2) is None
    assert place.kinds(run) == ["execution_started", "activity_scheduled"]
    loaded = place.load(run)
    assert [fact.input.kind for fact in loaded.facts] == ["activity_failed"]


def test_check_when_the_run_is_closed_then_nothing_is_wanted(place: Place) -> None:
    """Old messages ask first, and are dropped."""
    run = place.start()
    place.commit(run, 1, scheduled())
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    place.engine.closing.terminate(SPACE, run.execution_id)
    assert place.engine.activities.check(place.attempt(run), task, 1) is None
    assert not place.report(run, 1, failure=FAILURE)


# --- activities that are asked to end, whose end is waited for --------------------------------------------------------


def asked_to_end(place: Place, run: RunKey) -> None:
    """Ask activity 1 to end, as the change feed does once the request is recorded."""
    place.commit(run, 2, ActivityCancelRequested(seq=2, activity=1, is_queued=True, is_awaited=True))
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited=True))


def outcomes(place: Place, run: RunKey) -> list[Any]:
    """Return the facts about commands: kind of outcome, and of failure."""
    inputs = [fact.input for fact in place.load(run).facts]
    return [(one.kind, one.failure.kind if isinstance(one, ActivityFailed) else None) for one in inputs]


def test_heartbeat_when_the_activity_is_asked_to_end_then_it_says_so_and_the_end_still_counts(place: Place) -> None:
    """What was said before is kept; a repeat of the request changes nothing."""
    run = place.start()
    place.commit(run, 1, scheduled())
    heartbeat = place.engine.activities.heartbeat
    assert heartbeat(place.attempt(run), [1])
    asked_to_end(place, run)
    place.engine.activities.cancel(CancelActivity(run, POOL, 1, is_awaited=True))
    assert not heartbeat(place.attempt(run), [2])
    assert place.report(run, 1, result="done")
    assert outcomes(place, run) == [("activity_completed", None)]
    assert not heartbeat(place.attempt(run), [3])


def test_report_when_the_activity_is_asked_to_end_then_no_attempt_follows(place: Place) -> None:
    """It failed, and that is how it ended."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=9))
    asked_to_end(place, run)
    assert place.report(run, 1, failure=FAILURE)
    assert outcomes(place, run) == [("activity_failed", FailureKind.APPLICATION)]


@pytest.mark.parametrize("receive_count", [1, 2])
def test_check_when_the_activity_is_asked_to_end_then_no_attempt_begins_and_it_is_canceled(
    place: Place, receive_count: int
) -> None:
    """Neither one that waits in the queue, nor another one after the worker was lost that had it."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=9))
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    asked_to_end(place, run)
    assert place.engine.activities.check(place.attempt(run), task, receive_count) is None
    assert outcomes(place, run) == [("activity_failed", FailureKind.CANCELED)]


def test_cancel_when_the_next_attempt_is_not_due_then_the_activity_is_canceled_at_once(place: Place) -> None:
    """Nobody waits for the end of a pause between attempts."""
    run = place.start()
    place.commit(run, 1, scheduled(attempts=9))
    assert place.report(run, 1, failure=FAILURE)
    asked_to_end(place, run)
    assert outcomes(place, run) == [("activity_failed", FailureKind.CANCELED)]


def test_attempt_that_goes_on_elsewhere_when_it_is_asked_to_end_then_its_end_counts(place: Place) -> None:
    """Whoever has its token learns of it by a heartbeat, and ends it; if nobody does, its time limit does."""
    run, overdue = place.start(), place.start()
    for one in (run, overdue):
        place.commit(one, 1, scheduled(attempts=9))
        assert place.engine.activities.defer(place.attempt(one), timedelta(seconds=60), None)
        asked_to_end(place, one)
        assert not place.engine.activities.heartbeat(place.attempt(one), [])
    assert place.engine.activities.end(GrantedReport(place.attempt(run), result="signed"))
    assert outcomes(place, run) == [("activity_completed", None)]
    (task,) = [one for one in place.tasks(TaskQueue.ACTIVITY) if one.run_id == overdue.run_id and one.work]
    place.clock.advance(61)
    place.engine.activities.check(place.attempt(overdue), task, 1)
    assert outcomes(place, overdue) == [("activity_failed", FailureKind.TIMEOUT)]


# --- redrive ----------------------------------------------------------------------------------------------------------


def test_redrive_when_all_messages_are_lost_then_every_open_run_can_go_on(place: Place) -> None:
    """The queues are disposable; runs that merely wait are left alone, closed ones too."""
    fresh, queued, closed = place.start(), place.start(), place.start()
    place.commit(queued, 1, scheduled())
    place.engine.closing.terminate(SPACE, closed.execution_id)
    place.tasks(TaskQueue.WORKFLOW)
    place.tasks(TaskQueue.ACTIVITY)
    place.clock.advance(3600)
    place.tasks(TaskQueue.WORKFLOW)
    place.tasks(TaskQueue.ACTIVITY)
    replaced: Any = InProcessQueues(place.clock)
    items = OffloadingStore(place.store, place.payloads)
    engine = build_engine(items, replaced, place.clock, RandomIds(), LocalChangeWatch(), fast_path=True)
    assert engine.redrive.redrive() == 2
    place.engine = engine
    advanced: list[WorkflowTask] = place.tasks(TaskQueue.WORKFLOW)
    asked: list[ActivityTask] = place.tasks(TaskQueue.ACTIVITY)
    assert [(task.run_id, task.verify) for task in advanced] == [(fresh.run_id, True)]
    assert [(task.run_id, task.verify, task.work) for task in asked] == [(queued.run_id, True, None)]


def test_redrive_when_one_history_is_damaged_then_the_others_go_on(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Damage is reported, and does not spread."""
    damaged, sound = place.start(), place.start()
    place.commit(damaged, 2, scheduled())
    place.tasks(TaskQueue.WORKFLOW)
    place.tasks(TaskQueue.ACTIVITY)
    assert place.engine.redrive.redrive() == 2
    assert damaged.execution_id in caplog.text
    place.clock.advance(60)
    assert sound.run_id in [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)]


def test_payload_when_it_is_large_then_it_is_kept_elsewhere_and_read_back(place: Place) -> None:
    """Documents over 64 KiB leave a reference in the table; who reads them does not notice."""
    run = place.start(input={"text": "x" * 100_000})
    raw = place.store.get(Key(f"X#s#{run.execution_id}", "X"))
    assert raw is not None
    assert not isinstance(raw.documents["start"], str)
    assert place.engine.executions.get(SPACE, run.execution_id).start.input == {"text": "x" * 100_000}
    (task,) = place.tasks(TaskQueue.WORKFLOW)
    assert (task.start, task.verify) == (None, True), "too large for a message: its worker loads it"


def test_run_id_when_it_is_unknown_then_loading_says_so(place: Place) -> None:
    """A run that does not exist is not an empty one."""
    run = place.start()
    with pytest.raises(NotFound):
        place.load(replace(run, run_id=RunId("nope")))


def test_run_when_a_heartbeat_lies_before_its_history_then_it_is_found_by_its_id(place: Place) -> None:
    """Not everything beside a history says which execution it is of."""
    run = place.start()
    place.store.write(Put(Item(keys.heartbeat(run, 1), {})))
    assert place.engine.executions.get_run(SPACE, run.run_id)[0].key == run
    place.commit(run, 1, scheduled())
    assert place.engine.executions.get_run(SPACE, run.run_id)[0].key == run
