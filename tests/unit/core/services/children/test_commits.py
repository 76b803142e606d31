"""Batches that ask for children: the run is known to have some from the same write on."""

from levante_core.domain.dispatch.plan import RunClosed, StartChild, plan
from levante_core.domain.history.events import ExecutionCompleted
from levante_core.domain.history.state import HistorySize
from levante_core.protocol.workers import CommitOutcome
from levante_core.storage import keys
from tests.support.place import Place
from tests.unit.core.services.children.parents import (
    CHILD,
    PARENT,
    child_scheduled,
    deal_with_changes,
    latest,
    new_records,
    parent_of,
    runs_of,
)


def test_run_when_a_batch_asks_for_a_child_then_it_has_children_and_the_child_is_started(place: Place) -> None:
    """From the write that asks for the child: whatever ends the run later finds it."""
    parent = parent_of(place)
    new_records(place)
    assert not latest(place, PARENT).has_children
    scheduled = child_scheduled()
    assert place.commit(parent, 1, scheduled, search_keys={"a": "1"}) is CommitOutcome.RECORDED
    assert latest(place, PARENT).has_children
    assert latest(place, PARENT).search_keys == {"a": "1"}
    (started,) = [effect for record in new_records(place) for effect in plan(record)]
    assert started == StartChild(parent, latest(place, PARENT).pool, scheduled)


def test_batch_when_it_was_too_late_then_its_children_are_not_asked_for(place: Place) -> None:
    """Who loses the race for an index leaves no trace of what it wanted."""
    parent = parent_of(place)
    assert place.commit(parent, 1, ExecutionCompleted(seq=1, result=None), commit_id="first") is CommitOutcome.RECORDED
    for index in (1, 2):
        assert place.commit(parent, index, child_scheduled(), commit_id="second") is CommitOutcome.CONFLICT
    deal_with_changes(place)
    assert (latest(place, PARENT).has_children, runs_of(place)) == (False, [])


def test_batch_when_the_history_has_no_room_for_it_then_its_children_are_not_asked_for(place: Place) -> None:
    """The run is ended in place of that, and the children that it had are left."""
    earlier, refused = child_scheduled(), child_scheduled(2, "refused")
    parent = parent_of(place, earlier)
    deal_with_changes(place)
    assert place.commit(parent, 2, refused, history=HistorySize(events=60_000)) is CommitOutcome.CONFLICT
    (closed,) = [one for one in new_records(place) if isinstance(one, RunClosed)]
    assert (closed.run, closed.has_children) == (parent, True)
    place.engine.effects.carry_out(plan(closed))
    assert (latest(place, CHILD).status, runs_of(place, "refused")) == ("TERMINATED", [])
    last = place.load(parent).batches[-1]
    assert (last.index, last.commit_id) == (2, "c-refused")
    assert place.store.get(keys.batch(parent, 3)) is None
