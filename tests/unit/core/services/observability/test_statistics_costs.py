"""What counting and looking cost, in calls of the store, and that they are bounded."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import WorkflowName
from levante_core.domain.observability.statistics import MOST_WORKFLOWS, OTHERS, ClosedRun, Totals
from levante_core.services.observability import closed_runs, statistics
from levante_core.storage import keys
from tests.support.place import SPACE, Place
from tests.unit.core.services.observability.counting import FAR_BACK, MINUTE, runs, stored, sweep_later, totals


@pytest.fixture
def calls(place: Place, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the store is called, by method."""
    counted: Counter[str] = Counter()
    for name in ("get", "query", "write", "write_each"):
        monkeypatch.setattr(type(place.racing), name, _counting(getattr(type(place.racing), name), name, counted))
    return counted


def _counting(call: Callable[..., Any], name: str, counted: Counter[str]) -> Callable[..., Any]:
    def count(*args: Any, **kwargs: Any) -> Any:
        counted[name] += 1
        return call(*args, **kwargs)

    return count


def test_sweep_when_nothing_ends_then_it_asks_once_for_each_shard_and_writes_nothing(
    place: Place, calls: Counter[str]
) -> None:
    """An idle installation pays for four queries a minute."""
    place.engine.statistics.sweep()
    calls.clear()
    for _ in range(200):
        sweep_later(place, MINUTE)
    assert calls == Counter({"query": 200 * keys.SHARDS})


def test_sweep_when_something_was_counted_long_ago_then_it_writes_nothing_more(place: Place, calls: Counter[str]) -> None:
    """An hour is counted once more, and then left alone."""
    runs(place, 3)
    for _ in range(120):
        sweep_later(place, MINUTE)
    calls.clear()
    for _ in range(120):
        sweep_later(place, MINUTE)
    assert calls == Counter({"query": 120 * keys.SHARDS})


def test_sweep_when_runs_have_ended_then_it_writes_once_for_each_hour_and_shard(place: Place, calls: Counter[str]) -> None:
    """However many they are."""
    runs(place, 50)
    calls.clear()
    sweep_later(place)
    assert calls["write"] <= keys.SHARDS + 1
    assert calls["query"] <= keys.SHARDS * (1 + 4 * closed_runs.SAMPLED_AT_ONCE)


def test_look_when_everything_is_counted_then_it_reads_the_hours(place: Place, calls: Counter[str]) -> None:
    """One query for the hours, one for each shard, and a read."""
    runs(place, 30)
    sweep_later(place)
    calls.clear()
    assert totals(place).runs == 30
    assert calls == Counter({"query": 1 + keys.SHARDS, "get": 1})


def test_look_when_too_much_is_not_counted_yet_then_it_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No look reads more than a bounded number of runs."""
    monkeypatch.setattr(statistics, "MOST_TOPPED_UP", 3)
    monkeypatch.setattr(closed_runs, "RUNS_AT_ONCE", 2)
    runs(place, 20)
    look = place.engine.statistics.since(SPACE, place.clock.now())
    assert look.is_partial
    assert look.totals.runs <= 4
    sweep_later(place)
    look = place.engine.statistics.since(SPACE, place.clock.now() - FAR_BACK)
    assert (look.is_partial, look.totals.runs) == (False, 20)


def test_sweep_when_there_is_too_much_for_one_then_the_next_goes_on(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep is bounded, and nothing is passed over."""
    monkeypatch.setattr(statistics, "MOST_COUNTED", 3)
    monkeypatch.setattr(closed_runs, "RUNS_AT_ONCE", 2)
    runs(place, 20)
    sweep_later(place)
    assert 0 < stored(place).runs < 20
    for _ in range(20):
        place.engine.statistics.sweep()
    assert stored(place).runs == 20


def test_hour_when_it_has_many_workflows_then_the_rest_is_counted_together() -> None:
    """An item stays small, whatever names there are."""
    counted = Totals()
    at = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    for number in range(MOST_WORKFLOWS + 50):
        counted.count(ClosedRun(0, f"p{number}", WorkflowName(f"w{number}"), ExecutionStatus.COMPLETED, at, at))
    assert counted.runs == MOST_WORKFLOWS + 50
    assert counted.closed[OTHERS, ExecutionStatus.COMPLETED] == 50
