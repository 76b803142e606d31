"""Pausing and resuming: strict from the answer on, for whoever holds the run, and whatever comes in meanwhile."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import BatchAppended, SendOutstanding, plan
from levante_core.domain.dispatch.tasks import TimerDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted, TimerStarted
from levante_core.domain.history.notes import ActivityHandedOver, ExecutionPaused, ExecutionResumed
from levante_core.domain.history.state import HistoryBatch, fold
from levante_core.errors import InconsistentHistory, NotApplicable, NotFound, NotRunning, Unavailable
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.executions.interventions import Command
from levante_core.services.executions.reset import ResetRequest
from levante_core.storage.catalogue import ApiKey, Role
from tests.support.engines import Log, another, carry_out_changes
from tests.support.faults import Fate, OneFault
from tests.support.place import HOUR, POOL, SPACE, Place
from tests.support.races import races

BUG = Failure(message="it broke")
DONE = ExecutionCompleted(seq=9, result=None)


def key_of(place: Place) -> ApiKey:
    """Return the key of whoever pauses."""
    return ApiKey("k1", "digest", SPACE, Role.CLIENT, "ann", place.clock.now())


def pause(place: Place, run: RunKey, reason: str | None = "the bank is away") -> None:
    """Pause a run."""
    place.engine.pausing.pause(SPACE, run.execution_id, key_of(place), reason)


def resume(place: Place, run: RunKey) -> None:
    """Resume a run."""
    place.engine.pausing.resume(SPACE, run.execution_id, key_of(place))


@pytest.fixture
def run(place: Place) -> RunKey:
    """Start a run that waits for an activity (1) and a timer (2)."""
    started = place.start(execution_id="e")
    retry = {"max_attempts": 5, "initial_interval_seconds": 60}
    activity = ActivityScheduled.model_validate({"seq": 1, "name": "charge", "input": {}, "options": {"retry": retry}})
    place.commit(started, 1, activity, TimerStarted(seq=2, fire_at=place.clock.now() + HOUR / 2))
    place.lose_messages()
    return started


def waits(place: Place) -> list[tuple[str, Any]]:
    """Return what the execution waits for, and until when."""
    explanations = place.engine.explanations
    found = explanations.explain(explanations.find(SPACE, "e")).waits
    return [(wait.kind.value, wait.until) for wait in found if wait.kind != "no_worker"]


# --- while it is paused -----------------------------------------------------------------------------------------------


def test_step_when_its_run_was_paused_meanwhile_then_it_is_refused(place: Place, run: RunKey) -> None:
    """Whoever holds the run has a token for the index that the pause took."""
    pause(place, run)
    assert place.commit(run, 2, DONE) is CommitOutcome.CONFLICT
    assert place.status(run) == "RUNNING"


def test_history_when_paused_then_it_says_by_whom_and_takes_notes_alone(place: Place, run: RunKey) -> None:
    """A worker that commits a step all the same has written a history that nobody can go on from."""
    pause(place, run)
    loaded = place.load(run)
    state = fold(loaded.batches, {})
    assert state.paused is not None
    assert (state.paused.key_name, state.paused.reason) == ("ann", "the bank is away")
    note = ActivityHandedOver(activity=1, scheduled_in=1, attempt=1, failure=BUG)
    assert place.commit(run, 3, note) is CommitOutcome.RECORDED
    with pytest.raises(InconsistentHistory, match="execution_completed was recorded while the run was paused"):
        fold([*loaded.batches, HistoryBatch(index=3, commit_id="c", events=(DONE,))], {})


@pytest.mark.parametrize("note", [ExecutionPaused, ExecutionResumed])
def test_commit_when_a_worker_pauses_or_resumes_then_it_is_impossible(
    place: Place, run: RunKey, note: Callable[..., Any]
) -> None:
    """That is for people: a run would be paused without anybody's knowing."""
    event = note(by_hand=key_of(place).by_hand(place.clock.now(), None))
    result = place.commit_result(run, 2, event)
    assert (result.outcome, "neither pause" in (result.problem or "")) == (CommitOutcome.IMPOSSIBLE, True)


