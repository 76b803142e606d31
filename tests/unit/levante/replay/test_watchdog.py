"""Workflow code that does not wait: found, said where, stopped where it can be, and failed when it ends."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from levante.determinism import blocks, guard, watchdog
from levante.determinism.blocks import STALL_SECONDS, TURN_SECONDS, Block, Limits, TurnTooLong, Watched
from levante.determinism.watchdog import Watchdog
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.rules import RunRules
from levante.replay.run import WorkflowRun
from tests.support.bodies import Body, Definition
from tests.unit.levante.replay.test_run import START, activity, completed, kinds

LONGER = TURN_SECONDS + 0.5
SHORTER = TURN_SECONDS - 0.5


class Clock:
    """A clock that workflow code moves, in place of doing something long. look: what the thread of the watchdog does."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self.now = 100.0
        self.look = look

    def __call__(self) -> float:
        return self.now


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of all turns, at which only the test looks: the watchdog has no thread."""
    dog = Watchdog()
    clock = Clock(dog.look)
    monkeypatch.setattr(Watchdog, "_start", lambda _self: None)
    monkeypatch.setattr(guard, "WATCHDOG", dog)
    monkeypatch.setattr(blocks, "monotonic", clock)
    yield clock
    for thread in threading.enumerate():
        if thread.name == watchdog.REPORTER:
            thread.join()


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


@pytest.mark.parametrize("is_enforced", [True, False])
def test_turn_when_it_is_too_long_then_the_code_has_failed_once_it_ends(clock: Clock, *, is_enforced: bool) -> None:
    """Code between two awaits has 2 s, whether calls are forbidden or not; its error says how long it took."""

    async def body() -> str:
        clock.now += LONGER
        return "done"

    error = problem(new_run(body, is_enforced=is_enforced))
    assert str(error).startswith("workflow code ran for 2.5 s without waiting; 2 s are possible: ")


@pytest.mark.parametrize("way", ["commands", "messages"])
def test_turns_when_each_is_short_and_something_comes_of_them_then_their_sum_does_not_count(clock: Clock, way: str) -> None:
    """A fan-out of thousands, or a thousand messages at once, is much work and no deadlock."""

    async def body() -> None:
        for _ in range(5):
            clock.now += SHORTER
            await asyncio.sleep(0)
            if way == "commands":
                _pending.append(activity())
            else:
                run._messages.begun += 1

    _pending: list[object] = []
    run = new_run(body)
    assert kinds(run.begin())[-1] == "execution_completed"


def test_turns_when_nothing_comes_of_them_then_the_code_has_failed_before_they_end(clock: Clock) -> None:
    """A loop that only looks whether something is ready never gets it: nothing comes in while it runs."""

    async def body() -> None:
        while True:
            clock.now += 0.1
            await asyncio.sleep(0)
            clock.look()

    error = str(problem(new_run(body)))
    assert clock.now == pytest.approx(100.0 + STALL_SECONDS, abs=0.2)
    assert f"without waiting for anything from outside, and was at {__file__}:" in error


def test_commands_when_there_are_more_than_a_history_takes_then_they_count_as_nothing(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loop that asks for something new for ever is no work in hand."""
    monkeypatch.setattr(blocks, "MOST_EVENTS", 20)
    pending: list[object] = []

    async def body() -> None:
        while True:
            clock.now += SHORTER
            pending.append(activity())
            await asyncio.sleep(0)

    problem(new_run(body))
    assert len(pending) == pytest.approx(20 + STALL_SECONDS / SHORTER, abs=2)


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
        clock.look()
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
        clock.look()
        clock.look()

    run = new_run(body, is_enforced=False)
    with caplog.at_level(logging.ERROR, "levante.workflow"):
        error = problem(run)
    assert f"without waiting, and was at {__file__}:{body.__code__.co_firstlineno + 2} in " in str(error)
    wait_until(lambda: "does not wait" in caplog.text)
    (record,) = [record for record in caplog.records if "does not wait" in record.message]
    assert record.message.startswith("workflow w of execution e does not wait and holds up this worker:")
    assert "clock.look()" in record.message


def test_watchdog_when_the_code_waits_in_time_then_it_says_nothing(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Nor does it where no turn is running."""

    async def body() -> None:
        clock.now += SHORTER
        clock.look()

    run = new_run(body)
    assert kinds(run.begin()) == ["execution_completed"]
    clock.now += LONGER
    clock.look()
    assert caplog.records == []


def test_loop_without_an_end_when_it_makes_calls_then_the_worker_gets_its_thread_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With the real thread and the real clock."""
    monkeypatch.setattr(blocks, "TURN_SECONDS", 0.05)
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)

    async def body() -> None:
        while True:
            len("x")

    assert "in test_loop_without_an_end_when" in str(problem(new_run(body)))
    wait_until(lambda: "holds up this worker" in caplog.text)


def test_watchdog_when_nothing_runs_then_its_thread_sleeps_until_something_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle worker is not woken four times a second; the next block is watched all the same."""
    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.01)
    dog = Watchdog()
    looks: list[Block] = []

    def look(block: Block) -> bool:
        looks.append(block)
        return False

    monkeypatch.setattr(watchdog, "_look", look)
    for _ in range(2):
        looks.clear()
        dog.leave(dog.enter(block("a workflow")))
        wait_until(lambda: not dog._is_wanted.is_set())
        interrupted = dog.enter(block("a workflow"))
        wait_until(lambda: bool(looks))
        dog.leave(interrupted)
    assert [thread.daemon for thread in threading.enumerate() if thread is dog._thread] == [True]


def test_watchdog_when_blocks_nest_then_the_outer_one_is_watched_again() -> None:
    """A run that is driven inside another takes its place for that long only, and only one of them can be interrupted."""
    dog, outer, inner = Watchdog(), block("outer"), block("inner")
    none = dog.enter(outer)
    outer.begin()
    before = dog.enter(inner)
    assert (none, before) == (None, outer)
    assert list(dog._running.values()) == [inner]
    assert outer.thread.value == 0
    dog.leave(before)
    assert list(dog._running.values()) == [outer]
    assert outer.thread.value == threading.get_ident()
    dog.leave(none)
    assert dog._running == {}


def block(name: str) -> Block:
    return Block(Watched(name, name, __name__), Limits())
