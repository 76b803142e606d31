"""What becomes of children when the run that asked for them ends first: each as its policy says, and nobody else."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from levante_core.domain.dispatch.plan import LeaveChildren, RunClosed
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import (
    ChildCancelRequested,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    FactTaken,
    ParentClosePolicy,
    TimerFired,
)
from levante_core.domain.names import RunId
from levante_core.errors import Unreadable
from levante_core.ports.item_store import Delete, Update
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage import keys
from tests.support.place import SPACE, Place
from tests.unit.core.services.children.parents import (
    CHILD,
    PARENT,
    carry_out,
    child_scheduled,
    deal_with_changes,
    latest,
    new_records,
    parent_of,
    start_child,
    strangers,
)

COMPLETED = ExecutionCompleted(seq=9, result=None)
AGAIN = ExecutionContinuedAsNew(seq=9, run_id=RunId("next"), input={})
POLICIES = list(ParentClosePolicy)


def standing(place: Place, *execution_ids: str) -> list[tuple[str, bool]]:
    """Return how executions stand, and whether they are asked to end."""
    found = [latest(place, execution_id) for execution_id in execution_ids]
    return [(one.status.value, one.is_cancel_requested) for one in found]


def with_children(place: Place) -> RunKey:
    """Start a parent with a child of each policy, whose ids are those of the policies."""
    children = [child_scheduled(seq, str(policy), close_policy=policy) for seq, policy in enumerate(POLICIES, 1)]
    parent = parent_of(place, *children)
    for child in children:
        start_child(place, parent, child)
    deal_with_changes(place)
    return parent


AS_POLICIES_SAY = [("TERMINATED", False), ("RUNNING", True), ("RUNNING", False)]


@pytest.mark.parametrize("how", ["completed", "continued as new", "terminated", "timed out", "reset"])
def test_children_when_their_parents_run_ends_then_each_is_left_as_its_policy_says(place: Place, how: str) -> None:
    """However the run ends, and however often the feed says so."""
    parent = with_children(place)
    match how:
        case "completed" | "continued as new":
            event: Any = COMPLETED if how == "completed" else AGAIN
            assert place.commit(parent, 2, event) is CommitOutcome.RECORDED
        case "terminated":
            place.engine.closing.terminate(SPACE, PARENT)
        case "timed out":
            place.engine.closing.time_out(parent)
            place.clock.advance(3600)
            place.engine.closing.time_out(parent)
        case _:
            place.engine.resets.reset(SPACE, PARENT, ResetRequest(1))
    deal_with_changes(place)
    assert standing(place, *POLICIES) == AS_POLICIES_SAY
    carry_out(place, LeaveChildren(parent))
    assert standing(place, *POLICIES) == AS_POLICIES_SAY
    assert latest(place, ParentClosePolicy.REQUEST_CANCEL).mail_count == 1


@pytest.mark.parametrize("closing", [COMPLETED, AGAIN])
def test_children_when_the_batch_that_asks_for_them_ends_the_run_then_their_policy_counts(
    place: Place, closing: Any
) -> None:
    """They are started after the end, or left right before it is known that there are any."""
    scheduled = child_scheduled()
    parent = parent_of(place)
    assert place.commit(parent, 1, scheduled, closing) is CommitOutcome.RECORDED
    closed = [one for one in new_records(place) if isinstance(one, RunClosed)]
    assert [(one.run, one.has_children) for one in closed] == [(parent, True)]
    start_child(place, parent, scheduled)
    carry_out(place, LeaveChildren(parent))
    assert standing(place, CHILD) == [("TERMINATED", False)]


def test_run_when_it_follows_one_with_children_then_it_has_none_of_its_own(place: Place) -> None:
    """What the earlier run asked for is left when that one ends, and not once more."""
    parent = parent_of(place, child_scheduled())
    assert place.commit(parent, 2, AGAIN) is CommitOutcome.RECORDED
    assert not latest(place, PARENT).has_children
    new_records(place)
    assert place.commit(replace(parent, run_id=RunId("next")), 1, COMPLETED) is CommitOutcome.RECORDED
    assert new_records(place)[1:] == []


def test_run_when_it_has_no_children_then_its_end_concerns_nobody(place: Place) -> None:
    """Most executions are nobody's child and have none: their ends cost nothing."""
    parent = parent_of(place)
    new_records(place)
    assert place.commit(parent, 1, COMPLETED) is CommitOutcome.RECORDED
    assert [one for one in new_records(place) if isinstance(one, RunClosed)] == []


