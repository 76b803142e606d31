"""Statistics count each closed run once: whoever repeats, dies, comes late or counts at the same time."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityScheduled,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
)
from levante_core.domain.names import RunId, Workspace
from levante_core.domain.observability.histogram import quantile
from levante_core.domain.observability.statistics import of_name
from levante_core.errors import NotStorable, Unavailable
from levante_core.ports.item_store import Item, ItemStore, Put, Write
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.services.observability.statistics import LATE, StatisticsService, hour_start
from levante_core.storage import keys
from levante_core.storage.observability.statistics import CountingPlace, HourStatistics, counting_place_item
from tests.support.place import DEPLOYMENT, HOUR, SPACE, Place
from tests.unit.core.services.observability.counting import (
    MINUTE,
    failure,
    fresh,
    run,
    runs,
    statuses,
    stored,
    sweep_later,
    totals,
)


def test_statistics_when_executions_end_in_all_ways_then_each_is_counted_by_how(place: Place) -> None:
    """By status, by the type of the failure, and how long those took that completed."""
    runs(place, 3)
    run(place, "f1", ending=failure("PaymentRefused"))
    run(place, "f2", ending=failure("PaymentRefused"))
    run(place, "f3", ending=failure("Timeout"))
    open_one = place.start(execution_id="open")
    place.engine.closing.terminate(SPACE, place.start(execution_id="t").execution_id)
    for _ in range(2):
        look = totals(place)
        assert statuses(look) == {"COMPLETED": 3, "FAILED": 3, "TERMINATED": 1}
        assert look.failures == Counter({("w", "PaymentRefused"): 2, ("w", "Timeout"): 1})
        assert quantile(of_name(look.durations, "w"), 0.5) == pytest.approx(1, rel=0.05)
        sweep_later(place)
    assert stored(place).runs == 7
    assert place.status(open_one) == "RUNNING"


def test_statistics_when_a_run_continues_as_new_then_both_runs_are_counted_once(place: Place) -> None:
    """The old run moves to another item as it ends, and so do runs that are replaced under their id."""
    first = place.start(execution_id="e")
    place.commit(first, 1, ExecutionContinuedAsNew(seq=1, run_id=RunId("r2"), input=None))
    second = place.engine.executions.get(SPACE, "e").key
    place.commit(second, 1, ExecutionCompleted(seq=1, result=None))
    run(place, "e", ending=failure("Again"))
    run(place, "e")
    sweep_later(place)
    assert statuses(stored(place)) == {"CONTINUED_AS_NEW": 1, "COMPLETED": 2, "FAILED": 1}
    assert stored(place).failures == Counter({("w", "Again"): 1})


def test_statistics_when_an_open_run_is_reset_then_its_end_is_counted(place: Place) -> None:
    """A reset ends the run."""
    key = place.start(execution_id="e")
    place.commit(key, 1, ActivityScheduled(seq=1, name="a", input=None))
    place.engine.resets.reset(SPACE, "e", ResetRequest(1, None))
    sweep_later(place)
    assert statuses(stored(place)) == {"TERMINATED": 1}


def test_statistics_when_a_sweep_is_repeated_then_nothing_is_counted_twice(place: Place) -> None:
    """By the same process and by others, which know nothing of what was counted."""
    runs(place, 5)
    for _ in range(3):
        sweep_later(place)
        fresh(place).sweep()
    assert stored(place).runs == totals(place).runs == 5


@pytest.mark.parametrize("position", range(8))
def test_statistics_when_a_sweep_dies_at_any_write_then_each_run_is_counted_once(place: Place, position: int) -> None:
    """Counts and the place up to which they go are one write; what was not noted is read again, and not counted again."""
    for number in range(4):
        run(place, f"e{number}")
        place.clock.advance(40 * MINUTE)
    store = DyingStore(place, position)
    service = StatisticsService(cast("ItemStore", store), place.clock, place.conflicts)
    with pytest.raises(Unavailable):
        service.sweep()
    assert store.has_died
    sweep_later(place)
    assert stored(place).runs == totals(place).runs == 4


class DyingStore:
    """A store that dies at one of its writes, once before it is carried out and once after, by turns."""

    def __init__(self, place: Place, position: int) -> None:
        self._store = place.store
        self._left, self._is_after = position // 2, position % 2
        self.has_died = False

    def write(self, *writes: Write) -> None:
        self._left -= 1
        is_last = self._left < 0 and not self.has_died
        if is_last:
            self.has_died = True
        if is_last and not self._is_after:
            raise Unavailable("the process is gone")
        self._store.write(*writes)
        if is_last:
            raise Unavailable("the process is gone")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_statistics_when_two_sweeps_run_at_once_then_each_run_is_counted_once(place: Place) -> None:
    """One of them reads an hour that the other one writes meanwhile: it counts what is left, which is nothing."""
    runs(place, 20)
    place.clock.advance(3 * MINUTE)
    barrier = threading.Barrier(4)

    def sweep() -> None:
        barrier.wait()
        fresh(place).sweep()

    threads = [threading.Thread(target=sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stored(place).runs == 20


def test_statistics_when_another_sweep_is_between_read_and_write_then_each_run_is_counted_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write says which version of the hour it follows."""
    runs(place, 3)
    place.clock.advance(3 * MINUTE)
    other, read = fresh(place), StatisticsService._read_hour
    is_first = [True]

    def overtaken(service: StatisticsService, workspace: Workspace, hour: datetime) -> Any:
        known = read(service, workspace, hour)
        if is_first.pop() if is_first else False:
            other.sweep()
        return known

    monkeypatch.setattr(StatisticsService, "_read_hour", overtaken)
    place.engine.statistics.sweep()
    assert not is_first
    assert stored(place).runs == 3


