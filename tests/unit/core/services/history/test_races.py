"""Commits when something else happens between what was read of their run and their write."""

import pytest

from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.history.events import (
    ActivityScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    MessagesTaken,
    TimerStarted,
)
from levante_core.domain.history.run_messages import SignalReceived, message_key
from levante_core.domain.history.state import HistorySize
from levante_core.domain.names import ExecutionId, RunId
from levante_core.ports.item_store import Query
from levante_core.protocol import ActivityOptions, HandlerSpec, WorkflowSpec
from levante_core.protocol.workers import CommitOutcome, RegisterRequest, TaskQueue
from levante_core.services.history.commits import MESSAGES_HELD_FOR
from levante_core.storage import keys
from tests.support.place import DEPLOYMENT, HOUR, SPACE, Place
from tests.support.races import races

E = ExecutionId("e")
NEXT = RunId("next")
END = ExecutionCompleted(seq=1, result="mine")
TOO_LARGE = HistorySize(events=60_000)
RECORDED, CONFLICT, UNREAD = CommitOutcome.RECORDED, CommitOutcome.CONFLICT, CommitOutcome.UNREAD_MESSAGES


@pytest.fixture
def run(place: Place) -> RunKey:
    """Start an execution of a workflow that takes signals."""
    started = place.start(execution_id=E)
    signals = (HandlerSpec(name="h", input_schema={}),)
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=HOUR, signals=signals)
    place.engine.catalogue.register(SPACE, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))
    return started


def timer(place: Place, seq: int = 1) -> TimerStarted:
    return TimerStarted(seq=seq, fire_at=place.clock.now() + HOUR)


def activity(name: str, seq: int = 1) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name=name, input={}, options=ActivityOptions())


def continued(taken: int = 0, run_id: RunId = NEXT) -> ExecutionContinuedAsNew:
    return ExecutionContinuedAsNew(seq=1, run_id=run_id, input=None, mail_taken=taken)


def latest(place: Place) -> Execution:
    return place.engine.executions.get(SPACE, E)


def signal(place: Place) -> None:
    place.engine.messages.signal(SPACE, E, "h", "late")


def terminate(place: Place) -> None:
    place.engine.closing.terminate(SPACE, E)


@races("commits._prepare Absent")
def test_commit_when_another_worker_commits_meanwhile_then_one_batch_is_recorded_and_its_tasks_alone_are_sent(
    place: Place, run: RunKey
) -> None:
    """Invariant 1: of two who held the run, one decides what comes next; what the other wanted never happens."""
    with place.racing.before_write(lambda: place.commit(run, 1, activity("first"), commit_id="other")):
        assert place.commit(run, 1, activity("second"), activity("third", seq=2), commit_id="mine") is CONFLICT
    assert place.kinds(run) == ["execution_started", "activity_scheduled"]
    assert [task.work.name for task in place.tasks(TaskQueue.ACTIVITY)] == ["first"]


@races("commits._prepare Absent")
def test_commit_when_its_own_repeat_is_recorded_meanwhile_then_it_is_answered_alike(place: Place, run: RunKey) -> None:
    """A worker whose request was answered too late sends it again; both answers say that it was recorded."""
    with place.racing.before_write(lambda: place.commit(run, 1, timer(place))):
        result = place.commit_result(run, 1, timer(place))
    assert result.outcome is RECORDED
    assert result.token
    assert place.kinds(run) == ["execution_started", "timer_started"]


@races("commits._prepare Absent", "close.closing_write open_run")
@pytest.mark.parametrize("other", [END.model_copy(update={"result": "other"}), continued()], ids=["end", "continue"])
def test_end_when_the_run_ends_otherwise_meanwhile_then_there_is_one_end(
    place: Place, run: RunKey, other: ExecutionCompleted | ExecutionContinuedAsNew
) -> None:
    """The first end stands, and so does what follows on it."""
    with place.racing.before_write(lambda: place.commit(run, 1, other, commit_id="other")):
        assert place.commit(run, 1, END, commit_id="mine") is CONFLICT
    execution = latest(place)
    if isinstance(other, ExecutionContinuedAsNew):
        assert (execution.key.run_id, execution.is_open) == (NEXT, True)
    else:
        assert execution.ending
        assert execution.ending.result == "other"


@races("close.closing_write open_run", "commits._setting open_run")
def test_end_when_a_signal_comes_meanwhile_then_the_run_goes_on_and_takes_it(place: Place, run: RunKey) -> None:
    """Invariant 5: what was accepted is taken before the run ends; and until then, no more comes."""
    with place.racing.before_write(lambda: signal(place)):
        assert place.commit(run, 1, END) is UNREAD
    execution = latest(place)
    assert (execution.is_open, execution.mail_count) == (True, 1)
    assert execution.mail_held_until == place.clock.now() + MESSAGES_HELD_FOR
    assert place.commit(run, 1, MessagesTaken(until=1), END, taken_until=1) is RECORDED


@races("commits._setting open_run")
@pytest.mark.parametrize("continues", [True, False])
def test_end_when_the_run_ends_otherwise_before_messages_are_held_then_nothing_of_that_is_left(
    place: Place, run: RunKey, *, continues: bool
) -> None:
    """Nobody may have to wait for a run that is over, or for one that has only begun."""
    signal(place)

    def end() -> None:
        if continues:
            assert place.commit(run, 1, MessagesTaken(until=1), continued(1), taken_until=1) is RECORDED
        else:
            terminate(place)

    with place.racing.before_write(end, nth=2):
        assert place.commit(run, 1, END) is UNREAD
    assert latest(place).mail_held_until is None
    assert latest(place).is_open is continues