def test_children_when_their_end_was_taken_or_nobody_waits_then_they_are_not_left_again(place: Place) -> None:
    """A child that was given up has been asked to end already, and may take its time for that."""
    ended, given_up = child_scheduled(1, "ended"), child_scheduled(2, "given-up")
    parent = parent_of(place, ended, given_up)
    for scheduled in (ended, given_up):
        start_child(place, parent, scheduled)
    assert place.commit(latest(place, "ended").key, 1, COMPLETED) is CommitOutcome.RECORDED
    deal_with_changes(place)
    end_of_child = FactTaken(fact=keys.outcome_fact(1))
    gives_up = ChildCancelRequested(seq=3, child=2, execution_id=given_up.execution_id)
    assert place.commit(parent, 2, end_of_child, gives_up, COMPLETED) is CommitOutcome.RECORDED
    place.engine.executions.start(SPACE, "child", StartRequest(execution_id="ended", input={}))
    deal_with_changes(place)
    assert standing(place, "ended", "given-up") == [("RUNNING", False), ("RUNNING", True)]


def test_children_when_one_has_ended_by_itself_then_the_others_are_left_all_the_same(place: Place) -> None:
    """A child that is closed, or was never started, keeps nobody from being left."""
    children = [
        child_scheduled(1, "closed"),
        child_scheduled(2, "canceled", close_policy=ParentClosePolicy.REQUEST_CANCEL),
        child_scheduled(3, "never-started"),
        child_scheduled(4, "open"),
    ]
    parent = parent_of(place, *children)
    for child in (children[0], children[1], children[3]):
        start_child(place, parent, child)
    for execution_id in ("closed", "canceled"):
        assert place.commit(latest(place, execution_id).key, 1, COMPLETED) is CommitOutcome.RECORDED
    carry_out(place, LeaveChildren(parent))
    assert standing(place, "closed", "canceled", "open") == [
        ("COMPLETED", False),
        ("COMPLETED", False),
        ("TERMINATED", False),
    ]


@pytest.mark.parametrize("policy", [ParentClosePolicy.TERMINATE, ParentClosePolicy.REQUEST_CANCEL])
def test_strangers_when_they_have_a_childs_id_then_they_are_left_alone(place: Place, policy: ParentClosePolicy) -> None:
    """The id was taken before the child could be started, or after the child had ended."""
    parent = parent_of(place, child_scheduled(close_policy=policy))
    for stranger in strangers(place, parent):
        carry_out(place, LeaveChildren(parent))
        assert standing(place, CHILD) == [("RUNNING", False)], stranger


@pytest.mark.parametrize("damage", ["breaks a rule", "cannot be read", "is missing"])
def test_children_when_the_history_is_damaged_then_those_that_can_be_read_are_left(
    place: Place, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """They do not outlive their parent for it; where more may be known once it is mended, it is tried again then."""
    children = [child_scheduled(seq, f"c{seq}") for seq in (1, 2, 3)]
    parent = parent_of(place, children[0])
    more = TimerFired(seq=8, at=place.clock.now()) if damage == "breaks a rule" else children[1]
    assert place.commit(parent, 2, more) is CommitOutcome.RECORDED
    assert place.commit(parent, 3, children[2]) is CommitOutcome.RECORDED
    for scheduled in children:
        start_child(place, parent, scheduled)
    key = keys.batch(parent, 2)
    if damage == "is missing":
        place.store.write(Delete(key))
    if damage == "cannot be read":
        place.store.write(Update(key, set_documents={"batch": "{}"}))
    with nullcontext() if damage == "breaks a rule" else pytest.raises(Unreadable):
        carry_out(place, LeaveChildren(parent))
    assert standing(place, "c1", "c2", "c3") == [("TERMINATED", False), ("RUNNING", False), ("TERMINATED", False)]
    assert f"the history of run {parent.run_id} is damaged" in caplog.text
