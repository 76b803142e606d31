"""What is due: it comes once, at its time, whatever fails on the way, and only for runs that go on."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.dispatch.plan import AttemptEnded, SendLater, plan
from levante_core.domain.dispatch.tasks import DELAYED, TimerDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ActivityScheduled, TimerFired, TimerStarted
from levante_core.domain.names import WorkflowName
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Item, Put, Query
from levante_core.ports.queues import OutgoingMessage
from levante_core.protocol import ActivityOptions
from levante_core.protocol.workers import TaskQueue
from levante_core.services.dispatch import timers
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_core.services.engine import Engine
from levante_core.services.schedules.schedules import Target
from levante_core.storage import keys
from levante_core.storage.parked import Owner, Parked, ParkedKind
from levante_local.queues.queues import InProcessQueues
from tests.support.engines import SEND, WRITE, Log, another
from tests.support.faults import Fate, OneFault, Outage
from tests.support.place import HOUR, POOL, SPACE, Place
from tests.support.poison import MISSING

WORKFLOW, ACTIVITY = TaskQueue
LONG = timedelta(days=30)
REACH = timedelta(minutes=15)


def timer(place: Place, run: RunKey, after: timedelta = HOUR, seq: int = 1, *, is_sent: bool = True) -> TimerDue:
    """Set a timer, as the change feed does. is_sent: whether anything is to remind of it."""
    due_at = place.clock.now() + after
    place.commit(run, seq, TimerStarted(seq=seq, fire_at=due_at), commit_id=f"c{seq}")
    timer = TimerDue.of(run, POOL, due_at, seq=seq)
    if is_sent:
        place.engine.dispatch.carry_out([SendLater(timer)])
    return timer


def within_reach(place: Place) -> None:
    """Let time pass until timers that were set to an hour are to be moved to the queue."""
    place.clock.advance((HOUR - REACH).total_seconds())


def came(place: Place) -> list[tuple[str, int]]:
    """Return which timers come when their time is there, by execution and seq."""
    place.clock.advance(REACH.total_seconds())
    found = [DELAYED.validate_json(body) for body in place.due()]
    return sorted((one.execution_id, one.seq) for one in found if isinstance(one, TimerDue))


def parked(place: Place) -> Sequence[Parked]:
    return place.engine.parking.list(SPACE, 100, None).items


def fired(place: Place, run: RunKey) -> list[Any]:
    return [fact.input.at for fact in place.load(run).facts if isinstance(fact.input, TimerFired)]


# --- the sweep moves timers -------------------------------------------------------------------------------------------


def test_sweep_when_a_timer_cannot_be_sent_then_it_waits_for_the_next_sweep_and_nothing_is_parked(place: Place) -> None:
    """A timer leaves the table once the queue has it, and not before; an outage is no timer's fault."""
    run = place.start(LONG)
    timer(place, run)
    within_reach(place)
    with pytest.raises(Unavailable):
        another(place, Outage({SEND})).due.sweep()
    place.engine.due.sweep()
    assert came(place) == [(run.execution_id, 1)]
    assert parked(place) == ()


class Flapping:
    """Faults that refuse every other message that is sent, the first one too."""

    def __init__(self) -> None:
        self.sent = 0

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        self.sent += operation == SEND
        return Fate.REFUSED if operation == SEND and self.sent % 2 else Fate.DONE


def test_sweep_when_the_queue_is_down_now_and_then_then_no_timer_is_parked_for_that(place: Place) -> None:
    """What is unavailable is tried again as a whole, and soon; what is parked waits for longer, and calls for somebody."""
    run = place.start(LONG)
    for seq in range(1, 5):
        timer(place, run, seq=seq)
    place.queues.ensure(TIMERS_QUEUE)
    within_reach(place)
    engine = another(place, Flapping())
    with pytest.raises(Unavailable):
        engine.due.sweep()
    engine.due.sweep()
    assert parked(place) == ()
    assert set(came(place)) == {(run.execution_id, seq) for seq in range(1, 5)}, "a refused send may have sent some"


