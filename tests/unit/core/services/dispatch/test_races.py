"""Timers, deadlines and parked items when something else happens between what was read of them and the write."""

from datetime import timedelta

import pytest

from levante_core.domain.dispatch.plan import SendLater
from levante_core.domain.dispatch.tasks import TimerDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.events import ExecutionContinuedAsNew, TimerStarted
from levante_core.domain.names import ExecutionId, RunId
from levante_core.errors import NotFound
from levante_core.ports.item_store import Delete, Query, Update, Write
from levante_core.protocol.workers import CommitOutcome, TaskQueue
from levante_core.services.dispatch.timers import DueService
from levante_core.services.executions.close import ClosingService
from levante_core.storage import keys
from levante_core.storage.parked import Owner, Parked, ParkedKind
from levante_core.storage.runs import recorded_of
from tests.support.place import HOUR, POOL, SPACE, Place
from tests.support.races import races

E = ExecutionId("e")
NEXT = RunId("next")
BROKEN = ValueError("it is broken")
KEY = keys.execution(SPACE, E)


def timer(place: Place, run: RunKey, delay: timedelta) -> TimerDue:
    """Return what comes when a timer of the run is due."""
    return TimerDue(
        workspace=SPACE,
        execution_id=run.execution_id,
        run_id=run.run_id,
        deployment_name=POOL,
        fresh_at=place.clock.now() + delay,
        seq=1,
    )


# --- timers -----------------------------------------------------------------------------------------------------------


@races("timers._fire Absent")
def test_timer_when_its_message_is_handled_twice_at_once_then_it_fires_once(place: Place) -> None:
    """Messages come at least once; what is recorded of the first stays as it is."""
    run = place.start()
    place.commit(run, 1, TimerStarted(seq=1, fire_at=place.clock.now()))
    place.lose_messages()
    body = timer(place, run, timedelta()).model_dump_json()

    def handle_later() -> None:
        place.clock.advance(60)
        place.engine.due.handle(body)

    with place.racing.before_write(handle_later):
        place.engine.due.handle(body)
    item = place.store.get(keys.fact(run, keys.outcome_fact(1)))
    assert item
    assert recorded_of(item).at == place.clock.now()
    assert len(place.tasks(TaskQueue.WORKFLOW)) == 1


@races("sender._delayed Absent")
def test_timer_when_it_is_put_aside_twice_at_once_then_it_is_sent_once(place: Place) -> None:
    """What is due later than queues can wait is kept under its name, whoever asks for it."""
    due = timer(place, place.start(), HOUR)

    def put_aside() -> None:
        place.engine.dispatch.carry_out([SendLater(due)])

    with place.racing.before_write(put_aside):
        put_aside()
    place.clock.advance(HOUR.total_seconds())
    place.engine.due.sweep()
    assert place.due() == [due.model_dump_json()]
    place.engine.due.sweep()
    assert place.due() == []


# --- deadlines --------------------------------------------------------------------------------------------------------


class NoClosing(ClosingService):
    """Ends nothing, as if what is recorded of each run were damaged."""

    def __init__(self) -> None:
        """Needs nothing."""

    def time_out(self, run: RunKey) -> None:
        """See ClosingService."""
        raise BROKEN


