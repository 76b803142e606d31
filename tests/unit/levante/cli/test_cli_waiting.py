"""Waiting for an execution, on a clock that only moves when somebody sleeps."""

import pytest

from levante.cli.client import REQUEST_SECONDS, Answer
from levante.cli.executions.waiting import LAST_PAUSE_SECONDS, PATIENCE_SECONDS, Surroundings, wait_for_end
from levante.cli.exits import CommandFailed

OPEN = Answer("", {"execution_id": "e1", "status": "RUNNING"})
DONE = Answer("", {"execution_id": "e1", "status": "COMPLETED"})


class FakeExecution:
    """Counts seconds; `fetch` gives the states in turn, the last one for ever."""

    def __init__(self, *states: Answer | CommandFailed) -> None:
        self.states = list(states)
        self.now = 0.0
        self.pauses: list[float] = []
        self.limits: list[float] = []
        self.shown: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def fetch(self, limit: float) -> Answer:
        self.limits.append(limit)
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, CommandFailed):
            raise state
        return state

    def wait(self, timeout: float | None = None) -> Answer | None:
        return wait_for_end(self.fetch, timeout, Surroundings(lambda: self.now, self.sleep, self.shown.append))


def test_waiting_when_it_takes_long_then_pauses_grow_up_to_a_second() -> None:
    """A quick execution is seen at once, a slow one costs the API little."""
    execution = FakeExecution(*[OPEN] * 10, DONE)
    assert execution.wait() is DONE
    assert execution.pauses[0] == 0.1
    assert execution.pauses == sorted(execution.pauses)
    assert execution.pauses[-1] == LAST_PAUSE_SECONDS
    assert execution.shown == sorted(execution.shown)


def test_waiting_when_the_time_is_over_then_it_ends_on_the_second() -> None:
    """The last pause, and the last request, are no longer than what is left."""
    execution = FakeExecution(OPEN)
    assert execution.wait(2.5) is None
    assert execution.now == pytest.approx(2.5)
    assert max(execution.limits) == 2.5


def test_waiting_when_there_is_no_time_then_it_asks_once() -> None:
    """A timeout of zero asks whether it has ended already."""
    assert FakeExecution(DONE).wait(0) is DONE
    assert FakeExecution(OPEN).wait(0) is None


def test_waiting_when_the_api_is_away_for_a_moment_then_it_goes_on() -> None:
    """The host may be started again while somebody waits."""
    away = CommandFailed("nothing answers", is_temporary=True)
    execution = FakeExecution(away, OPEN, *[away] * 20, DONE)
    assert execution.wait() is DONE
    assert set(execution.limits) == {REQUEST_SECONDS}


def test_waiting_when_the_api_stays_away_then_it_gives_up() -> None:
    """Nobody waits for ever for a host that is gone."""
    execution = FakeExecution(OPEN, CommandFailed("nothing answers", is_temporary=True))
    with pytest.raises(CommandFailed, match="nothing answers"):
        execution.wait()
    assert PATIENCE_SECONDS < execution.now < PATIENCE_SECONDS + 2 * LAST_PAUSE_SECONDS


def test_waiting_when_the_api_refuses_then_it_ends_at_once() -> None:
    """A refusal does not go away."""
    execution = FakeExecution(OPEN, CommandFailed("no such execution"))
    with pytest.raises(CommandFailed, match="no such execution"):
        execution.wait()
    assert len(execution.pauses) == 1
