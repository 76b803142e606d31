"""Starting children: once, below their parent, and never again for a command whose end is known."""

from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import StartChild
from levante_core.domain.executions.execution import Parent
from levante_core.domain.executions.failure import FailureKind
from levante_core.domain.history.events import (
    ChildCompleted,
    ChildFailed,
    ChildStarted,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    FactTaken,
    ParentClosePolicy,
)
from levante_core.domain.history.state import fold
from levante_core.domain.names import RunId
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Delete
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from tests.support.place import POOL, SPACE, Place
from tests.unit.core.services.children.parents import (
    CHILD,
    PARENT,
    carry_out,
    child_scheduled,
    deal_with_changes,
    expire,
    inputs_of,
    latest,
    parent_of,
    runs_of,
    serve_children,
    start_child,
    strangers,
)

AGAIN = ExecutionContinuedAsNew(seq=9, run_id=RunId("next"), input={})


def end(place: Place, execution_id: str = CHILD) -> None:
    place.engine.closing.terminate(SPACE, latest(place, execution_id).key.execution_id)


def test_child_when_it_is_started_then_it_is_below_its_parent_and_has_a_task(place: Place) -> None:
    """It knows the command that asked for it, and has the root and the user of its parent."""
    scheduled = child_scheduled(timeout_seconds=60)
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    execution = latest(place)
    assert execution.parent == Parent(PARENT, parent.run_id, POOL, 1)
    assert (execution.root_execution_id, execution.user_id, execution.is_open) == (PARENT, "somebody", True)
    assert execution.start.input == {"x": 1}
    assert execution.start.deadline_at == place.clock.now() + timedelta(seconds=60)
    assert child.run_id in [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)]


def test_grandchild_when_it_is_started_then_the_first_ancestor_is_its_root(place: Place) -> None:
    """A stream holds an execution and all below it."""
    scheduled, below = child_scheduled(), child_scheduled(execution_id="below")
    child = start_child(place, parent_of(place, scheduled), scheduled)
    start_child(place, child, below)
    execution = latest(place, "below")
    assert (execution.parent_execution_id, execution.root_execution_id) == (CHILD, PARENT)


def test_start_when_it_is_repeated_then_there_is_one_child_and_nothing_to_tell(place: Place) -> None:
    """Every effect may come again."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    first = start_child(place, parent, scheduled)
    assert start_child(place, parent, scheduled) == first
    assert runs_of(place) == [first.run_id]
    assert inputs_of(place, parent) == []


@pytest.mark.parametrize("is_awaited", [True, False])
def test_start_when_it_comes_long_after_the_childs_end_then_nothing_is_started(place: Place, *, is_awaited: bool) -> None:
    """The id is free by then, or another execution's; what the parent was told says that the child has been there."""
    scheduled = child_scheduled(is_awaited=is_awaited)
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    if is_awaited:
        end(place)
        deal_with_changes(place)
    else:
        assert [one.kind for one in inputs_of(place, parent)] == ["child_started"]
        end(place)
    before = inputs_of(place, parent)
    place.engine.executions.start(SPACE, "child", StartRequest(execution_id=CHILD, input={}))
    end(place)
    assert len(runs_of(place)) == 2
    start_child(place, parent, scheduled)
    assert len(runs_of(place)) == 2
    assert latest(place).parent is None
    assert child.run_id in runs_of(place)
    assert inputs_of(place, parent) == before


@pytest.mark.parametrize(
    ("policy", "status", "is_asked_to_end"),
    [
        (ParentClosePolicy.TERMINATE, "TERMINATED", False),
        (ParentClosePolicy.REQUEST_CANCEL, "RUNNING", True),
        (ParentClosePolicy.ABANDON, "RUNNING", False),
    ],
)
@pytest.mark.parametrize("how", ["terminated", "continued as new"])
def test_start_when_the_parents_run_has_ended_then_the_childs_policy_decides(
    place: Place, policy: ParentClosePolicy, status: str, how: str, *, is_asked_to_end: bool
) -> None:
    """The run was ended before its request reached the dispatcher, which did not find the child when it left them all."""
    scheduled = child_scheduled(close_policy=policy)
    parent = parent_of(place, scheduled)
    if how == "terminated":
        end(place, PARENT)
    else:
        assert place.commit(parent, 2, AGAIN) is CommitOutcome.RECORDED
    start_child(place, parent, scheduled)
    child = latest(place)
    assert (child.status, child.is_cancel_requested) == (status, is_asked_to_end)


def test_start_when_the_parent_is_open_then_the_child_is_not_left(place: Place) -> None:
    """The policy is for children whose parent has ended, at the first time and at every repeat."""
    scheduled = child_scheduled(is_awaited=False)
    parent = parent_of(place, scheduled)
    for _ in range(2):
        start_child(place, parent, scheduled)
    assert latest(place).is_open