def test_statistics_when_runs_end_while_sweeps_go_on_then_looks_see_all_of_them(place: Place) -> None:
    """What no sweep has counted yet is read by whoever looks, and nothing of it twice."""
    for number in range(30):
        run(place, f"e{number}", seconds=20)
        if number % 3 == 0:
            place.engine.statistics.sweep()
        assert totals(place).runs == number + 1
    assert 0 < stored(place).runs < 30


def test_statistics_when_a_run_comes_late_into_the_index_then_it_is_counted(place: Place) -> None:
    """Whoever closes a run takes the time before it writes; a sweep in between waits long enough."""
    runs(place, 2)
    ended_at = place.clock.now()
    place.clock.advance(LATE.total_seconds() - 1)
    place.engine.statistics.sweep()
    late(place, "late", ended_at)
    sweep_later(place)
    assert stored(place).runs == 3


def late(place: Place, execution_id: str, ended_at: datetime) -> None:
    """Let an execution be closed by a process whose clock shows another time."""
    key = place.start(execution_id=execution_id)
    now = place.clock.now()
    place.clock.advance((ended_at - now).total_seconds())
    place.commit(key, 1, ExecutionCompleted(seq=1, result=None))
    place.clock.advance((now - place.clock.now()).total_seconds())


@pytest.mark.parametrize("minutes", [3, 10, 50])
def test_statistics_when_a_clock_steps_back_then_what_ends_meanwhile_is_counted(place: Place, minutes: float) -> None:
    """Such runs end before a place that is counted; the hour is counted once more when it is over."""
    place.clock.advance(55 * MINUTE)
    runs(place, 2)
    sweep_later(place)
    late(place, "late", place.clock.now() - timedelta(minutes=minutes))
    for _ in range(80):
        sweep_later(place, MINUTE)
    assert stored(place).runs == 3
    assert totals(place).runs == 3


def test_statistics_when_a_clock_steps_ahead_then_what_ended_is_counted_in_its_time(place: Place) -> None:
    """A run that ends in the future is counted when that has come, and only once."""
    late(place, "early", place.clock.now() + timedelta(minutes=30))
    sweep_later(place)
    assert (stored(place).runs, totals(place).runs) == (0, 0)
    sweep_later(place, 40 * MINUTE)
    assert (stored(place).runs, totals(place).runs) == (1, 1)


