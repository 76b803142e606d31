"""Ends that are decided outside workflow code."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ActivityScheduled, ExecutionCompleted, ExecutionContinuedAsNew, TimerStarted
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import NotFound, NotRunning
from levante_core.ports.item_store import Query
from levante_core.protocol.workers import CommitOutcome
from levante_core.services.executions.close import ClosingService
from levante_core.storage import keys
from levante_core.storage.changes import concerns_dispatcher
from tests.support.faults import OvertakenStore
from tests.support.place import HOUR, RETENTION, SPACE, Place
from tests.unit.core.services.history.resetting import EXECUTION, begun, earlier, latest, signal

COMPLETED = ExecutionCompleted(seq=9, result="done")
SCHEDULED = ActivityScheduled(seq=1, name="a", input={})


def closing_on(place: Place, act: Callable[[], object], retention: timedelta | None = RETENTION) -> ClosingService:
    """Make ends between whose reading and writing somebody else acts, once."""
    store = OvertakenStore(place.engine.streams._store, act)
    return ClosingService(store, place.clock, place.engine.executions._ids, place.conflicts, retention=retention)


def kinds(place: Place, run: RunKey) -> list[str]:
    return [event.kind for batch in place.load(run).batches for event in batch.events]


def test_terminate_when_the_run_is_open_then_its_end_is_recorded_and_it_is_not_due_any_more(place: Place) -> None:
    """What is unread stays so: no code runs any more. It is kept for its time."""
    run = begun(place)
    assert place.commit(run, 1, SCHEDULED) is CommitOutcome.RECORDED
    signal(place, "unread")
    place.clock.advance(60)
    place.engine.closing.terminate(SPACE, EXECUTION)
    now, execution = place.clock.now(), latest(place)
    assert execution.ending is not None
    assert (execution.status, execution.ending.ended_at, execution.ending.expires_at) == ("TERMINATED", now, now + RETENTION)
    assert kinds(place, run) == ["activity_scheduled", "execution_terminated"]
    assert place.store.query(Query(keys.open_runs(keys.shard(run.run_id)), index=keys.DUE)).items == []


def test_terminate_when_the_run_is_closed_or_unknown_then_it_is_refused(place: Place) -> None:
    """The end that was first counts."""
    run = begun(place)
    assert place.commit(run, 1, COMPLETED) is CommitOutcome.RECORDED
    with pytest.raises(NotRunning) as refusal:
        place.engine.closing.terminate(SPACE, EXECUTION)
    assert refusal.value.status == "COMPLETED"
    with pytest.raises(NotFound):
        place.engine.closing.terminate(SPACE, ExecutionId("nobody"))
    assert kinds(place, run) == ["execution_completed"]


def test_terminate_when_the_run_advances_meanwhile_then_its_end_comes_behind(place: Place) -> None:
    """A commit that is faster does not save the run, and is not overwritten."""
    run = begun(place)
    closing_on(place, lambda: place.commit(run, 1, SCHEDULED)).terminate(SPACE, EXECUTION)
    assert kinds(place, run) == ["activity_scheduled", "execution_terminated"]
    assert latest(place).status == "TERMINATED"


def test_terminate_when_the_run_ends_meanwhile_then_it_is_refused(place: Place) -> None:
    """One end, and the caller hears which."""
    run = begun(place)
    with pytest.raises(NotRunning) as refusal:
        closing_on(place, lambda: place.commit(run, 1, COMPLETED)).terminate(SPACE, EXECUTION)
    assert refusal.value.status == "COMPLETED"
    assert (kinds(place, run), latest(place).status) == (["execution_completed"], "COMPLETED")


def test_terminate_when_the_run_continues_as_new_meanwhile_then_the_new_run_is_ended(place: Place) -> None:
    """The execution is to end, whatever its run; the old run's end stays."""
    run = begun(place)
    again = ExecutionContinuedAsNew(seq=1, run_id=RunId("next"), input={})
    closing_on(place, lambda: place.commit(run, 1, again)).terminate(SPACE, EXECUTION)
    assert (latest(place).key.run_id, latest(place).status) == ("next", "TERMINATED")
    assert earlier(place, run).status == "CONTINUED_AS_NEW"
    assert kinds(place, run) == ["execution_continued_as_new"]


def test_time_out_when_the_run_is_not_due_or_not_the_latest_then_nothing_happens(place: Place) -> None:
    """Deadlines are of runs; a message may be early, late, or of a run long gone."""
    run = begun(place)
    place.clock.advance(HOUR.total_seconds() - 1)
    place.engine.closing.time_out(run)
    assert latest(place).is_open
    place.engine.closing.terminate(SPACE, EXECUTION)
    other = begun(place)
    place.clock.advance(1)
    place.engine.closing.time_out(run)
    place.engine.closing.time_out(other)
    assert latest(place).is_open
    place.clock.advance(HOUR.total_seconds())
    place.engine.closing.time_out(run)
    assert latest(place).is_open, "that run is not the latest"
    place.engine.closing.time_out(RunKey(SPACE, ExecutionId("nobody"), run.run_id))
    place.engine.closing.time_out(other)
    place.engine.closing.time_out(other)
    assert (latest(place).status, kinds(place, other)) == ("TIMED_OUT", ["execution_timed_out"])


def test_time_out_when_the_run_ends_meanwhile_then_its_own_end_counts(place: Place) -> None:
    """Whoever is late sees no error: there is nothing left to be done."""
    run = begun(place)
    place.clock.advance(HOUR.total_seconds())
    closing_on(place, lambda: place.commit(run, 1, COMPLETED)).time_out(run)
    assert (latest(place).status, kinds(place, run)) == ("COMPLETED", ["execution_completed"])


def test_time_out_when_the_run_advances_meanwhile_then_its_end_comes_behind(place: Place) -> None:
    """A run whose time is over ends, however busy it is."""
    run = begun(place)
    place.clock.advance(HOUR.total_seconds())
    closing_on(place, lambda: place.commit(run, 1, SCHEDULED)).time_out(run)
    assert kinds(place, run) == ["activity_scheduled", "execution_timed_out"]
    assert latest(place).status == "TIMED_OUT"


def test_run_when_it_is_closed_then_the_feed_hears_nothing_of_it(place: Place) -> None:
    """The end of an execution without relatives concerns nobody; kept for ever, it leaves nothing to be deleted."""
    run = begun(place)
    assert place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now())) is CommitOutcome.RECORDED
    place.store.acknowledge_changes(place.store.read_changes(None, 1000)[-1].sequence)
    closing_on(place, lambda: None, retention=None).terminate(SPACE, EXECUTION)
    changes = place.store.read_changes(None, 1000)
    assert [one.sort for one in (change.key for change in changes)] == [keys.batch(run, 2).sort, keys.EXECUTION]
    assert not any(concerns_dispatcher(None, change.new.attributes) for change in changes if change.new)
    ending = latest(place).ending
    assert ending is not None
    assert ending.expires_at is None
