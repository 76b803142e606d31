"""Signals and requests to cancel that a parent sends its children: once, and to nobody else."""

from typing import Any

import pytest

from levante_core.domain.dispatch.plan import CancelChild, SignalChild
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ChildCancelRequested, ChildSignaled, ExecutionCompleted
from levante_core.domain.history.run_messages import SignalReceived
from levante_core.domain.names import ExecutionId
from levante_core.protocol.workers import CommitOutcome
from tests.support.place import SPACE, Place
from tests.unit.core.services.children.parents import (
    CHILD,
    PARENT,
    carry_out,
    child_scheduled,
    deal_with_changes,
    inputs_of,
    latest,
    parent_of,
    start_child,
    strangers,
)


def signaled(seq: int = 2, **more: Any) -> ChildSignaled:
    given = {"execution_id": CHILD, "name": "h", "input": {"seq": seq}, **more}
    return ChildSignaled(seq=seq, child=1, **given)


def signals(place: Place, run: RunKey) -> list[Any]:
    return [one.input for one in inputs_of(place, run) if isinstance(one, SignalReceived)]


def parent_and_child(place: Place) -> tuple[RunKey, RunKey]:
    """Start a parent and its child."""
    scheduled = child_scheduled()
    parent = parent_of(place, scheduled)
    return parent, start_child(place, parent, scheduled)


def test_signal_when_it_is_carried_out_again_then_the_child_has_it_once(place: Place) -> None:
    """Each command of the parent is one signal, even where two say the same."""
    parent, child = parent_and_child(place)
    one, other = signaled(2, input={"same": True}), signaled(3, input={"same": True})
    carry_out(
        place, SignalChild(parent, one), SignalChild(parent, one), SignalChild(parent, other), SignalChild(parent, one)
    )
    assert signals(place, child) == [{"same": True}] * 2
    assert latest(place).mail_count == 2


def test_signal_when_it_is_committed_then_the_feed_sends_it(place: Place) -> None:
    """Together with the start of the child, which comes first."""
    scheduled = child_scheduled()
    parent = parent_of(place)
    gives_up = ChildCancelRequested(seq=3, child=1, execution_id=CHILD)
    assert place.commit(parent, 1, scheduled, signaled(), gives_up) is CommitOutcome.RECORDED
    deal_with_changes(place)
    assert [one.kind for one in inputs_of(place, latest(place).key)] == ["signal_received", "cancel_requested"]


def test_signal_when_a_later_run_sends_its_own_then_that_one_arrives_too(place: Place) -> None:
    """Commands of another run have the same numbers, and are other commands."""
    for _ in range(2):
        parent, child = parent_and_child(place)
        carry_out(place, SignalChild(parent, signaled()))
        assert signals(place, child) == [{"seq": 2}]
        place.engine.closing.terminate(SPACE, CHILD)
        place.engine.closing.terminate(SPACE, PARENT)


@pytest.mark.parametrize("changes", [{"name": "unknown"}, {"input": [1]}, {"execution_id": ExecutionId("nobody")}])
def test_signal_when_the_child_does_not_take_it_then_it_is_dropped(place: Place, changes: dict[str, Any]) -> None:
    """A parent has no place for that, and what comes behind it is carried out."""
    parent, child = parent_and_child(place)
    carry_out(place, SignalChild(parent, signaled().model_copy(update=changes)), SignalChild(parent, signaled(5)))
    assert signals(place, child) == [{"seq": 5}]


def test_signal_and_cancel_when_the_child_has_ended_then_nothing_happens(place: Place) -> None:
    """It has ended before it could be reached."""
    parent, child = parent_and_child(place)
    assert place.commit(child, 1, ExecutionCompleted(seq=1, result=None)) is CommitOutcome.RECORDED
    carry_out(place, SignalChild(parent, signaled()), CancelChild(parent, CHILD, 1))
    assert (inputs_of(place, child), latest(place).mail_count) == ([], 0)


def test_cancel_when_it_is_carried_out_again_then_the_child_is_asked_once(place: Place) -> None:
    """And ends by itself, when it likes."""
    parent, child = parent_and_child(place)
    carry_out(place, CancelChild(parent, CHILD, 1), CancelChild(parent, CHILD, 1))
    assert [one.kind for one in inputs_of(place, child)] == ["cancel_requested"]
    assert latest(place).is_open


def test_strangers_when_they_have_a_childs_id_then_they_get_none_of_its_messages(place: Place) -> None:
    """The parent may speak for its own children alone."""
    parent = parent_of(place, child_scheduled())
    for stranger in strangers(place, parent):
        carry_out(place, SignalChild(parent, signaled()), CancelChild(parent, CHILD, 1))
        assert inputs_of(place, latest(place).key) == [], stranger