def test_start_when_the_parent_is_deleted_by_now_then_there_is_no_child(place: Place) -> None:
    """An execution that has expired starts nothing any more."""
    scheduled = child_scheduled()
    parent = parent_of(place)
    end(place, PARENT)
    expire(place)
    carry_out(place, StartChild(parent, POOL, scheduled))
    assert runs_of(place) == []


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"workflow_name": "unserved"}, "NotFound", "unserved"),
        ({"input": [1]}, "InvalidInput", "object"),
        ({"execution_id": "no id\n"}, "InvalidInput", "id"),
        ({"execution_id": PARENT}, "AlreadyRunning", "already running"),
    ],
)
def test_child_when_it_cannot_be_started_then_its_parent_hears_why(
    place: Place, changes: dict[str, Any], error: str, says: str
) -> None:
    """An error where the child is awaited, which no second try would mend."""
    scheduled = child_scheduled(3).model_copy(update=changes)
    parent = parent_of(place, scheduled)
    place.lose_messages()
    for _ in range(2):
        carry_out(place, StartChild(parent, POOL, scheduled))
    (failed,) = inputs_of(place, parent)
    assert isinstance(failed, ChildFailed)
    assert (failed.seq, failed.at, failed.status) == (3, place.clock.now(), None)
    assert (failed.failure.kind, failed.failure.type) == (FailureKind.APPLICATION, error)
    assert failed.failure.non_retryable
    for part in (repr(scheduled.execution_id), repr(scheduled.workflow_name), says):
        assert part in failed.failure.message
    assert [task.fact.input for task in place.tasks(TaskQueue.WORKFLOW)] == [failed]


def test_child_when_two_deployments_serve_it_and_not_its_parents_then_the_parent_hears_of_it(place: Place) -> None:
    """Nobody but the caller can choose."""
    scheduled = child_scheduled(workflow_name="both")
    parent = parent_of(place, scheduled)
    for deployment in ("one", "other"):
        serve_children(place, deployment, "both")
    carry_out(place, StartChild(parent, POOL, scheduled))
    assert [one.failure.type for one in inputs_of(place, parent)] == ["AmbiguousWorkflow"]


def test_parent_when_a_stranger_has_its_childs_id_then_it_is_told_nothing_of_that_one(place: Place) -> None:
    """Only the command, the run and the execution that asked for a child learn of it."""
    scheduled = child_scheduled(is_awaited=False)
    parent = parent_of(place, scheduled)
    for stranger in strangers(place, parent):
        before = latest(place)
        carry_out(place, StartChild(parent, POOL, scheduled))
        assert latest(place) == before, stranger
        (failed,) = inputs_of(place, parent)
        assert (failed.kind, failed.failure.type) == ("child_failed", "AlreadyRunning"), stranger
        place.store.write(Delete(keys.fact(parent, keys.outcome_fact(1))))


def test_handle_when_the_child_has_gone_on_as_new_then_it_has_the_first_run(place: Place) -> None:
    """The run that the command started, however late the parent learns of it."""
    scheduled = child_scheduled(is_awaited=False)
    parent = parent_of(place, scheduled)
    place.engine.executions.start_child(SPACE, Parent(PARENT, parent.run_id, POOL, 1), scheduled)
    first = latest(place).key
    assert place.commit(first, 1, AGAIN) is CommitOutcome.RECORDED
    start_child(place, parent, scheduled)
    (started,) = inputs_of(place, parent)
    assert started == ChildStarted(seq=1, at=place.clock.now(), run_id=first.run_id)


def test_handle_when_the_child_is_started_then_its_parent_has_a_task_once(place: Place) -> None:
    """On the queue of the parent's deployment, whoever runs the child."""
    scheduled = child_scheduled(is_awaited=False, workflow_name="elsewhere")
    parent = parent_of(place, scheduled)
    serve_children(place, "other", "elsewhere")
    place.lose_messages()
    child = start_child(place, parent, scheduled)
    start_child(place, parent, scheduled)
    assert latest(place).pool == WorkerPool.parse("other")
    started = ChildStarted(seq=1, at=place.clock.now(), run_id=child.run_id)
    assert [(task.run_id, task.fact.input) for task in place.tasks(TaskQueue.WORKFLOW)] == [(parent.run_id, started)]


def test_handle_when_the_child_has_started_and_ended_then_its_parent_knows_both(place: Place) -> None:
    """Each is recorded by itself: code that waits for the end does not miss it for having heard of the start."""
    scheduled = child_scheduled(is_awaited=False)
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    assert place.commit(child, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED
    deal_with_changes(place)
    now = place.clock.now()
    started, completed = ChildStarted(seq=1, at=now, run_id=child.run_id), ChildCompleted(seq=1, at=now, result="done")
    assert sorted(inputs_of(place, parent), key=lambda one: one.kind) == [completed, started]
    taken = [FactTaken(fact=name) for name in (keys.started_fact(1), keys.outcome_fact(1))]
    assert place.commit(parent, 2, *taken) is CommitOutcome.RECORDED
    loaded = place.load(parent)
    assert fold(loaded.batches, {fact.key: fact.input for fact in loaded.facts}).children == {}


def test_start_when_the_child_has_ended_and_nobody_told_the_parent_then_the_repeat_does(place: Place) -> None:
    """The end of a child is looked up as long as its parent does not know it."""
    scheduled = child_scheduled(4)
    parent = parent_of(place, scheduled)
    child = start_child(place, parent, scheduled)
    assert place.commit(child, 1, ExecutionCompleted(seq=1, result="done")) is CommitOutcome.RECORDED
    assert inputs_of(place, parent) == []
    start_child(place, parent, scheduled)
    assert inputs_of(place, parent) == [ChildCompleted(seq=4, at=place.clock.now(), result="done")]
