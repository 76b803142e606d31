"""Where executions can go on anew, the same once more, and what is deleted by hand."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.executions.execution import RunKey, Tracing
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    ChildScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    FactTaken,
    MessagesTaken,
)
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import AlreadyRunning, InvalidInput, InvalidResetPoint, NotApplicable, NotFound, Unavailable
from levante_core.ports.item_store import Query
from levante_core.protocol.workers import TaskQueue
from levante_core.services.executions.reset import ForkRequest, ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from tests.support.engines import another, carry_out_changes
from tests.support.faults import Fate, OneFault
from tests.support.place import SPACE, Place
from tests.support.races import races
from tests.unit.core.services.history.resetting import EXECUTION, begun, signal

COMPLETED = ExecutionCompleted(seq=9, result="done")
CHILD = {"seq": 2, "workflow_name": "w", "execution_id": "c1", "input": {}, "close_policy": "abandon"}


def points(place: Place, after: int = 0, limit: int = 100) -> list[tuple[int, str, str | None]]:
    """Return the reset points of the execution."""
    _, found = place.engine.resets.points(SPACE, EXECUTION, after=after, limit=limit)
    return [(point.event_id, point.kind, point.name) for point in found]


# --- reset points -----------------------------------------------------------------------------------------------------


def test_points_when_listed_then_they_are_those_that_a_reset_takes(place: Place) -> None:
    """Each with what it is about; where a child is open is none."""
    run = begun(place)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    assert place.report(run, result=1)
    place.commit(run, 2, FactTaken(fact=keys.outcome_fact(1)), ChildScheduled.model_validate(CHILD))
    signal(place, 1)
    place.commit(run, 3, {"kind": "child_completed", "seq": 2, "at": place.clock.now(), "result": 1}, MessagesTaken(until=1))
    expected = [(1, "execution_started", "w"), (2, "activity_scheduled", "charge"), (6, "signal_received", "h")]
    assert points(place) == expected
    assert points(place, after=1, limit=1) == expected[1:2]
    place.engine.resets.reset(SPACE, EXECUTION, ResetRequest(6))
    assert points(place) == expected
    with pytest.raises(NotFound):
        place.engine.resets.points(SPACE, "nobody", after=0, limit=1)


def test_points_when_an_outcome_is_the_last_event_then_its_activity_is_named(place: Place) -> None:
    """In a fact, or in the history itself."""
    run = begun(place)
    done = ActivityCompleted(seq=1, at=place.clock.now(), result=1)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}, owner="w"), done)
    assert points(place)[-1] == (3, "activity_completed", "charge")


# --- forks ------------------------------------------------------------------------------------------------------------


def fork(place: Place, event_id: int = 2, new_id: str = "f", engine: Any = None, **more: Any) -> Any:
    """Fork the execution."""
    request = ForkRequest(ResetRequest(event_id, **more), ExecutionId(new_id), "u")
    return (engine or place.engine).resets.fork(SPACE, EXECUTION, request)


def test_fork_when_made_then_it_is_an_execution_of_its_own_with_the_history_up_to_there(place: Place) -> None:
    """The other one goes on, and both wait for the same."""
    run = begun(place)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    place.lose_messages()
    before = place.kinds(run)
    forked = fork(place, reason="what if")
    assert (forked.key.execution_id, forked.root_execution_id, forked.parent, forked.user_id) == ("f", "f", None, "u")
    assert (forked.start.reset.run_id, forked.start.reset.event_id, forked.start.reset.reason) == (run.run_id, 2, "what if")
    assert place.kinds(forked.key) == ["execution_started", "activity_scheduled"]
    assert {task.execution_id for task in place.tasks(TaskQueue.ACTIVITY)} == {"f"}
    assert (place.kinds(run), place.status(run)) == (before, "RUNNING")
    assert place.engine.executions.execution_of_run(SPACE, forked.key.run_id) == "f"
    place.commit(forked.key, 2, COMPLETED)
    assert (place.status(forked.key), place.status(run)) == ("COMPLETED", "RUNNING")


def test_fork_when_repeated_then_there_is_one_and_another_id_is_refused_where_it_is_taken(place: Place) -> None:
    """What is there already is never replaced, closed or not."""
    run = begun(place)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    place.start(execution_id="other")
    forked = fork(place)
    assert fork(place).key == forked.key
    for taken in ("other", EXECUTION):
        with pytest.raises(NotApplicable, match="take another id"):
            fork(place, new_id=taken)
    with pytest.raises(NotApplicable, match="take another id"):
        fork(place, event_id=1)
    with pytest.raises(InvalidResetPoint):
        fork(place, event_id=3, new_id="g")


def test_fork_when_somebody_else_takes_the_id_meanwhile_then_that_one_stands(place: Place) -> None:
    """Whoever was faster with the same is as good."""
    run = begun(place)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    with place.racing.before_write(lambda: place.start(execution_id="f")), pytest.raises(NotApplicable):
        fork(place)
    with place.racing.before_write(lambda: fork(place, new_id="g", engine=another(place))):
        assert fork(place, new_id="g").start.reset.event_id == 2


def test_fork_when_payloads_are_encoded_then_it_is_refused_and_says_what_can_be_done(place: Place) -> None:
    """No worker could read them under another id."""
    place.start(execution_id=EXECUTION, input={"b64payload": "eA==", "encoding_options": ["encrypted"]})
    with pytest.raises(NotApplicable, match="encoded for its own id alone"):
        fork(place, event_id=1)


@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED])
@pytest.mark.parametrize("position", [1, 2])
def test_fork_when_its_process_dies_then_a_repeat_makes_one(place: Place, how: Fate, position: int) -> None:
    """Copies that nobody sees do no harm; what was not sent is found by the sweep."""
    run = begun(place)
    place.commit(run, 1, ActivityScheduled(seq=1, name="charge", input={}))
    place.lose_messages()
    with pytest.raises(Unavailable):
        fork(place, engine=another(place, OneFault("write", position, how, is_armed=True)))
    forked = fork(place)
    carry_out_changes(place, place.engine)
    assert {task.run_id for task in place.tasks(TaskQueue.WORKFLOW) if task.execution_id == "f"} == {forked.key.run_id}


# --- once more --------------------------------------------------------------------------------------------------------


def rerun(place: Place, **given: Any) -> Any:
    """Start the execution once more."""
    return place.engine.executions.rerun(SPACE, EXECUTION, StartRequest(user_id="u", **given))


def test_rerun_when_nothing_else_is_said_then_input_and_attributes_are_the_same(place: Place) -> None:
    """It is an execution of its own, whose trace is its own, started by whoever asked."""
    tracing = Tracing(traceparent="00-1-2-01", attributes={"a": "b"}, extensions={"x": 1})
    place.start(execution_id=EXECUTION, input={"n": 1}, tracing=tracing)
    new = rerun(place)
    assert new.key.execution_id != EXECUTION
    assert (new.start.input, new.workflow_name, str(new.pool), new.user_id) == ({"n": 1}, "w", "d", "u")
    assert (new.tracing.traceparent, new.tracing.attributes, new.tracing.extensions) == (None, {"a": "b"}, {"x": 1})
    assert rerun(place, input={"n": 2}, execution_id="again").start.input == {"n": 2}


def test_rerun_when_the_id_is_taken_then_it_is_refused_unless_that_one_has_ended(place: Place) -> None:
    """As any start; with an id, a repeat is harmless."""
    place.start(execution_id=EXECUTION)
    with pytest.raises(AlreadyRunning):
        rerun(place, execution_id=EXECUTION)
    place.engine.closing.terminate(SPACE, EXECUTION)
    assert rerun(place, execution_id=EXECUTION).is_open
    with pytest.raises(NotFound):
        place.engine.executions.rerun(SPACE, "nobody", StartRequest())


def test_rerun_when_it_continued_as_new_then_the_first_input_counts(place: Place) -> None:
    """Later ones were made by the code."""
    run = place.start(execution_id=EXECUTION, input={"n": 1})
    place.commit(run, 1, ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input={"n": 2}))
    assert place.engine.executions.get(SPACE, EXECUTION).start.input == {"n": 2}
    assert rerun(place).start.input == {"n": 1}


def test_rerun_when_the_input_is_encoded_for_its_id_then_another_id_needs_another_input(place: Place) -> None:
    """A worker would refuse it: it is bound to the execution that it was encoded for."""
    encoded = {"b64payload": "eA==", "encoding_options": ["encrypted"]}
    place.start(execution_id=EXECUTION, input=encoded)
    with pytest.raises(NotApplicable, match="encoded for that id"):
        rerun(place)
    place.engine.closing.terminate(SPACE, EXECUTION)
    assert rerun(place, execution_id=EXECUTION).start.input == encoded


def test_rerun_when_the_input_does_not_fit_then_nothing_is_started(place: Place) -> None:
    """It is checked as at any start."""
    place.start(execution_id=EXECUTION)
    with pytest.raises(InvalidInput):
        rerun(place, execution_id="no id at all")


# --- deleted by hand --------------------------------------------------------------------------------------------------


def ended(place: Place) -> RunKey:
    """Make an execution that continued as new, and has ended."""
    run = place.start(execution_id=EXECUTION)
    place.commit(run, 1, ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input={}))
    latest = place.engine.executions.get(SPACE, EXECUTION).key
    place.commit(latest, 1, COMPLETED)
    return run


def left(place: Place, *runs: RunKey) -> list[str]:
    """Return what is left of an execution and these runs."""
    partitions = [keys.execution(SPACE, EXECUTION).partition, *(keys.history(SPACE, run.run_id) for run in runs)]
    items = [place.store.query(Query(partition)).items for partition in partitions]
    return [item.key.sort for found in items for item in found]


def test_delete_when_an_execution_has_ended_then_nothing_of_it_is_left(place: Place) -> None:
    """The change feed deletes what the items leave behind, though nothing has expired."""
    first = ended(place)
    latest = place.engine.executions.get(SPACE, EXECUTION).key
    place.engine.expiry.delete(SPACE, EXECUTION)
    with pytest.raises(NotFound):
        place.engine.executions.get(SPACE, EXECUTION)
    carry_out_changes(place, place.engine)
    assert left(place, first, latest) == []
    with pytest.raises(NotFound):
        place.engine.expiry.delete(SPACE, EXECUTION)


def test_delete_when_an_execution_is_open_or_its_parent_is_then_it_is_refused(place: Place) -> None:
    """A parent that has not heard of its end would start a child anew."""
    run = place.start(execution_id=EXECUTION)
    with pytest.raises(NotApplicable, match="terminate it first"):
        place.engine.expiry.delete(SPACE, EXECUTION)
    place.commit(run, 1, ChildScheduled.model_validate(CHILD))
    carry_out_changes(place, place.engine)
    place.engine.closing.terminate(SPACE, ExecutionId("c1"))
    with pytest.raises(NotApplicable, match="is a child of 'e', which is open"):
        place.engine.expiry.delete(SPACE, "c1")
    place.engine.closing.terminate(SPACE, EXECUTION)
    place.engine.expiry.delete(SPACE, "c1")


@races("expiry._delete_run closed_run")
@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_delete_when_the_id_is_used_again_meanwhile_then_the_new_execution_stays(place: Place, nth: int) -> None:
    """What was looked at is not what is there any more."""
    ended(place)
    new: list[RunKey] = []
    with (
        place.racing.before_write(lambda: new.append(place.start(execution_id=EXECUTION)), nth=nth),
        pytest.raises(NotApplicable, match="started anew"),
    ):
        place.engine.expiry.delete(SPACE, EXECUTION)
    assert place.engine.executions.get(SPACE, EXECUTION).key == new[0]
    carry_out_changes(place, place.engine)
    assert place.status(new[0]) == "RUNNING"


@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED])
@pytest.mark.parametrize("position", [1, 2, 3, 4])
def test_delete_when_its_process_dies_at_any_write_then_a_repeat_completes_it(
    place: Place, position: int, how: Fate
) -> None:
    """As long as the execution is there, it can be deleted."""
    first = ended(place)
    latest = place.engine.executions.get(SPACE, EXECUTION).key
    with pytest.raises(Unavailable):
        another(place, OneFault("write", position, how, is_armed=True)).expiry.delete(SPACE, EXECUTION)
    try:
        place.engine.expiry.delete(SPACE, EXECUTION)
    except NotFound:
        assert (position, how) == (4, Fate.UNANSWERED)
    place.clock.advance(timedelta(days=1).total_seconds())
    carry_out_changes(place, place.engine)
    assert left(place, first, latest) == []
