"""Repairs by hand: an ordinary outcome for the code, with who gave it beside it, once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityScheduled,
    ChildScheduled,
    FactTaken,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.errors import NotApplicable, NotFound, NotRunning, Unavailable
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.engine import Engine
from levante_core.services.executions.interventions import Command
from levante_core.services.executions.reset import ResetRequest
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of, failed_attempts
from levante_core.storage.catalogue import ApiKey, Role
from tests.support.engines import Log, another, carry_out_changes
from tests.support.faults import Fate, OneFault
from tests.support.place import HOUR, SPACE, Place
from tests.support.races import races

BUG = Failure(message="it broke")
WEEK = timedelta(days=7)
CHILD = {"seq": 3, "workflow_name": "w", "execution_id": "c1", "input": {}, "close_policy": "abandon"}
KEY_ID, NAME = "k1", "ann"


def command(place: Place, run: RunKey, seq: int = 1, reason: str | None = "because") -> Command:
    """Say what is to be repaired, and by whom."""
    key = ApiKey(KEY_ID, "digest", SPACE, Role.CLIENT, NAME, place.clock.now())
    return Command(SPACE, run.execution_id, seq, key, reason)


@pytest.fixture
def run(place: Place) -> RunKey:
    """Start a run that waits for an activity (1), a timer (2) and a child (3)."""
    started = place.start()
    retry = {"max_attempts": 5, "initial_interval_seconds": 600}
    activity = ActivityScheduled.model_validate({"seq": 1, "name": "charge", "input": {}, "options": {"retry": retry}})
    timer = TimerStarted(seq=2, fire_at=place.clock.now() + WEEK)
    assert place.commit(started, 1, activity, timer, ChildScheduled.model_validate(CHILD)) is CommitOutcome.RECORDED
    place.lose_messages()
    return started


Repair = Callable[[Engine, Command], None]
REPAIRS: dict[str, tuple[int, Repair, dict[str, Any]]] = {
    "complete an activity": (
        1,
        lambda engine, of: engine.interventions.complete_activity(of, {"paid": 1}),
        {"kind": "activity_completed", "result": {"paid": 1}},
    ),
    "fail an activity": (
        1,
        lambda engine, of: engine.interventions.fail_activity(of, "no", "CardStolen"),
        {"kind": "activity_failed", "attempt": 1},
    ),
    "skip a timer": (2, lambda engine, of: engine.interventions.skip_timer(of), {"kind": "timer_fired"}),
    "complete a child": (
        3,
        lambda engine, of: engine.interventions.complete_child(of, {"result": 1}),
        {"kind": "child_completed", "result": {"result": 1}},
    ),
    "fail a child": (
        3,
        lambda engine, of: engine.interventions.fail_child(of, "lost"),
        {"kind": "child_failed", "status": "FAILED"},
    ),
}
"""By name: which command, how, and what is recorded."""
EACH = pytest.mark.parametrize("name", REPAIRS)


def facts(place: Place, run: RunKey) -> list[dict[str, Any]]:
    """Return the facts of a run."""
    return [fact.input.model_dump(mode="json") for fact in place.load(run).facts]


def apply(place: Place, run: RunKey, name: str, engine: Engine | None = None) -> None:
    """Repair, as the engine of the place or another one."""
    seq, repair, _ = REPAIRS[name]
    repair(engine or place.engine, command(place, run, seq))


# --- outcomes ---------------------------------------------------------------------------------------------------------


@EACH
def test_repair_when_done_then_a_worker_learns_an_ordinary_outcome(place: Place, run: RunKey, name: str) -> None:
    """At the time at which it was given: a timer that is skipped does not move the clock of the code."""
    apply(place, run, name)
    (fact,) = facts(place, run)
    assert {**fact, **REPAIRS[name][2], "at": "2026-01-01T00:00:00.000000Z"} == {**fact, "at": "2026-01-01T00:00:00.000000Z"}
    assert fact["at"].startswith(place.clock.now().isoformat()[:19])
    (task,) = place.tasks(TaskQueue.WORKFLOW)
    assert task.fact.input.seq == REPAIRS[name][0]


@EACH
def test_repair_when_taken_then_the_history_says_who_did_it_when_and_why(place: Place, run: RunKey, name: str) -> None:
    """Only there: the code and its replay see the outcome alone. What came about otherwise says nothing."""
    apply(place, run, name)
    seq = REPAIRS[name][0]
    place.commit(run, 2, FactTaken(fact=keys.outcome_fact(seq)))
    *others, last = place.engine.histories.show(SPACE, run.execution_id).events()
    by_hand = {"key_id": KEY_ID, "key_name": NAME, "role": "client", "reason": "because"}
    assert {**last["by_hand"], "at": None} == {**by_hand, "at": None}
    assert last["kind"] == REPAIRS[name][2]["kind"]
    assert not any("by_hand" in event for event in others)


@EACH
def test_repair_when_repeated_then_it_is_done_once_and_another_one_is_refused(place: Place, run: RunKey, name: str) -> None:
    """Whoever is unsure repeats it; the first outcome counts."""
    apply(place, run, name)
    before = facts(place, run)
    place.clock.advance(5)
    apply(place, run, name)
    place.commit(run, 2, FactTaken(fact=keys.outcome_fact(REPAIRS[name][0])))
    apply(place, run, name)
    assert facts(place, run) == before
    seq = REPAIRS[name][0]
    if seq != 2:
        other = place.engine.interventions.complete_activity if seq == 1 else place.engine.interventions.complete_child
        with pytest.raises(NotApplicable, match="the first one counts"):
            other(command(place, run, seq), "another")


@races("interventions._record Absent")
@EACH
def test_repair_when_the_outcome_comes_meanwhile_then_that_one_stands(place: Place, run: RunKey, name: str) -> None:
    """A worker that reports is not overruled; whoever repairs learns it, unless it is the same that somebody else gave."""
    seq, repair, _ = REPAIRS[name]
    acts: dict[int, Callable[[], object]] = {
        1: lambda: place.report(run, result="reported"),
        2: lambda: place.engine.interventions.skip_timer(command(place, run, 2)),
        3: lambda: place.engine.interventions.complete_child(command(place, run, 3), "else"),
    }
    with place.racing.before_write(acts[seq]):
        if seq == 2:
            repair(place.engine, command(place, run, seq))
        else:
            with pytest.raises(NotApplicable):
                repair(place.engine, command(place, run, seq))
    assert len(facts(place, run)) == 1


def test_report_when_the_activity_was_completed_by_hand_then_it_is_dropped(place: Place, run: RunKey) -> None:
    """As a late one always is; a worker that sends a heartbeat learns to stop."""
    apply(place, run, "complete an activity")
    assert not place.engine.activities.heartbeat(place.attempt(run), [])
    assert not place.report(run, result="late")
    assert not place.report(run, failure=BUG)
    assert [fact["result"] for fact in facts(place, run)] == [{"paid": 1}]


def test_activity_when_it_runs_in_place_then_it_is_completed_all_the_same(place: Place) -> None:
    """Its worker looks for facts all the time."""
    run = place.start()
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}, owner="w1"))
    apply(place, run, "complete an activity")
    assert facts(place, run)[0]["result"] == {"paid": 1}


def test_failure_when_attempts_were_made_then_it_names_the_last_one(place: Place, run: RunKey) -> None:
    """The next one will not be made."""
    assert place.report(run, failure=BUG)
    apply(place, run, "fail an activity")
    (fact,) = facts(place, run)
    assert (fact["attempt"], fact["failure"]["type"], fact["failure"]["non_retryable"]) == (2, "CardStolen", True)


def test_repair_when_nothing_of_that_kind_is_open_then_404_says_what_is(place: Place, run: RunKey) -> None:
    """A wrong number is found at once."""
    by = place.engine.interventions
    with pytest.raises(NotFound, match="command 2 is no activity, but of kind timer"):
        by.complete_activity(command(place, run, 2), 1)
    with pytest.raises(NotFound, match=r"no child 9 is open.*are open: 3"):
        by.fail_child(command(place, run, 9), "x")
    with pytest.raises(NotFound, match="no execution"):
        by.skip_timer(Command(SPACE, "nobody", 1, command(place, run).key))
    place.engine.closing.terminate(SPACE, run.execution_id)
    with pytest.raises(NotRunning):
        by.skip_timer(command(place, run, 2))
    assert facts(place, run) == []


def test_reset_when_an_outcome_was_given_by_hand_then_the_new_run_says_so_too(place: Place, run: RunKey) -> None:
    """It is copied with the history."""
    apply(place, run, "complete a child")
    place.commit(run, 2, FactTaken(fact=keys.outcome_fact(3)))
    place.engine.resets.reset(SPACE, run.execution_id, ResetRequest(5))
    last = list(place.engine.histories.show(SPACE, run.execution_id).events())[-1]
    assert (last["kind"], last["by_hand"]["key_name"]) == ("child_completed", NAME)


# --- attempts ---------------------------------------------------------------------------------------------------------


def test_retry_when_the_activity_backs_off_then_its_next_attempt_begins_now(place: Place, run: RunKey) -> None:
    """The number of the attempt is the same, so the message that was to come later is known and dropped."""
    assert place.report(run, failure=BUG)
    place.lose_messages()
    place.engine.interventions.retry_activity(command(place, run))
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    assert (task.seq, task.attempt, task.fresh_at) == (1, 2, place.clock.now())
    item = place.racing.get(keys.attempt(run, 1))
    assert item
    (failed,) = failed_attempts(item)
    assert failed.retried_by_hand
    assert (failed.failure, failed.retried_by_hand.key_name, failed.retried_by_hand.reason) == (BUG, NAME, "because")
    assert place.report(run, 2, failure=BUG)
    item = place.racing.get(keys.attempt(run, 1))
    assert item
    assert [one.retried_by_hand is None for one in failed_attempts(item)] == [False, True]


def test_retry_when_the_first_attempt_was_made_in_place_then_the_queue_makes_the_second_now(place: Place) -> None:
    """There is no item of attempts yet."""
    run = place.start()
    over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=60, failure=BUG)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}, owner="w1"), over)
    place.engine.interventions.retry_activity(command(place, run))
    (task,) = place.tasks(TaskQueue.ACTIVITY)
    assert task.attempt == 2
    assert place.engine.activities.check(place.attempt(run, 2), task, 1)
    item = place.racing.get(keys.attempt(run, 1))
    assert item
    assert [one.failure for one in failed_attempts(item)] == [BUG]


def test_retry_when_repeated_then_nothing_is_written(place: Place, run: RunKey) -> None:
    """It is due already."""
    assert place.report(run, failure=BUG)
    place.engine.interventions.retry_activity(command(place, run))
    before = place.racing.get(keys.attempt(run, 1))
    place.clock.advance(5)
    place.engine.interventions.retry_activity(command(place, run))
    assert place.racing.get(keys.attempt(run, 1)) == before


def elsewhere(place: Place, run: RunKey) -> None:
    assert place.engine.activities.defer(place.attempt(run), HOUR, None)


def asked_to_end(place: Place, run: RunKey) -> None:
    place.report(run, failure=BUG)
    place.commit(run, 2, ActivityCancelRequested(seq=4, activity=1, is_queued=True, is_awaited=True))


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda _place, _run: None, "has not failed"),
        (elsewhere, "has not failed|goes on elsewhere"),
        (asked_to_end, "asked to end"),
        (lambda place, run: place.report(run, result=1), "has ended"),
    ],
    ids=["the first attempt", "one that goes on elsewhere", "asked to end", "ended"],
)
def test_retry_when_no_attempt_waits_then_it_is_refused_and_says_why(
    place: Place, run: RunKey, prepare: Callable[[Place, RunKey], object], said: str
) -> None:
    """Nothing is run twice because somebody is impatient."""
    prepare(place, run)
    before = place.racing.get(keys.attempt(run, 1))
    with pytest.raises(NotApplicable, match=said):
        place.engine.interventions.retry_activity(command(place, run))
    assert place.racing.get(keys.attempt(run, 1)) == before


@races("interventions._begin_now Matches")
def test_retry_when_the_attempt_begins_and_fails_meanwhile_then_the_one_after_it_is_made_now(
    place: Place, run: RunKey
) -> None:
    """What was read is old by then; no attempt is made twice, and none is left out."""
    assert place.report(run, failure=BUG)
    with place.racing.before_write(lambda: place.report(run, 2, failure=BUG)):
        place.engine.interventions.retry_activity(command(place, run))
    item = place.racing.get(keys.attempt(run, 1))
    assert item
    assert (attempt_of(item).attempt, attempt_of(item).due_at) == (3, place.clock.now())
    assert [one.attempt for one in failed_attempts(item)] == [1, 2]


@races("interventions._begin_now Absent")
def test_retry_when_somebody_else_does_the_same_meanwhile_then_one_task_is_sent(place: Place) -> None:
    """The first one is told in the item."""
    run = place.start()
    over = ActivityHandedOver(activity=1, scheduled_in=1, attempt=2, delay_seconds=60, failure=BUG)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}, owner="w1"), over)
    retry = place.engine.interventions.retry_activity
    with place.racing.before_write(lambda: retry(command(place, run, reason="first"))):
        retry(command(place, run, reason="second"))
    item = place.racing.get(keys.attempt(run, 1))
    assert item
    assert [one.retried_by_hand and one.retried_by_hand.reason for one in failed_attempts(item)] == ["first"]
    assert len(place.tasks(TaskQueue.ACTIVITY)) == 1


# --- whoever dies, and what it costs ----------------------------------------------------------------------------------

ALL = [*REPAIRS, "retry an activity"]


def repaired(place: Place, run: RunKey, name: str, engine: Engine) -> None:
    """Repair with another engine."""
    if name == "retry an activity":
        engine.interventions.retry_activity(command(place, run))
    else:
        apply(place, run, name, engine)


@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED])
@pytest.mark.parametrize("kind", ["write", "send"])
@pytest.mark.parametrize("name", ALL)
def test_repair_when_its_process_dies_at_any_write_then_a_repeat_completes_it_and_it_is_done_once(
    place: Place, run: RunKey, name: str, kind: str, how: Fate
) -> None:
    """Before the write nothing has happened; after it, the change feed sends what the process did not."""
    if name == "retry an activity":
        assert place.report(run, failure=BUG)
    place.lose_messages()
    changes = carry_out_changes(place, place.engine)
    place.lose_messages()
    place.clock.advance(301)  # the queues have forgotten what they were sent
    fault = OneFault(kind, 1, how, is_armed=True)
    dying = another(place, fault)
    died = False
    try:
        repaired(place, run, name, dying)
    except Unavailable:
        died = True
        repaired(place, run, name, place.engine)
    assert died == (kind == "write")
    carry_out_changes(place, place.engine, changes)
    queue = TaskQueue.ACTIVITY if name == "retry an activity" else TaskQueue.WORKFLOW
    assert len([task for task in place.tasks(queue) if task.run == run]) == 1  # the child has tasks of its own
    assert len(facts(place, run)) == (0 if name == "retry an activity" else 1)


@pytest.mark.parametrize("name", ALL)
def test_repair_when_done_then_it_costs_one_write(place: Place, run: RunKey, name: str) -> None:
    """And one message, on the way that answers at once."""
    if name == "retry an activity":
        assert place.report(run, failure=BUG)
    log = Log()
    repaired(place, run, name, another(place, log))
    operations = [operation for operation in log.operations if not operation.endswith("read")]
    assert operations == ["other.write", "other.send"]
    reads = log.operations.count("other.read")
    assert reads <= 6
