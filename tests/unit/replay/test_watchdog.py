"""Workflow code that does not wait: found, said where, stopped where it can be, and failed when it ends."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from levante.determinism import guard, watchdog
from levante.determinism.watchdog import TURN_SECONDS, Turns, TurnTooLong, Watchdog
from levante.replay.rules import RunRules
from levante.replay.run import WorkflowCodeFailed, WorkflowRun
from tests.support.bodies import Body, Definition
from tests.unit.replay.test_run import START, activity, completed, kinds

LONGER = TURN_SECONDS + 0.5
SHORTER = TURN_SECONDS - 0.5


class Clock:
    """A clock that workflow code moves, in place of doing something long."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all turns, at which only the test looks: the watchdog has no thread."""
    clock = Clock()
    monkeypatch.setattr(Watchdog, "_start", lambda _self: None)
    monkeypatch.setattr(guard, "WATCHDOG", Watchdog())
    monkeypatch.setattr(watchdog, "monotonic", clock)
    return clock


def new_run(body: Body, *, is_enforced: bool = True) -> WorkflowRun:
    definition: Any = Definition(body)
    return WorkflowRun(definition, "e", "r", START, RunRules(enforces_determinism=is_enforced))


def problem(run: WorkflowRun) -> TurnTooLong:
    """Begin a run whose code is too long."""
    with pytest.raises(WorkflowCodeFailed) as failed:
        run.begin()
    run.dispose()
    assert isinstance(failed.value.__cause__, TurnTooLong)
    return failed.value.__cause__


def turns_of(run: WorkflowRun) -> Turns:
    return run._guard._turns


@pytest.mark.parametrize("is_enforced", [True, False])
def test_turn_when_it_is_too_long_then_the_code_has_failed_once_it_ends(clock: Clock, *, is_enforced: bool) -> None:
    """Code between two awaits has 2 s, whether calls are forbidden or not; its error says how long it took."""

    async def body() -> str:
        clock.now += LONGER
        return "done"

    error = problem(new_run(body, is_enforced=is_enforced))
    assert str(error).startswith("workflow code ran for 2.5 s without waiting; 2 s are possible")


def test_turns_when_each_is_short_then_their_sum_does_not_count(clock: Clock) -> None:
    """`await asyncio.sleep(0)` ends a turn: work that is broken up so is no deadlock."""

    async def body() -> None:
        for _ in range(5):
            clock.now += SHORTER
            await asyncio.sleep(0)

    assert kinds(new_run(body).begin()) == ["execution_completed"]


def test_turn_when_a_middle_one_is_too_long_then_the_code_has_failed(clock: Clock) -> None:
    """Not only the last turn of a step counts."""

    async def body() -> None:
        clock.now += LONGER
        await asyncio.sleep(0)

    problem(new_run(body))


def test_time_between_steps_when_it_is_long_then_it_does_not_count(clock: Clock) -> None:
    """A run that waits for an activity takes nobody's time."""

    async def body() -> None:
        await activity()

    run = new_run(body)
    run.begin()
    clock.now += LONGER
    assert kinds(run.apply(completed(1))) == ["execution_completed"]


def test_watchdog_when_it_finds_a_turn_too_long_then_the_next_call_is_stopped(clock: Clock) -> None:
    """A loop that makes calls is broken out of, and the error says where."""
    made: list[int] = []

    async def body() -> None:
        clock.now += LONGER
        turns_of(run).look()
        made.append(len("not made"))

    run = new_run(body)
    error = problem(run)
    assert f"without waiting, and was at {__file__}:{body.__code__.co_firstlineno + 2} in " in str(error)
    assert made == []


def test_watchdog_when_it_finds_a_turn_too_long_then_the_log_has_its_stack_once(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Code that cannot be stopped is at least seen, from outside, while it runs."""

    async def body() -> None:
        clock.now += LONGER
        turns_of(run).look()
        turns_of(run).look()

    run = new_run(body, is_enforced=False)
    with caplog.at_level(logging.ERROR, "levante.workflow"):
        error = problem(run)
    assert f"without waiting, and was at {__file__}:{body.__code__.co_firstlineno + 2} in " in str(error)
    (record,) = [record for record in caplog.records if "without waiting" in record.message]
    assert record.message.startswith("workflow w of execution e has run for 2 s")
    assert "turns_of(run).look()" in record.message


def test_watchdog_when_the_code_waits_in_time_then_it_says_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does it where no turn is running."""

    async def body() -> None:
        clock.now += SHORTER
        turns_of(run).look()

    run = new_run(body)
    assert kinds(run.begin()) == ["execution_completed"]
    clock.now += LONGER
    turns_of(run).look()
    assert caplog.records == []


def test_loop_without_an_end_when_it_makes_calls_then_the_worker_gets_its_thread_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the real thread and the real clock."""
    monkeypatch.setattr(watchdog, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)

    async def body() -> None:
        while True:
            len("x")

    assert "in test_loop_without_an_end_when" in str(problem(new_run(body)))
    wait_until(lambda: "holds up this worker" in caplog.text)


def test_watchdog_when_nothing_runs_then_its_thread_sleeps_until_something_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker is not woken four times a second; the next step is watched all the same."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    dog, turns = Watchdog(), Turns("a workflow", __name__)
    looks: list[int] = []
    monkeypatch.setattr(Turns, "look", lambda _self: looks.append(1))
    for _ in range(2):
        looks.clear()
        dog.leave(dog.enter(turns))
        wait_until(lambda: not dog._is_wanted.is_set())
        interrupted = dog.enter(turns)
        wait_until(lambda: bool(looks))
        dog.leave(interrupted)
    assert [thread.daemon for thread in threading.enumerate() if thread is dog._thread] == [True]


def test_watchdog_when_steps_nest_then_the_outer_one_is_watched_again() -> None:
    """A run that is driven inside another takes its place for that long only."""
    dog, outer, inner = Watchdog(), Turns("outer", __name__), Turns("inner", __name__)
    none = dog.enter(outer)
    before = dog.enter(inner)
    assert (none, before) == (None, outer)
    assert list(dog._running.values()) == [inner]
    dog.leave(before)
    assert list(dog._running.values()) == [outer]
    dog.leave(none)
    assert dog._running == {}
