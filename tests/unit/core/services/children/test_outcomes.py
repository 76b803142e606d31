"""What a parent learns of how a child ended: once, in the run that asked, by the run that was the last."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import TellParent
from levante_core.domain.executions.execution import Parent
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.history.events import (
    ChildCompleted,
    ChildFailed,
    ExecutionCanceled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionFailed,
    MessagesTaken,
)
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.executions.reset import ResetRequest
from tests.support.place import HOUR, POOL, SPACE, Place
from tests.unit.core.services.children.parents import (
    CHILD,
    PARENT,
    carry_out,
    child_scheduled,
    deal_with_changes,
    inputs_of,
    latest,
    parent_of,
    serve_children,
    start_child,
)

FAILURE = Failure(message="on purpose")


def completed(result: Any, place: Place, seq: int = 1) -> ChildCompleted:
    return ChildCompleted(seq=seq, at=place.clock.now(), result=result)


@pytest.mark.parametrize("event", [ExecutionCompleted(seq=1, result="done"), ExecutionFailed(seq=1, failure=FAILURE)])
def test_parent_when_its_child_ends_by_itself_then_it_has_what_the_child_said(place: Place, event: Any) -> None:
    """The result, or the failure as it is."""
    scheduled = child_scheduled(7)
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    place.clock.advance(5)
    assert place.commit(child, 1, event) is CommitOutcome.RECORDED
    deal_with_changes(place)
    now = place.clock.now()
    failed = ChildFailed(seq=7, at=now, failure=FAILURE, status=ExecutionStatus.FAILED)
    assert inputs_of(place, parent) == [failed if isinstance(event, ExecutionFailed) else completed("done", place, 7)]


@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("CANCELED", FailureKind.CANCELED),
        ("TERMINATED", FailureKind.APPLICATION),
        ("TIMED_OUT", FailureKind.APPLICATION),
    ],
)
def test_parent_when_its_child_ends_without_a_failure_then_it_has_one_that_says_how(
    place: Place, how: str, kind: FailureKind
) -> None:
    """Whoever awaits the child gets an error, and can tell cancellation from all else."""
    scheduled = child_scheduled(timeout_seconds=60)
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    if how == "CANCELED":
        assert place.commit(child, 1, ExecutionCanceled(seq=1)) is CommitOutcome.RECORDED
    elif how == "TERMINATED":
        place.engine.closing.terminate(SPACE, CHILD)
    else:
        place.clock.advance(60)
        place.engine.closing.time_out(child)
    deal_with_changes(place)
    (failed,) = inputs_of(place, parent)
    assert isinstance(failed, ChildFailed)
    assert (failed.status, failed.failure.kind) == (how, kind)
    assert how in failed.failure.message


def test_parent_when_it_is_told_twice_then_the_first_outcome_counts(place: Place) -> None:
    """A repeat changes nothing that the parent may have taken already."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    of = Parent(PARENT, parent.run_id, POOL, 1)
    first, second = completed("first", place), completed("second", place)
    carry_out(place, TellParent(child, of, first), TellParent(child, of, second))
    assert inputs_of(place, parent) == [first]


def test_parent_when_it_is_told_then_its_own_deployment_goes_on(place: Place) -> None:
    """The child may run elsewhere; a parent that is told has a task at once, with what it is told."""
    scheduled = child_scheduled(workflow_name="elsewhere")
    parent = parent_of(place, scheduled)
    serve_children(place, "other", "elsewhere")
    child = start_child(place, parent, scheduled)
    assert latest(place).pool == WorkerPool.parse("other")
    place.lose_messages()
    assert place.commit(child, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED
    deal_with_changes(place)
    tasks = place.tasks(TaskQueue.WORKFLOW)
    assert [(task.run_id, task.fact.input) for task in tasks] == [(parent.run_id, completed("done", place))]


@pytest.mark.parametrize("how", ["terminated", "continued as new", "started anew"])
def test_parent_when_its_run_has_ended_then_no_run_is_told(place: Place, how: str) -> None:
    """Another run of the same execution has not asked for the child: its own commands may have the same numbers."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    if how == "continued as new":
        again = ExecutionContinuedAsNew(seq=2, run_id=RunId("next"), input={})
        assert place.commit(parent, 2, again) is CommitOutcome.RECORDED
    else:
        place.engine.closing.terminate(SPACE, PARENT)
    if how == "started anew":
        parent_of(place)
    carry_out(place, TellParent(child, Parent(PARENT, parent.run_id, POOL, 1), completed("done", place)))
    assert inputs_of(place, parent) == inputs_of(place, latest(place, PARENT).key) == []


def test_parent_when_its_child_goes_on_as_new_then_it_hears_of_the_last_run_only(place: Place) -> None:
    """A child is an execution, however many runs that takes."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    again = ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input={})
    assert place.commit(child, 1, again) is CommitOutcome.RECORDED
    deal_with_changes(place)
    assert inputs_of(place, parent) == []
    last = latest(place)
    assert (last.key.run_id, last.parent) == ("next", Parent(PARENT, parent.run_id, POOL, 1))
    assert place.commit(last.key, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED
    deal_with_changes(place)
    assert inputs_of(place, parent) == [completed("done", place)]


def test_parent_when_its_child_is_reset_then_it_hears_of_the_new_run_only(place: Place) -> None:
    """A reset ends a run, and not the child: the parent goes on waiting."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    deal_with_changes(place)
    place.engine.resets.reset(SPACE, CHILD, ResetRequest(1))
    deal_with_changes(place)
    assert place.load(child).status == "TERMINATED"
    assert inputs_of(place, parent) == []
    assert place.commit(latest(place).key, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED
    deal_with_changes(place)
    assert inputs_of(place, parent) == [completed("done", place)]


def test_parent_when_it_is_told_as_often_as_it_has_messages_then_both_are_there(place: Place) -> None:
    """Outcomes and messages are numbered apart."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    place.engine.messages.cancel(SPACE, PARENT)
    assert place.commit(child, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED
    deal_with_changes(place)
    assert [one.kind for one in inputs_of(place, parent)] == ["child_completed", "cancel_requested"]
    assert place.commit(parent, 2, MessagesTaken(until=1)) is CommitOutcome.RECORDED


def test_child_when_its_time_is_over_before_it_is_due_then_it_goes_on(place: Place) -> None:
    """A child has the timeout that its parent gives it, or the one that its workflow declares."""
    given, declared = child_scheduled(timeout_seconds=60), child_scheduled(2, execution_id="c2")
    parent = parent_of(place, given, declared)
    children = [start_child(place, parent, scheduled) for scheduled in (given, declared)]
    for seconds, ended in ((59, []), (1, ["c"]), (HOUR / timedelta(seconds=1) - 60, ["c", "c2"])):
        place.clock.advance(seconds)
        for child in children:
            place.engine.closing.time_out(child)
        assert [child.execution_id for child in children if place.status(child) == "TIMED_OUT"] == ended
