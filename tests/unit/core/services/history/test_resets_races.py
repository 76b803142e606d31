"""Resets that somebody is faster than: nothing is lost, and nobody's run is put aside unseen."""

from collections.abc import Callable

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import (
    ActivityScheduled,
    ChildScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ParentClosePolicy,
)
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import InvalidResetPoint, NotFound, Unavailable
from levante_core.ports.item_store import ConditionFailed, Write
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.executions.reset import ResetRequest
from tests.support.faults import Fate, FaultyStore, OneFault, Operations
from tests.support.place import SPACE, Place
from tests.unit.core.services.history.resetting import (
    EXECUTION,
    begun,
    earlier,
    earlier_runs,
    latest,
    messages_of,
    overtaken,
    resets_on,
    signal,
)

COMPLETED = ExecutionCompleted(seq=9, result="done")
SCHEDULED = ActivityScheduled(seq=1, name="a", input={})


def test_signal_when_it_comes_during_a_reset_then_the_new_run_has_it(place: Place) -> None:
    """It was accepted: the old run did not take it, so the new one does."""
    run = begun(place)
    signal(place, "before")
    overtaken(place, lambda: signal(place, "meanwhile")).reset(SPACE, EXECUTION, ResetRequest(1))
    new = latest(place)
    assert new.key != run
    assert messages_of(place, new.key) == [(1, "before"), (2, "meanwhile")]
    assert new.mail_count == 2


def test_cancel_when_it_comes_during_a_reset_then_it_is_dropped_like_any_before(place: Place) -> None:
    """A request to cancel is the old run's, which ends."""
    run = begun(place)
    overtaken(place, lambda: place.engine.messages.cancel(SPACE, EXECUTION)).reset(SPACE, EXECUTION, ResetRequest(1))
    assert (latest(place).is_cancel_requested, latest(place).mail_count) == (False, 0)
    assert earlier(place, run).is_cancel_requested


@pytest.mark.parametrize("is_end", [False, True])
def test_commit_when_it_is_recorded_during_a_reset_then_the_old_run_keeps_it(place: Place, *, is_end: bool) -> None:
    """The end of the old run comes behind what is recorded, or is the one that it had already."""
    run = begun(place)
    event = COMPLETED if is_end else SCHEDULED

    def commit() -> None:
        assert place.commit(run, 1, event) is CommitOutcome.RECORDED

    overtaken(place, commit).reset(SPACE, EXECUTION, ResetRequest(1))
    kinds = [batch.events[0].kind for batch in place.load(run).batches]
    assert kinds == ["execution_completed"] if is_end else ["activity_scheduled", "execution_terminated"]
    assert earlier(place, run).status == ("COMPLETED" if is_end else "TERMINATED")
    assert (latest(place).is_open, earlier_runs(place)) == (True, [run.run_id])


def starts_anew(place: Place, run: RunKey) -> None:
    place.engine.closing.terminate(SPACE, EXECUTION)
    begun(place)


def continues_as_new(place: Place, run: RunKey) -> None:
    again = ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input={})
    assert place.commit(run, 1, again) is CommitOutcome.RECORDED


def is_reset(place: Place, run: RunKey) -> None:
    place.engine.resets.reset(SPACE, EXECUTION, ResetRequest(1))


@pytest.mark.parametrize("act", [starts_anew, continues_as_new, is_reset])
def test_run_when_it_is_replaced_during_a_reset_then_the_reset_is_of_the_new_one(
    place: Place, act: Callable[[Place, RunKey], None]
) -> None:
    """No run is overwritten: each one before the latest is there as an earlier one, with its end."""
    run = begun(place)
    between: list[RunKey] = []

    def replaced() -> None:
        act(place, run)
        between.append(latest(place).key)

    overtaken(place, replaced).reset(SPACE, EXECUTION, ResetRequest(1))
    new = latest(place)
    assert new.is_open
    assert earlier_runs(place) == sorted([run.run_id, between[0].run_id])
    assert earlier(place, between[0]).status == "TERMINATED"
    assert new.start.reset is not None
    assert new.start.reset.run_id == between[0].run_id