@races("timers._end_overdue open_run_as_read")
@pytest.mark.parametrize("continues", [True, False])
def test_deadline_when_it_is_put_out_of_the_way_and_its_run_ends_meanwhile_then_no_other_run_loses_its_own(
    place: Place, *, continues: bool
) -> None:
    """The run that follows is timed out by the sweep; one that has ended is no longer listed."""
    run = place.start(execution_id=E)
    place.clock.advance(HOUR.total_seconds() + 1)
    due_before, engine = wire_time(place.clock.now()), place.engine
    due = DueService(
        place.racing,
        place.clock,
        dispatch=engine.dispatch,
        closing=NoClosing(),
        schedules=engine.schedules,
        batch_jobs=engine.batch_steps,
        parking=engine.parking,
    )

    def end() -> None:
        if continues:
            event = ExecutionContinuedAsNew(seq=1, run_id=NEXT, input=None)
            assert place.commit(run, 1, event) is CommitOutcome.RECORDED
        else:
            engine.closing.terminate(SPACE, E)

    def moves_entry(write: Write) -> bool:
        return write.key == KEY and isinstance(write, Update) and bool(write.set_indexes)

    with place.racing.before_write(end, of=moves_entry):
        due.sweep()
    listed = [
        item.indexes[keys.DUE].sort
        for shard in range(keys.SHARDS)
        for item in place.store.query(Query(keys.open_runs(shard), index=keys.DUE)).items
    ]
    assert [sort.partition("#")[0] < due_before for sort in listed] == [True] * continues
    engine.due.sweep()
    assert engine.executions.get(SPACE, E).status == ("TIMED_OUT" if continues else "TERMINATED")


# --- parked items -----------------------------------------------------------------------------------------------------


def park(place: Place) -> Parked:
    """Park an item of the execution."""
    return place.engine.parking.park(ParkedKind.TIMER, Owner(SPACE, E), "no message", BROKEN)


def parked(place: Place) -> tuple[int, list[tuple[str, int]]]:
    """Return the count of parked items, and each with how often it has failed."""
    page = place.engine.parking.list(SPACE, 100, None)
    return page.count, [(one.parked_id, one.count) for one in page.items]


def drop(place: Place, item: Parked) -> None:
    place.engine.parking.drop(SPACE, item.parked_id)


@races("parking.park Absent")
def test_item_when_another_parks_the_same_meanwhile_then_it_is_counted_once(place: Place) -> None:
    """The count says how many there are; operators would look for the other one in vain."""
    first: list[Parked] = []
    with place.racing.before_write(lambda: first.append(park(place))):
        assert park(place).parked_id == first[0].parked_id
    assert parked(place) == (1, [(first[0].parked_id, 1)])


@races("parking.again Matches", "parking._ask_for Matches", "parking._remove Matches")
@pytest.mark.parametrize("what", ["park", "retry", "retry_due"])
def test_item_when_it_is_dropped_meanwhile_then_it_stays_gone(place: Place, what: str) -> None:
    """What an operator has dropped does not come back, in part or as a whole."""
    item = park(place)
    place.clock.advance(3600)
    parking = place.engine.parking

    def fail(*_: object) -> None:
        raise BROKEN

    with place.racing.before_write(lambda: drop(place, item)):
        match what:
            case "park":
                park(place)
            case "retry":
                with pytest.raises(NotFound):
                    parking.retry(SPACE, item.parked_id)
            case _:
                parking.retry_due(fail)
    assert parked(place) == (0, [])
    assert place.store.get(item.key) is None


@races("parking._remove Matches")
@pytest.mark.parametrize("retries", [True, False])
def test_items_when_somebody_else_drops_one_meanwhile_then_it_is_taken_from_the_count_once(
    place: Place, *, retries: bool
) -> None:
    """Others are still there, and counted."""
    item = park(place)
    other = place.engine.parking.park(ParkedKind.TIMER, Owner(SPACE, E), "another", BROKEN)
    with place.racing.before_write(lambda: drop(place, item), of=lambda write: isinstance(write, Delete)):
        if retries:
            place.clock.advance(3600)
            place.engine.parking.retry_due(lambda *_: None)
            assert parked(place) == (0, [])
        else:
            with pytest.raises(NotFound):
                drop(place, item)
            assert parked(place) == (1, [(other.parked_id, 1)])


@races("parking._mark Matches")
def test_item_when_its_execution_is_deleted_meanwhile_then_nothing_is_left_of_that(place: Place) -> None:
    """Half an execution could be read by nobody, and would take the id for ever."""
    place.start(execution_id=E)
    with place.racing.before_write(lambda: place.store.write(Delete(KEY)), of=lambda write: write.key == KEY):
        park(place)
    assert place.store.get(KEY) is None
    assert parked(place)[0] == 1
