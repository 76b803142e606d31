"""Attempts that are stopped, or that nobody wants any more."""

import asyncio
import threading
import time

import pytest

import levante as workflows
from levante.testing import run_in_virtual_time
from levante.worker.activities.attempt_end import AttemptEnd, Failed, Stopped, Succeeded
from levante_core.protocol import FailureKind
from tests.support.activity_runner import Runner
from tests.unit.levante.worker.attempts import CALLS, RAISED, raise_it


@pytest.fixture(autouse=True)
def no_calls() -> None:
    """Forget what other tests called."""
    CALLS.clear()
    RAISED.clear()


@workflows.activity(name="ends-cleanup")
async def clean_up(how: str) -> str:
    """Clean up in one of several ways."""
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        await asyncio.sleep(3)
        CALLS.append("cleaned up")
        if how == "raise":
            raise RuntimeError("the connection is closed") from None
        if how == "return":
            return "done in spite of it"
        raise
    return "nobody stopped it"


def stopped(how: str, *, cut_after: float = 100) -> tuple[object, float]:
    """Stop the activity. Returns how it ended, and how long after that, in virtual time."""

    async def main() -> tuple[object, float]:
        clock, runner = asyncio.get_running_loop().time, Runner(clean_up)
        attempt = runner.begin(clean_up, {"how": how})
        await asyncio.sleep(1)
        began = clock()
        runner.runner.stop()
        asyncio.get_running_loop().call_later(cut_after, runner.runner.cut_off)
        return await attempt, clock() - began

    return run_in_virtual_time(main())


@pytest.mark.parametrize("how", ["end", "raise"])
def test_attempt_when_the_runner_stops_then_it_ends_once_it_has_cleaned_up_and_does_not_count(how: str) -> None:
    """An error of the cleanup is one of the stop, and no failure of the activity."""
    assert stopped(how) == (Stopped(), 3.0)
    assert CALLS == ["cleaned up"]


def test_attempt_when_it_returns_in_spite_of_the_stop_then_that_is_its_result() -> None:
    """Work that is done is not done again."""
    end, _ = stopped("return")
    assert isinstance(end, Succeeded)


def test_attempt_when_its_cleanup_takes_too_long_then_it_is_cut_off() -> None:
    """So that the process can end in time."""
    assert stopped("end", cut_after=2) == (Stopped(), 2.0)
    assert CALLS == []


def test_attempt_when_it_waits_for_a_slot_as_the_runner_stops_then_it_never_begins() -> None:
    """Nor does one that comes later."""

    async def main() -> None:
        runner = Runner(clean_up, slots=1)
        first, second = (runner.begin(clean_up, {"how": "end"}) for _ in range(2))
        await asyncio.sleep(1)
        runner.runner.stop()
        assert await second == Stopped()
        assert await runner.run(clean_up, {"how": "end"}) == Stopped()
        assert await first == Stopped()

    run_in_virtual_time(main())
    assert CALLS == ["cleaned up"]


@workflows.activity(name="ends-beat")
def beat_in_thread(rounds: list[int]) -> list[int]:
    """Beat until that raises."""
    for number in rounds:
        AT[number].wait(30)
        try:
            workflows.activity_heartbeat(number)
        except asyncio.CancelledError:
            CALLS.append(f"told at {number}")
            raise
    return rounds


AT: dict[int, threading.Event] = {}


def test_thread_when_the_runner_stops_then_it_is_told_at_its_next_heartbeat_and_what_that_says_is_kept() -> None:
    """The attempt ends when the thread has, so that no other begins beside it."""

    async def main() -> None:
        AT.update({1: threading.Event(), 2: threading.Event()})
        runner = Runner(beat_in_thread)
        attempt = runner.begin(beat_in_thread, {"rounds": [1, 2]}, heartbeat_seconds=60.0)
        AT[1].set()
        while not runner.api.details:
            await asyncio.sleep(0.01)
        runner.runner.stop()
        await asyncio.sleep(0.05)
        assert not attempt.done()
        AT[2].set()
        assert await attempt == Stopped()
        assert runner.api.details == [(1,), (2,)]

    asyncio.run(main())
    assert CALLS == ["told at 2"]


@workflows.activity(name="ends-when-asked")
def works_until_asked(how: str) -> str:
    """Work in a thread until a heartbeat says that nobody wants it any more. how: it ends then."""
    try:
        while True:
            workflows.activity_heartbeat()
            time.sleep(0.01)
    except asyncio.CancelledError:
        if how == "gives in":
            raise
    return "done"


@pytest.mark.parametrize(("how", "kind"), [("gives in", Failed), ("finishes", Succeeded)])
def test_plain_activity_when_nobody_wants_it_then_it_ends_as_it_likes_and_that_counts(how: str, kind: type) -> None:
    """Nothing else could end it, and somebody may wait for how it does."""

    async def main() -> AttemptEnd:
        runner = Runner(works_until_asked)
        attempt = runner.begin(works_until_asked, {"how": how})
        while not runner.api.details:
            await asyncio.sleep(0.01)
        runner.demands[-1].end()
        return await asyncio.wait_for(attempt, 10)

    end = asyncio.run(main())
    assert isinstance(end, kind)
    assert not isinstance(end, Failed) or end.failure.kind is FailureKind.CANCELED


def test_attempt_when_nobody_wants_it_before_a_slot_is_free_then_its_function_never_begins() -> None:
    """It waits in line, and ends there."""

    async def main() -> list[AttemptEnd]:
        RAISED.append(RuntimeError("it began"))
        runner = Runner(works_until_asked, raise_it, slots=1)
        attempts = [runner.begin(works_until_asked, {"how": "gives in"})]
        while not runner.api.details:
            await asyncio.sleep(0.01)
        attempts.append(runner.begin(raise_it))
        await asyncio.sleep(0)
        for demand in reversed(runner.demands):
            demand.end()
        return await asyncio.wait_for(asyncio.gather(*attempts), 10)

    ends = asyncio.run(main())
    assert [end.failure.kind for end in ends if isinstance(end, Failed)] == [FailureKind.CANCELED] * 2