def test_statistics_when_of_two_workspaces_then_each_sees_its_own(place: Place) -> None:
    """Also what no sweep has counted yet."""
    other = Workspace("other")
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=HOUR)
    place.engine.catalogue.register(other, RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w"))
    runs(place, 2)
    for number in range(3):
        key = place.engine.executions.start(other, "w", StartRequest(execution_id=f"e{number}")).key
        place.commit(key, 1, failure("Elsewhere"))
    for _ in range(2):
        assert statuses(totals(place)) == {"COMPLETED": 2}
        assert statuses(totals(place, workspace=other)) == {"FAILED": 3}
        assert totals(place, workspace=Workspace("nobody")).runs == 0
        sweep_later(place)
    assert (stored(place).runs, stored(place, other).runs) == (2, 3)


def test_statistics_when_asked_for_an_hour_then_earlier_hours_are_left_out(place: Place) -> None:
    """A span begins with a whole hour."""
    for number in range(5):
        run(place, f"e{number}")
        place.clock.advance(HOUR.total_seconds())
    place.engine.statistics.sweep()
    now = place.clock.now()
    assert [totals(place, now - timedelta(hours=hours)).runs for hours in (0, 1, 2, 3, 9)] == [0, 1, 2, 3, 5]


def test_statistics_when_runs_were_deleted_then_they_stay_counted(place: Place) -> None:
    """Numbers outlive the runs that they are about."""
    runs(place, 3)
    sweep_later(place)
    place.engine.expiry.delete(SPACE, "e0")
    for _ in range(30):
        sweep_later(place)
    assert stored(place).runs == totals(place).runs == 3


def test_statistics_when_an_hour_cannot_be_read_then_it_is_counted_anew(place: Place) -> None:
    """Damage to one item costs nobody else anything, and is gone when the hour is over."""
    runs(place, 3)
    sweep_later(place)
    key = keys.hour_statistics(SPACE, hour_start(place.clock.now()))
    place.store.write(Put(Item(key, {"version": 1}, {"hour": "{"})))
    assert totals(place).runs == 0
    runs(place, 2, "later")
    for _ in range(40):
        sweep_later(place)
    assert stored(place).runs == totals(place).runs == 5


def test_statistics_when_a_listed_run_cannot_be_read_then_the_others_are_counted(place: Place) -> None:
    """One damaged item holds up nobody."""
    runs(place, 2)
    item = place.store.get(keys.execution(SPACE, run(place, "damaged").execution_id))
    assert item
    place.store.write(Put(Item(item.key, {**item.attributes, "status": "SOMEHOW"}, item.documents, item.indexes)))
    runs(place, 2, "more")
    sweep_later(place)
    assert stored(place).runs == 4


def test_statistics_when_the_place_cannot_be_read_then_counting_begins_anew_and_counts_nothing_twice(place: Place) -> None:
    """Each hour knows what it has counted."""
    runs(place, 4)
    sweep_later(place)
    place.store.write(Put(Item(keys.COUNTING_PLACE, {}, {"place": "{"})))
    fresh(place).sweep()
    assert stored(place).runs == totals(place).runs == 4


def test_statistics_when_the_place_is_in_the_future_then_counting_goes_on(place: Place) -> None:
    """A place that was damaged in a way that can be read holds nobody up."""
    runs(place, 2)
    sweep_later(place)
    places = {shard: f"9{place.clock.now().isoformat()}" for shard in range(keys.SHARDS)}
    damaged = CountingPlace(places=places, unchecked_since=datetime(1970, 1, 1, tzinfo=UTC))
    place.store.write(Put(counting_place_item(damaged)))
    runs(place, 3, "more")
    assert totals(place).runs == 5
    place.clock.advance(3 * MINUTE)
    fresh(place).sweep()
    assert stored(place).runs == totals(place).runs == 5


def test_statistics_when_activities_end_then_a_sample_says_how_long_they_took(place: Place) -> None:
    """Of two runs of each workspace and page, chosen by their ids."""
    for number in range(6):
        key = place.start(execution_id=f"e{number}")
        place.commit(key, 1, ActivityScheduled(seq=1, name="charge", input=None))
        place.clock.advance(8)
        at = place.clock.now()
        place.commit(key, 2, ActivityCompleted(seq=1, at=at, result=None), ActivityScheduled(seq=2, name="ship", input=None))
        place.clock.advance(2)
        done = ActivityCompleted(seq=2, at=place.clock.now(), result=None)
        place.commit(key, 3, done, ExecutionCompleted(seq=3, result=None))
    sweep_later(place)
    counted = stored(place)
    assert counted.runs == 6
    assert 2 <= counted.sampled <= 2 * keys.SHARDS
    charge, ship = (of_name(counted.activity_durations, name) for name in ("charge", "ship"))
    assert sum(charge.values()) == sum(ship.values()) == counted.sampled
    assert quantile(charge, 0.5) == pytest.approx(8, rel=0.05)
    assert quantile(ship, 0.5) == pytest.approx(2, rel=0.05)


def test_statistics_when_those_of_one_workspace_cannot_be_written_then_the_others_are_counted(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds up nobody, and is made good when its hour is counted once more."""
    other = Workspace("other")
    spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=HOUR)
    request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
    place.engine.catalogue.register(other, request)
    key = place.engine.executions.start(other, "w", StartRequest(execution_id="e")).key
    place.commit(key, 1, ExecutionCompleted(seq=1, result=None))
    runs(place, 3)
    write = StatisticsService._is_written

    def refused(service: StatisticsService, hour: HourStatistics) -> bool:
        if hour.workspace == other:
            raise NotStorable("it is too large")
        return write(service, hour)

    with monkeypatch.context() as broken:
        broken.setattr(StatisticsService, "_is_written", refused)
        sweep_later(place)
    assert (stored(place).runs, stored(place, other).runs) == (3, 0)
    for _ in range(30):
        sweep_later(place)
    assert (stored(place).runs, stored(place, other).runs) == (3, 1)
