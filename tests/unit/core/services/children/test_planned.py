"""What records of a run, its parent and its children ask for. Pure."""

from datetime import UTC, datetime
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import (
    BatchAppended,
    CancelChild,
    LeaveChildren,
    LookAtSchedule,
    OpenWork,
    RunClosed,
    SendTask,
    SignalChild,
    StartChild,
    TellParent,
    outstanding,
    plan,
)
from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.execution import Parent, RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import (
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    ChildSignaled,
    ChildStarted,
    ParentClosePolicy,
)
from levante_core.domain.history.run_messages import CancelRequested, message_key
from levante_core.domain.history.state import HistoryBatch, RunState, fold
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.domain.worker_pool import WorkerPool

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RUN = RunKey(Workspace("s"), ExecutionId("e"), RunId("r"))
PINNED = WorkerPool.parse("d@1")
COMPLETED = ChildCompleted(seq=3, at=NOW, result=1)
FAILED = ChildFailed(seq=3, at=NOW, failure=Failure(message="x"))


def child(seq: int, execution_id: str) -> ChildScheduled:
    return ChildScheduled(
        seq=seq,
        workflow_name="w",
        execution_id=ExecutionId(execution_id),
        input=None,
        close_policy=ParentClosePolicy.TERMINATE,
        is_awaited=False,
    )


def test_plan_when_a_batch_deals_with_children_then_each_command_is_carried_out_in_order() -> None:
    """Nothing in the same batch makes up for a start: a child that is given up at once has been asked for all the same."""
    first, second = child(1, "first"), child(2, "second")
    signal = ChildSignaled(seq=3, child=2, execution_id=second.execution_id, name="h", input=None)
    given_up = ChildCancelRequested(seq=4, child=1, execution_id=first.execution_id)
    batch = HistoryBatch(index=1, commit_id="c", events=(first, second, signal, given_up))
    assert plan(BatchAppended(RUN, PINNED, NOW, batch)) == [
        StartChild(RUN, PINNED, first),
        StartChild(RUN, PINNED, second),
        SignalChild(RUN, signal),
        CancelChild(RUN, first.execution_id, 1),
    ]


@pytest.mark.parametrize("outcome", [COMPLETED, FAILED])
def test_plan_when_a_run_has_closed_then_everybody_is_told_whom_it_concerns(outcome: Any) -> None:
    """Parent first, then children, then the schedule; who is not there has nothing to be told."""
    parent = Parent(ExecutionId("p"), RunId("pr"), WorkerPool.parse("d"), 3)
    tell = TellParent(RUN, parent, outcome)
    leave, look = LeaveChildren(RUN), LookAtSchedule(RUN.workspace, "daily")
    everybody = RunClosed(RUN, PINNED, has_children=True, parent=parent, outcome=outcome, schedule_id="daily")
    assert plan(everybody) == [tell, leave, look]
    assert plan(RunClosed(RUN, PINNED, has_children=False, parent=parent, outcome=outcome)) == [tell]
    assert plan(RunClosed(RUN, PINNED, has_children=True, parent=parent)) == [leave], "it goes on as new"
    assert plan(RunClosed(RUN, PINNED, has_children=False, outcome=outcome)) == []
    assert plan(RunClosed(RUN, PINNED, has_children=False, schedule_id="daily")) == [look]


def opened(*events: Any) -> RunState:
    return fold([HistoryBatch(index=1, commit_id="c", events=events)], {})


def effects_on_children(work: OpenWork) -> list[Any]:
    return [effect for effect in outstanding(RUN, PINNED, work, NOW) if not isinstance(effect, SendTask)]


def test_outstanding_when_a_child_is_open_then_it_is_started_and_asked_to_end_again() -> None:
    """Whether it has started or not: nobody else would tell the run of an end that was missed."""
    first, second, third = child(3, "first"), child(4, "second"), child(5, "third")
    asked = ChildCancelRequested(seq=6, child=4, execution_id=second.execution_id, is_awaited=True)
    given_up = ChildCancelRequested(seq=7, child=5, execution_id=third.execution_id)
    started = ChildStarted(seq=4, at=NOW, run_id=RunId("c"))
    work = OpenWork(opened(first, second, third, started, asked, given_up), (), {})
    assert effects_on_children(work) == [
        StartChild(RUN, PINNED, first),
        StartChild(RUN, PINNED, second),
        CancelChild(RUN, second.execution_id, 4),
    ]


@pytest.mark.parametrize(
    ("waiting", "is_ended"),
    [
        (COMPLETED, True),
        (FAILED, True),
        (ChildStarted(seq=3, at=NOW, run_id=RunId("c")), False),
        (ChildCompleted(seq=4, at=NOW, result=1), False),
        (CancelRequested(number=3, at=NOW), False),
    ],
)
def test_outstanding_when_the_end_of_a_child_waits_to_be_taken_then_nothing_is_asked_of_it(
    waiting: Any, *, is_ended: bool
) -> None:
    """That it has started is no end; nor is what has its number by chance, or another child's end."""
    scheduled = child(3, "first")
    asked = ChildCancelRequested(seq=6, child=3, execution_id=scheduled.execution_id, is_awaited=True)
    key = message_key(3) if isinstance(waiting, CancelRequested) else "key"
    work = OpenWork(opened(scheduled, child(4, "second"), asked), [Fact(key=key, input=waiting)], {})
    found = [one for one in effects_on_children(work) if one != StartChild(RUN, PINNED, child(4, "second"))]
    assert found == ([] if is_ended else [StartChild(RUN, PINNED, scheduled), CancelChild(RUN, scheduled.execution_id, 3)])
