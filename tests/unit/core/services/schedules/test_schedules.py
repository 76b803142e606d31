"""Schedules whose times come: executions start, once each, however many were missed and whatever fails."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.schedules.spec import ScheduleOverlapPolicy
from levante_core.errors import Unavailable
from levante_core.services.engine import build_engine
from levante_core.services.schedules import schedules
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import Fate, FaultyQueues, FaultyStore, OneFault, Operations
from tests.support.forms import either
from tests.support.place import POOL, SPACE, Place
from tests.unit.core.services.schedules.sweeps import (
    ALLOW,
    BUFFER_ALL,
    CANCEL,
    SKIP,
    START,
    TERMINATE,
    end,
    look,
    make,
    runs,
    serve,
    started,
    state,
)


def test_time_when_it_comes_then_an_execution_starts_that_tells_of_its_schedule(served: Place) -> None:
    """Its id tells which time it is of; a message that comes too early, twice or late changes nothing."""
    make(served, input={"a": 1})
    look(served)
    assert runs(served) == []
    served.clock.advance(3600)
    for _ in range(3):
        look(served)
    (run,) = runs(served)
    assert run.key.execution_id == "s-20260101T010000Z"
    execution = served.engine.executions.get(SPACE, run.key.execution_id)
    assert (execution.start.schedule_id, execution.start.input, execution.pool) == ("s", {"a": 1}, POOL)
    (fired,) = state(served).recent
    assert (fired.scheduled_at, fired.started_at, fired.execution_id) == (
        START + timedelta(hours=1),
        served.clock.now(),
        run.key.execution_id,
    )


def test_sweep_when_a_time_is_near_then_a_message_comes_at_that_time(served: Place) -> None:
    """The sweep looks a little further than to its next turn; what is further away costs nothing."""
    make(served)
    served.clock.advance(3600 - 120)
    served.engine.due.sweep()
    assert served.due() == []
    served.clock.advance(60)
    served.engine.due.sweep()
    served.clock.advance(60)
    (body,) = served.due()
    served.engine.due.handle(body)
    assert started(served) == ["01:00"]


def test_schedule_when_its_times_are_closer_than_sweeps_then_each_look_reminds_of_the_next(served: Place) -> None:
    """One message for each time, though several have looked."""
    make(served, intervals=[{"every": "PT10S"}], policy={"overlap": ALLOW})
    bodies = served.due()
    for _ in range(6):
        served.clock.advance(10)
        assert len(bodies) == 0
        bodies = served.due()
        assert len(bodies) == 1
        for _ in range(3):
            served.engine.due.handle(bodies[0])
        bodies = []
    assert len(runs(served)) == 6


def test_time_when_many_look_at_once_then_one_execution_starts(served: Place) -> None:
    """Sweeps that race, messages that come twice."""
    make(served)
    for hour in range(1, 6):
        served.clock.advance(3600)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: look(served), range(8)))
        assert len(runs(served)) == hour
        end(served)


def test_times_when_they_were_missed_then_they_are_caught_up_within_the_window(served: Place) -> None:
    """Nobody was there for five hours; two of them are too long ago."""
    make(served, policy={"overlap": ALLOW, "catchup_window_seconds": 3 * 3600 - 1800})
    served.clock.advance(5 * 3600 + 60)
    look(served)
    assert started(served) == ["03:00", "04:00", "05:00"]


def test_times_when_thousands_were_missed_then_one_look_after_another_deals_with_them(
    served: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look starts 200 executions at most; the next one goes on."""
    assert schedules.MOST_STEPS == 200
    most = either(short=20, full=200)
    monkeypatch.setattr(schedules, "MOST_STEPS", most)
    make(served, intervals=[{"every": "PT1S"}], policy={"overlap": ALLOW})
    served.clock.advance(most * 9 // 4)
    counts = []
    for _ in range(4):
        look(served)
        counts.append(len(runs(served)))
    assert counts == [most, 2 * most, most * 9 // 4, most * 9 // 4]


def test_waiting_when_there_are_more_times_than_may_wait_then_those_beyond_are_dropped(
    served: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is kept with the schedule, which has to fit into an item."""
    monkeypatch.setattr("levante_core.domain.schedules.state.MOST_WAITING", 3)
    make(served, policy={"overlap": BUFFER_ALL})
    for hours, waiting in ((4, 3), (1, 3)):
        served.clock.advance(hours * 3600)
        look(served)
        assert [one.at.strftime("%H:%M") for one in state(served).waiting] == ["02:00", "03:00", "04:00"][:waiting]
    assert started(served) == ["01:00"]


@pytest.mark.slow
def test_times_when_an_execution_is_open_all_the_while_then_the_missed_ones_are_skipped_at_once(served: Place) -> None:
    """A week of seconds."""
    make(served, intervals=[{"every": "PT10S"}])
    served.clock.advance(10)
    look(served)
    served.clock.advance(7 * 86400)
    for _ in range(3):
        look(served)
    assert len(runs(served)) == 1
    assert state(served).seen_until == served.clock.now()


@pytest.mark.broad(pairs=True)
@pytest.mark.parametrize("how", [Fate.REFUSED, Fate.UNANSWERED, Fate.CRASHED])
@pytest.mark.parametrize("kind", ["read", "write", "send"])
@pytest.mark.parametrize("position", range(1, 7))
@pytest.mark.parametrize("overlap", [ALLOW, TERMINATE, CANCEL, BUFFER_ALL])
def test_look_when_it_fails_anywhere_then_the_next_one_goes_on_and_each_time_comes_once(
    place: Place, overlap: ScheduleOverlapPolicy, position: int, kind: str, how: Fate
) -> None:
    """Before anything was written, or after it was, but nobody heard of it."""
    fault = OneFault(kind, position, how)
    operations = Operations("api", fault)
    store = OffloadingStore(FaultyStore(place.store, operations), place.payloads)
    queues = FaultyQueues(place.queues, operations, Counter())
    engine = build_engine(store, queues, place.clock, RandomIds(), LocalChangeWatch(), fast_path=True)
    with_faults = replace(place, engine=engine)
    serve(with_faults)
    make(with_faults, policy={"overlap": overlap})
    for hour in range(1, 5):
        place.clock.advance(3600)
        fault.is_armed = hour == 2
        with suppress(Unavailable, RuntimeError):
            look(with_faults)
        fault.is_armed = False
        look(with_faults)
        if overlap is not ALLOW and hour != 2:
            end(with_faults)
            look(with_faults)
    times = [run.key.execution_id for run in runs(place)]
    assert len(times) == len(set(times))
    assert times == [f"s-20260101T0{hour}0000Z" for hour in range(1, 5)]


def test_next_sweep_when_only_a_schedule_waits_then_it_is_before_its_time(served: Place) -> None:
    """The testing kit skips time to where something is due."""
    assert served.engine.due.next_sweep_at() is None
    make(served)
    at = served.engine.due.next_sweep_at()
    assert at
    assert START < at < START + timedelta(hours=1)


@pytest.mark.parametrize(("at_once", "in_one_look"), [(6, 10), (3, 6)])
def test_missed_times_when_there_are_more_than_one_look_deals_with_then_the_next_one_goes_on(
    served: Place, monkeypatch: pytest.MonkeyPatch, at_once: int, in_one_look: int
) -> None:
    """Two times so many that start nothing; the sweep looks again within a minute."""
    monkeypatch.setattr("levante_core.domain.schedules.state.MOST_AT_ONCE", at_once)
    monkeypatch.setattr("levante_core.services.schedules.schedules.MOST_PARTIAL_STEPS", 2)
    make(served, policy={"overlap": SKIP, "catchup_window_seconds": 10 * 86400})
    served.clock.advance(3600)
    look(served)
    assert len(runs(served)) == 1, "it goes on, so that all others are left out"
    before = state(served).seen_until
    served.clock.advance(10 * 3600)
    look(served)
    assert state(served).seen_until - before == timedelta(hours=in_one_look)
    look(served)
    assert state(served).seen_until - before == timedelta(hours=10)
    assert len(runs(served)) == 1