def test_sweep_when_timers_are_more_than_a_page_in_all_shards_then_all_come(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, whichever shard they are in."""
    monkeypatch.setattr(timers, "SWEEP_PAGE", 2)
    runs = [place.start(LONG) for _ in range(12)]
    assert {keys.shard(run.run_id) for run in runs} != {0}
    for run in runs:
        timer(place, run, seq=1)
        timer(place, run, seq=2)
    within_reach(place)
    place.engine.due.sweep()
    assert came(place) == sorted((run.execution_id, seq) for run in runs for seq in (1, 2))


def test_sweep_when_the_run_of_a_timer_has_ended_then_it_is_dropped(place: Place) -> None:
    """What was deleted by then must not come back; another run of the same execution has timers of its own."""
    closed, replaced = place.start(LONG), place.start(LONG, execution_id="e")
    for run in (closed, replaced):
        timer(place, run)
        place.engine.closing.terminate(SPACE, run.execution_id)
    place.start(LONG, execution_id="e")
    within_reach(place)
    place.engine.due.sweep()
    assert came(place) == []
    assert all(place.store.query(Query(keys.timers(shard))).items == [] for shard in range(keys.SHARDS))


def test_sweep_when_timers_cannot_be_read_then_each_is_parked_once_and_the_others_come(place: Place) -> None:
    """Not even a payload that is gone keeps other timers from coming."""
    run = place.start(LONG)
    timer(place, run)
    damaged: list[dict[str, Any]] = [{"due": MISSING}, {"due": MISSING}, {}, {"due": "{"}]
    for number, documents in enumerate(damaged):
        key = keys.timer(place.clock.now() + HOUR, run.run_id, f"damaged {number}")
        place.store.write(Put(Item(key, {}, documents)))
    within_reach(place)
    for _ in range(2):
        place.engine.due.sweep()
    everything = place.engine.parking.list(SPACE, 100, None).items
    assert [(one.kind, one.count) for one in everything] == [(ParkedKind.TIMER, 1)] * 4
    assert came(place) == [(run.execution_id, 1)]


class Picky(InProcessQueues):
    """Queues that take no message with some text in it."""

    text = "\0"

    def send(self, queue: str, messages: Sequence[OutgoingMessage]) -> None:
        """See Queues."""
        if any(self.text in message.body for message in messages):
            raise ValueError("not with this text")
        super().send(queue, messages)


def test_sweep_when_one_timer_can_never_be_sent_then_it_alone_is_parked(place: Place) -> None:
    """Those that are sent together with it come all the same."""
    place.queues = Picky(place.clock)
    place.engine = another(place)
    runs = [place.start(LONG) for _ in range(8)]
    for run in runs:
        timer(place, run)
    place.queues.text = runs[3].execution_id
    within_reach(place)
    place.engine.due.sweep()
    (bad,) = parked(place)
    assert (bad.kind, bad.owner.run) == (ParkedKind.TIMER, runs[3])
    assert came(place) == sorted((run.execution_id, 1) for run in runs if run != runs[3])


def test_sweep_when_one_part_of_it_fails_then_the_others_are_done_and_the_error_is_told(place: Place) -> None:
    """Its caller has to know; but a table that cannot be read in one place keeps nobody from being timed out."""
    runs = [place.start() for _ in range(8)]
    place.clock.advance(HOUR.total_seconds())
    with pytest.raises(RuntimeError, match="on purpose"):
        another(place, OneFault("read", 1, Fate.CRASHED, is_armed=True)).due.sweep()
    assert {place.status(run) for run in runs} == {"TIMED_OUT"}


# --- overdue runs -----------------------------------------------------------------------------------------------------


def test_run_when_it_cannot_be_timed_out_then_it_is_parked_once_and_out_of_the_way(place: Place) -> None:
    """A sweep meets it no more; those behind it in the index are timed out, and it can still be ended by hand."""
    runs = [place.start() for _ in range(8)]
    bad = runs[0]
    good = place.store.get(keys.execution(SPACE, bad.execution_id))
    assert good is not None
    place.store.write(Put(replace(good, attributes={**good.attributes, "status": "of a later version"})))
    place.clock.advance(HOUR.total_seconds())
    for _ in range(3):
        place.engine.due.sweep()
        place.clock.advance(3600)
    assert {place.status(run) for run in runs[1:]} == {"TIMED_OUT"}
    assert [(one.kind, one.count, one.owner.run) for one in parked(place)] == [(ParkedKind.DEADLINE, 1, bad)]
    place.engine.redrive.redrive()
    assert {one.owner.run for one in parked(place)} == {bad}, "it is found among the open runs, and by its id"


def test_run_when_another_has_its_place_by_the_time_that_it_is_parked_then_that_one_keeps_its_deadline(
    place: Place,
) -> None:
    """The way is cleared of the run that was in it, and of no other."""
    run = place.start()
    good = place.store.get(keys.execution(SPACE, run.execution_id))
    assert good is not None
    place.store.write(Put(replace(good, attributes={**good.attributes, "status": "of a later version"})))
    place.clock.advance(HOUR.total_seconds())
    following = replace(good, attributes={**good.attributes, "run_id": "another"})
    others = iter([following])

    def replaced(operation: str) -> None:
        if operation == WRITE:
            for item in others:
                place.store.write(Put(item))

    another(place, Log(replaced)).due.sweep()
    item = place.store.get(following.key)
    assert item is not None
    assert item.indexes == good.indexes


# --- messages ---------------------------------------------------------------------------------------------------------


def test_timer_when_its_message_comes_late_and_twice_then_it_fired_once_at_its_own_time(place: Place) -> None:
    """What workflow code sees does not depend on how late anybody was."""
    run = place.start()
    set_to = timer(place, run, timedelta(seconds=10))
    place.emptied(WORKFLOW)
    place.clock.advance(17)
    for _ in range(2):
        place.engine.due.handle(set_to.model_dump_json())
        place.clock.advance(1)
    assert fired(place, run) == [set_to.fresh_at]
    item = place.store.get(keys.fact(run, keys.outcome_fact(1)))
    assert item is not None
    assert item.attributes["recorded_at"] == "2026-01-01T00:00:17.000000Z", "the first one stands"
    assert len(place.emptied(WORKFLOW)) == 1


def test_retry_when_its_time_has_come_then_its_task_is_sent_once(place: Place) -> None:
    """The message may come twice; the attempt has one task."""
    run = place.start()
    options = ActivityOptions(retry=RetryPolicy(max_attempts=2, initial_interval_seconds=10))
    place.commit(run, 1, ActivityScheduled(seq=1, name="a", input={}, options=options))
    place.emptied(ACTIVITY)
    place.report(run, failure=Failure(message="x"))
    now = place.clock.now()
    ended = AttemptEnded(run, POOL, now, now + timedelta(seconds=10), seq=1, scheduled_in=1, attempt=2)
    place.engine.dispatch.carry_out([one for one in plan(ended) if isinstance(one, SendLater)])
    place.clock.advance(10)
    (body,) = place.due()
    for _ in range(2):
        place.engine.due.handle(body)
    assert [task.attempt for task in place.tasks(ACTIVITY)] == [2]


def test_message_when_it_is_early_then_nothing_happens_until_its_time(place: Place) -> None:
    """Clocks differ; a deadline that comes a moment early ends nothing, and is not lost."""
    run = place.start()
    set_to = timer(place, run, timedelta(seconds=10), is_sent=False)
    place.clock.advance(9.9)
    place.engine.due.handle(set_to.model_dump_json())
    assert fired(place, run) == []
    place.clock.advance(1)
    (body,) = place.due()
    place.engine.due.handle(body)
    assert fired(place, run) == [set_to.fresh_at]


# --- when to sweep next -----------------------------------------------------------------------------------------------


def seconds_until(engine: Engine, place: Place) -> float | None:
    at = engine.due.next_sweep_at()
    return None if at is None else (at - place.clock.now()).total_seconds()


def test_next_sweep_when_nothing_waits_then_there_is_none(place: Place) -> None:
    """An idle host sleeps; what waits for somebody, and for no time, wakes nobody."""
    assert seconds_until(place.engine, place) is None
    place.engine.parking.park(ParkedKind.TASK, Owner(SPACE), "{", ValueError())
    for _ in range(12):
        (one,) = parked(place)
        place.engine.parking.again(one, ValueError())
    assert seconds_until(place.engine, place) is None


def things_that_wait(place: Place) -> Iterator[float]:
    """Let one thing after the other wait, each for a shorter time. Yields how long it is until the sweep it needs."""
    runs = [place.start(LONG) for _ in range(8)]
    yield LONG.total_seconds()
    for run in runs:
        timer(place, run, 20 * HOUR)
    yield (20 * HOUR - REACH).total_seconds()
    place.start(2 * HOUR)
    yield (2 * HOUR).total_seconds()
    place.engine.parking.park(ParkedKind.TASK, Owner(SPACE), "{", ValueError())
    yield 60


def test_next_sweep_when_several_things_wait_then_it_is_when_the_first_of_them_needs_it(place: Place) -> None:
    """Deadlines and parked items at their time, timers as soon as the queue reaches them."""
    for seconds in things_that_wait(place):
        assert seconds_until(place.engine, place) == seconds


def test_next_sweep_when_a_schedule_is_due_already_then_it_is_in_a_minute(place: Place) -> None:
    """The last sweep has reminded of it: a host that swept until it is dealt with would do nothing else."""
    run = place.start()
    place.engine.closing.terminate(SPACE, run.execution_id)
    given = {"input": {}, "intervals": [{"every": "PT1H"}], "schedule_id": "s"}
    place.engine.schedules.create(SPACE, Target(WorkflowName("w")), ScheduleDefinition.model_validate(given))
    place.clock.advance(2 * HOUR.total_seconds())
    assert seconds_until(place.engine, place) == 60