def test_attempts_when_their_run_is_paused_then_none_begins_and_what_has_begun_ends(place: Place, run: RunKey) -> None:
    """The attempt that ran fails, and the next one is sent for once the run is resumed, not before."""
    pause(place, run)
    assert place.report(run, failure=BUG)
    feed = carry_out_changes(place, place.engine)
    place.clock.advance(70)
    for body in place.due():
        place.engine.due.handle(body)
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    assert task.attempt == 2
    assert place.engine.activities.check(place.attempt(run, 2), task, 1) is None
    with pytest.raises(NotApplicable, match="paused"):
        place.engine.interventions.retry_activity(Command(SPACE, "e", 1, key_of(place)))
    place.clock.advance(60)  # its lease is over: it is there again
    place.lose_messages()
    resume(place, run)
    carry_out_changes(place, place.engine, feed)
    (again,) = place.tasks(TaskQueue.ACTIVITY)
    assert (again.attempt, again.verify) == (2, True)
    assert place.engine.activities.check(place.attempt(run, 2), again, 1) is not None


def test_timer_when_its_run_is_paused_then_it_fires_and_is_taken_once_it_is_resumed(place: Place, run: RunKey) -> None:
    """Time goes on, for the execution timeout too."""
    pause(place, run)
    place.clock.advance(HOUR.total_seconds() / 2)
    due = TimerDue.of(run, POOL, place.clock.now(), seq=2)
    place.engine.due.handle(due.model_dump_json())
    assert [fact.input.kind for fact in place.load(run).facts] == ["timer_fired"]
    place.clock.advance(HOUR.total_seconds())
    place.engine.due.sweep()
    assert place.status(run) == "TIMED_OUT"


def test_explain_when_paused_then_it_says_so_first_and_names_no_time_that_does_not_come_true(
    place: Place, run: RunKey
) -> None:
    """The next attempt of what failed does not begin at its time; the timer does fire."""
    place.report(run, failure=BUG)
    at = place.clock.now() + timedelta(seconds=60)
    fire_at = place.clock.now() + HOUR / 2
    assert waits(place) == [("activity_failing", at), ("timer", fire_at)]
    place.clock.advance(2)
    pause(place, run)
    assert waits(place) == [("paused", None), ("activity_queued", None), ("timer", fire_at)]
    blockers = place.engine.blockers.of(place.engine.explanations.find(SPACE, "e"))
    assert (blockers[0].kind, "the bank is away" in blockers[0].message) == ("paused", True)
    place.engine.messages.cancel(SPACE, "e")
    assert (
        "meanwhile: a request to cancel"
        in place.engine.explanations.explain(place.engine.explanations.find(SPACE, "e")).summary
    )


def test_sweep_when_runs_are_paused_then_they_are_not_sent_for(place: Place, run: RunKey) -> None:
    """Nothing moves for days, nor costs anything but a look."""
    pause(place, run)
    place.engine.messages.cancel(SPACE, "e")
    place.lose_messages()
    for _ in range(5):
        place.clock.advance(300)
        assert place.engine.repair.sweep().sent_for == 0
    assert place.tasks(TaskQueue.WORKFLOW) == []


# --- resuming ---------------------------------------------------------------------------------------------------------


def test_run_when_resumed_then_a_worker_is_sent_for_at_once_and_everything_else_by_the_feed(
    place: Place, run: RunKey
) -> None:
    """Whatever was dropped meanwhile is asked for again, however soon after the first time."""
    pause(place, run)
    place.lose_messages()
    resume(place, run)
    (task,) = place.tasks(TaskQueue.WORKFLOW)
    assert task.verify
    (batch,) = place.load(run, after_index=2).batches
    record = BatchAppended(run, POOL, place.clock.now(), batch)
    assert SendOutstanding(run, POOL, 3) in plan(record)
    assert place.status(run) == "RUNNING"
    assert fold(place.load(run).batches, {}).paused is None
    assert place.engine.executions.get(SPACE, "e").paused_at is None


def test_pause_when_repeated_then_it_is_one_pause(place: Place, run: RunKey) -> None:
    """The first one counts, and says who it was; so with resuming."""
    for _ in range(3):
        pause(place, run)
    for _ in range(3):
        resume(place, run)
    assert place.kinds(run)[-2:] == ["execution_paused", "execution_resumed"]
    assert place.kinds(run).count("execution_paused") == 1