def test_closed_run_when_its_id_is_used_again_during_a_reset_then_the_other_run_is_not_overwritten(place: Place) -> None:
    """An execution that has ended gives its id away at any time."""
    run = begun(place)
    place.engine.closing.terminate(SPACE, EXECUTION)
    other: list[RunKey] = []
    overtaken(place, lambda: other.append(begun(place))).reset(SPACE, EXECUTION, ResetRequest(1))
    assert earlier_runs(place) == sorted([run.run_id, other[0].run_id])


def test_event_when_the_run_is_replaced_during_a_reset_then_it_is_looked_for_in_the_new_one(place: Place) -> None:
    """What was read before a lost race is not trusted after it."""
    run = begun(place)
    assert place.commit(run, 1, SCHEDULED) is CommitOutcome.RECORDED
    again = ExecutionContinuedAsNew(seq=2, run_id=RunId("next"), input={})
    with pytest.raises(InvalidResetPoint) as raised:
        overtaken(place, lambda: place.commit(run, 2, again)).reset(SPACE, EXECUTION, ResetRequest(2))
    assert raised.value.valid_reset_events == [1]
    assert (latest(place).key.run_id, earlier_runs(place)) == ("next", [run.run_id])
    assert latest(place).is_open


def test_children_when_they_are_asked_for_during_a_reset_then_the_old_run_has_them(place: Place) -> None:
    """They are left as their policy says, when the old run ends."""
    run = begun(place)
    child = ChildScheduled(
        seq=1, workflow_name="w", execution_id=ExecutionId("c"), input={}, close_policy=ParentClosePolicy.TERMINATE
    )
    overtaken(place, lambda: place.commit(run, 1, child)).reset(SPACE, EXECUTION, ResetRequest(1))
    assert earlier(place, run).has_children
    assert not latest(place).has_children


def test_reset_when_its_own_write_has_no_answer_then_there_is_one_new_run(place: Place) -> None:
    """A store that tries a write again finds its own; that is no race that was lost."""

    class Unheard(FaultyStore):
        def write(self, *writes: Write) -> None:
            super().write(*writes)
            raise ConditionFailed([0], [None] * len(writes))

    run = begun(place)
    store = Unheard(place.engine.streams._store, Operations("reset", OneFault("write", 0, Fate.DONE)))
    resets_on(place, store).reset(SPACE, EXECUTION, ResetRequest(1))
    assert earlier_runs(place) == [run.run_id]
    assert latest(place).key != run


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.UNANSWERED])
@pytest.mark.parametrize("position", [1, 2])
def test_reset_when_a_write_fails_then_a_repeat_leads_to_an_open_run(place: Place, fate: Fate, position: int) -> None:
    """A run that was half written is never seen, and is no obstacle."""
    run = begun(place)
    assert place.commit(run, 1, SCHEDULED) is CommitOutcome.RECORDED
    faults = OneFault("write", position, fate, is_armed=True)
    mortal = resets_on(place, FaultyStore(place.engine.streams._store, Operations("reset", faults)))
    with pytest.raises(Unavailable):
        mortal.reset(SPACE, EXECUTION, ResetRequest(2))
    mortal.reset(SPACE, EXECUTION, ResetRequest(2))
    assert latest(place).is_open
    assert run.run_id in earlier_runs(place)
    assert [batch.events for batch in place.load(latest(place).key).batches] == [(SCHEDULED,)]
    place.clock.advance(60)
    assert latest(place).key.run_id in [task.run_id for task in place.tasks(TaskQueue.WORKFLOW)]


def test_reset_when_nobody_has_the_id_then_it_says_so(place: Place) -> None:
    """Nothing to go on with."""
    with pytest.raises(NotFound):
        place.engine.resets.reset(SPACE, EXECUTION, ResetRequest(1))