@races("commits._setting open_run")
def test_commit_when_the_run_ends_meanwhile_then_its_search_keys_are_not_shown(place: Place, run: RunKey) -> None:
    """Neither of the run that has ended, nor of one that has taken its place."""
    with place.racing.before_write(lambda: place.commit(run, 1, continued(), commit_id="other")):
        assert place.commit(run, 1, timer(place), search_keys={"k": "v"}) is CONFLICT
    assert latest(place).search_keys == {}
    terminate(place)
    assert place.commit(latest(place).key, 1, timer(place), search_keys={"k": "v"}) is CONFLICT
    assert latest(place).search_keys == {}


@races("commits._terminated Absent")
@pytest.mark.parametrize("ends", [True, False])
def test_commit_when_it_is_too_large_and_another_is_recorded_meanwhile_then_that_one_stands(
    place: Place, run: RunKey, *, ends: bool
) -> None:
    """Whether there is room for more is decided by who comes next, and not by who is late."""
    other = END if ends else timer(place)
    with place.racing.before_write(lambda: place.commit(run, 1, other, commit_id="other")):
        assert place.commit(run, 1, timer(place), commit_id="mine", history=TOO_LARGE) is CONFLICT
    assert place.kinds(run) == ["execution_started", other.kind]
    assert latest(place).status == ("COMPLETED" if ends else "RUNNING")


@races("commits._terminated Absent", "close.closing_write open_run")
def test_commit_when_it_is_too_large_and_a_signal_comes_meanwhile_then_the_run_ends_all_the_same(
    place: Place, run: RunKey
) -> None:
    """There is no room to take it."""
    with place.racing.before_write(lambda: signal(place)):
        assert place.commit(run, 1, timer(place), history=TOO_LARGE) is CONFLICT
    assert (latest(place).status, latest(place).mail_count) == ("TERMINATED", 1)


# --- continuing as new ------------------------------------------------------------------------------------------------


@races("commits._continued open_run", "commits._continued Absent 3")
def test_continue_as_new_when_a_signal_comes_meanwhile_then_it_is_tried_again_and_carried_over(
    place: Place, run: RunKey
) -> None:
    """A signal that was accepted for the old run, and not taken by it, is the first one of the new run."""
    place.engine.messages.signal(SPACE, E, "h", "in time")
    end = MessagesTaken(until=1), continued(taken=1)
    with place.racing.before_write(lambda: signal(place)):
        assert place.commit(run, 1, *end, taken_until=1) is UNREAD
    assert (latest(place).key, latest(place).is_open) == (run, True)
    place.clock.advance(MESSAGES_HELD_FOR.total_seconds())
    assert place.commit(run, 1, *end, taken_until=1) is RECORDED
    (fact,) = place.load(latest(place).key).facts
    assert isinstance(fact.input, SignalReceived)
    assert (latest(place).key.run_id, latest(place).mail_count) == (NEXT, 1)
    assert (fact.key, fact.input.number, fact.input.input) == (message_key(1), 1, "late")


@races("commits._continued open_run", "commits._continued Absent")
@pytest.mark.parametrize("replaced", [True, False])
def test_continue_as_new_when_the_run_ends_meanwhile_then_no_run_follows(
    place: Place, run: RunKey, *, replaced: bool
) -> None:
    """Also where the id has gone to a new execution by then: that one goes on."""
    others: list[RunKey] = []

    def end() -> None:
        terminate(place)
        if replaced:
            others.append(place.start(execution_id=E))

    with place.racing.before_write(end):
        assert place.commit(run, 1, continued()) is CONFLICT
    assert latest(place).key == (others[0] if replaced else run)
    assert latest(place).is_open is replaced
    assert place.store.query(Query(keys.history(SPACE, NEXT))).items == []


@races("commits._continued open_run")
def test_continue_as_new_when_the_run_has_ended_before_it_is_read_then_no_run_follows(place: Place, run: RunKey) -> None:
    """What is read of the execution is of another run by then, or of one that is over."""
    partition = keys.execution(SPACE, E).partition
    with place.racing.before_read(lambda: terminate(place), partition):
        assert place.commit(run, 1, continued()) is CONFLICT
    second = place.start(execution_id=E)

    def replace() -> None:
        assert place.commit(second, 1, continued()) is RECORDED
        place.engine.messages.cancel(SPACE, E)

    with place.racing.before_read(replace, partition):
        assert place.commit(second, 1, continued(run_id=RunId("another")), commit_id="mine") is CONFLICT
    assert latest(place).key.run_id == NEXT


@races("commits._continued Absent 2")
def test_continue_as_new_when_another_execution_takes_the_run_id_meanwhile_then_that_one_keeps_it(
    place: Place, run: RunKey
) -> None:
    """The id leads to one execution; the ids of runs are made by workers, who may be wrong."""
    other = place.start(execution_id="other")
    with place.racing.before_write(lambda: place.commit(other, 1, continued())):
        assert place.commit(run, 1, continued()) is CONFLICT
    assert place.engine.executions.execution_of_run(SPACE, NEXT) == "other"
    assert latest(place).key == run