@races("pausing._record Absent")
def test_pause_when_a_step_is_faster_then_it_follows_that(place: Place, run: RunKey) -> None:
    """The pause reads again, and takes the next index."""
    step = TimerStarted(seq=3, fire_at=place.clock.now() + HOUR)
    with place.racing.before_write(lambda: place.commit(run, 2, step)):
        pause(place, run)
    assert place.kinds(run)[-2:] == ["timer_started", "execution_paused"]


@races("pausing._record open_run")
def test_pause_when_the_run_ends_meanwhile_then_it_is_refused(place: Place, run: RunKey) -> None:
    """Nothing follows the end of a run."""
    with place.racing.before_write(lambda: place.commit(run, 2, DONE)), pytest.raises(NotRunning):
        pause(place, run)
    assert place.kinds(run)[-1] == "execution_completed"


def test_pause_when_the_run_has_ended_then_it_is_refused(place: Place, run: RunKey) -> None:
    """So is one of what is not there."""
    with pytest.raises(NotFound):
        place.engine.pausing.pause(SPACE, "nobody", key_of(place))
    place.engine.closing.terminate(SPACE, run.execution_id)
    for change in (pause, resume):
        with pytest.raises(NotRunning):
            change(place, run)


def test_run_when_paused_before_it_began_then_it_begins_once_it_is_resumed(place: Place) -> None:
    """An activity in place may have ended before its beginning was recorded: that outcome is kept."""
    run = place.start(execution_id="e")
    pause(place, run)
    assert place.report(run, result="done", is_derived=True)
    resume(place, run)
    state = fold(place.load(run).batches, {})
    assert not state.has_begun
    assert [fact.input.kind for fact in place.load(run).facts] == ["activity_completed"]


# --- beside other things ----------------------------------------------------------------------------------------------


def test_paused_run_when_terminated_or_reset_then_that_is_done(place: Place, run: RunKey) -> None:
    """It goes on from an event before it was paused, and is not paused then."""
    pause(place, run)
    _, points = place.engine.resets.points(SPACE, "e", after=0, limit=100)
    assert [point.kind for point in points] == ["execution_started", "timer_started"]
    place.engine.resets.reset(SPACE, "e", ResetRequest(event_id=points[-1].event_id))
    again = place.engine.executions.get(SPACE, "e")
    assert (again.is_open, again.paused_at, again.key.run_id == run.run_id) == (True, None, False)
    pause(place, again.key)
    place.engine.closing.terminate(SPACE, again.key.execution_id)
    assert place.status(run) == "TERMINATED"


# --- crashes and costs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED])
@pytest.mark.parametrize("kind", ["write", "send"])
@pytest.mark.parametrize("change", [pause, resume])
def test_change_when_its_process_dies_then_a_repeat_completes_it_and_the_feed_sends_the_rest(
    place: Place, run: RunKey, change: Callable[..., None], kind: str, how: Fate
) -> None:
    """There is one pause, and one sending for what waits."""
    if change is resume:
        pause(place, run)
    changes = carry_out_changes(place, place.engine)
    place.lose_messages()
    place.clock.advance(301)
    dying = another(place, OneFault(kind, 1, how, is_armed=True))
    with suppress(Unavailable):
        change(replace(place, engine=dying), run)
    change(place, run)
    assert place.kinds(run).count("execution_paused") == 1
    assert place.kinds(run).count("execution_resumed") == (1 if change is resume else 0)
    carry_out_changes(place, place.engine, changes)
    assert len(place.tasks(TaskQueue.WORKFLOW)) == len(place.tasks(TaskQueue.ACTIVITY)) == (1 if change is resume else 0)


@pytest.mark.parametrize(("change", "sends"), [(pause, 0), (resume, 1)])
def test_change_when_counted_then_it_is_one_transaction(
    place: Place, run: RunKey, change: Callable[..., None], sends: int
) -> None:
    """And a repeat writes nothing."""
    if change is resume:
        pause(place, run)
    log = Log()
    engine = another(place, log)
    for _ in range(2):
        change(replace(place, engine=engine), run)
    counted = Counter(operation.partition(".")[2] for operation in log.operations)
    assert (counted["write"], counted["send"]) == (1, sends)
