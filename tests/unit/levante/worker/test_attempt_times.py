"""When the clocks of an attempt begin to run, and what becomes of a thread that goes on after it."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

import levante as workflows
from levante.testing import run_in_virtual_time
from levante.worker.activities.attempt_end import Failed, Stopped, Succeeded
from levante.worker.activities.attempt_run import PREPARATION_SECONDS
from levante_core.protocol import FailureKind
from tests.support.activity_runner import EXECUTION, Runner

NEVER = asyncio.Event


async def slow_connection() -> AsyncIterator[str]:
    """Take much longer than the activity may."""
    await asyncio.sleep(60)
    yield "connection"


async def no_connection() -> str:
    """Never come to an end."""
    await NEVER().wait()
    return "connection"


@workflows.activity(name="times-provided", start_to_close_timeout=timedelta(seconds=1))
async def provided(connection: str = workflows.Depends(slow_connection)) -> str:
    """Return what the provider gives."""
    return connection


@workflows.activity(name="times-unprovided", start_to_close_timeout=timedelta(seconds=1))
async def unprovided(connection: str = workflows.Depends(no_connection)) -> str:
    """Never begin."""
    return connection


@workflows.activity(name="times-sleep", start_to_close_timeout=timedelta(seconds=2), heartbeat_timeout=timedelta(seconds=2))
async def sleep(seconds: float) -> str:
    """Sleep."""
    await asyncio.sleep(seconds)
    return "slept"


RELEASED = threading.Event()


@workflows.activity(name="times-block", start_to_close_timeout=timedelta(seconds=0.2))
def block(seconds: float) -> str:
    """Block a thread."""
    RELEASED.wait(seconds)
    return "woke"


@workflows.activity(name="times-beat", heartbeat_timeout=timedelta(seconds=10))
async def beat(numbers: list[int]) -> None:
    """Beat, and wait."""
    for number in numbers:
        workflows.activity_heartbeat(number)
        await asyncio.sleep(0.1)
    await NEVER().wait()


def test_timeouts_when_an_attempt_waits_for_a_slot_then_they_do_not_count_that() -> None:
    """What others take is not its fault."""

    async def main() -> None:
        runner = Runner(sleep, slots=1)
        attempts = [runner.begin(sleep, {"seconds": 1.5}) for _ in range(4)]
        assert [type(await attempt) for attempt in attempts] == [Succeeded] * 4

    run_in_virtual_time(main())


def test_timeouts_when_an_attempt_waits_for_a_thread_then_they_do_not_count_that() -> None:
    """There may be fewer threads than slots, as where workflows run without a server."""

    async def main() -> None:
        RELEASED.clear()
        runner = Runner(block, slots=10, threads=1)
        attempts = [runner.begin(block, {"seconds": 0.1}) for _ in range(4)]
        assert [type(await attempt) for attempt in attempts] == [Succeeded] * 4

    asyncio.run(main())


def test_timeouts_when_a_provider_is_slow_then_they_do_not_count_that() -> None:
    """It makes something that many attempts share."""

    async def main() -> None:
        assert isinstance(await Runner(provided).run(provided), Succeeded)

    run_in_virtual_time(main())


def test_attempt_when_a_provider_never_gives_anything_then_it_fails_after_a_while_and_says_so() -> None:
    """Nothing waits for ever."""

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        end = await Runner(unprovided).run(unprovided)
        assert isinstance(end, Failed)
        assert (end.failure.kind, end.failure.type) == (FailureKind.TIMEOUT, "PreparationTimeout")
        assert clock() == PREPARATION_SECONDS

    run_in_virtual_time(main())


@pytest.mark.parametrize(("seconds", "expected"), [(1.9, None), (2.1, "StartToCloseTimeout")])
def test_timeout_when_the_function_waited_for_a_slot_then_it_counts_from_its_begin(
    seconds: float, expected: str | None
) -> None:
    """Also behind another one that had the slot."""

    async def main() -> None:
        runner = Runner(sleep, slots=1)
        first, second = (runner.begin(sleep, {"seconds": each}, heartbeat_seconds=None) for each in (1.0, seconds))
        await first
        end = await second
        assert (end.failure.type if isinstance(end, Failed) else None) == expected

    run_in_virtual_time(main())


def test_thread_when_it_outlasts_its_attempt_then_it_keeps_its_slot_and_is_reported_until_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others go on; the log says which activity of which execution it is, for how long, and where it stands."""

    async def main() -> None:
        RELEASED.clear()
        runner = Runner(block, sleep, slots=2)
        end = await runner.run(block, {"seconds": 30})
        assert isinstance(end, Failed)
        assert end.failure.type == "StartToCloseTimeout"
        assert runner.runner.free_slots == 1
        assert isinstance(await runner.run(sleep, {"seconds": 0}), Succeeded)
        while len(caplog.records) < 2:
            await asyncio.sleep(0.05)
        RELEASED.set()
        while runner.runner.free_slots == 1:
            await asyncio.sleep(0.01)

    with caplog.at_level(logging.INFO, "levante.worker"):
        asyncio.run(main())
    _, reported, returned = (record.getMessage() for record in caplog.records)
    assert f"activity times-block of execution {EXECUTION}: attempt 1 ended 0." in reported
    assert "RELEASED.wait(seconds)" in reported
    assert "its thread has returned" in returned


def test_threads_when_all_are_stuck_then_no_slot_is_free() -> None:
    """So the worker takes no tasks that it could not begin, and leaves them to others."""

    async def main() -> None:
        RELEASED.clear()
        runner = Runner(block, slots=3)
        await asyncio.gather(*(runner.begin(block, {"seconds": 30}) for _ in range(3)))
        assert runner.runner.free_slots == 0
        RELEASED.set()

    asyncio.run(main())


def test_thread_when_it_is_stuck_then_the_loop_ends_without_it() -> None:
    """Nobody joins it."""

    async def main() -> None:
        RELEASED.clear()
        await Runner(block).run(block, {"seconds": 30})

    began = time.monotonic()
    asyncio.run(main())
    waited = time.monotonic() - began
    RELEASED.set()
    assert waited < 20


@pytest.mark.parametrize("is_in_flight", [False, True], ids=["waiting", "on its way"])
@pytest.mark.parametrize("how", ["stopped", "cancelled", "silent"])
def test_heartbeat_when_the_attempt_ends_then_what_was_said_last_is_sent(how: str, *, is_in_flight: bool) -> None:
    """Whether it had to wait for its time, or a call with it was under way that nobody has answered."""

    async def main() -> None:
        runner = Runner(beat)
        if is_in_flight:
            runner.api.answers.clear()
        attempt = runner.begin(beat, {"numbers": [1, 2, 3]})
        await asyncio.sleep(1)
        runner.api.answers.set()
        if how == "stopped":
            runner.runner.stop()
            assert await attempt == Stopped()
        elif how == "cancelled":
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
        else:
            assert isinstance(await attempt, Failed)
        assert runner.api.details[-1] == (3,)

    run_in_virtual_time(main())


def test_heartbeat_when_the_attempt_is_cancelled_and_nobody_answers_then_that_waits_a_moment_only() -> None:
    """A cancellation goes through."""

    async def main() -> None:
        runner = Runner(beat)
        runner.api.answers.clear()
        attempt = runner.begin(beat, {"numbers": [1]})
        await asyncio.sleep(1)
        attempt.cancel()
        await asyncio.wait([attempt], timeout=2)
        assert attempt.cancelled()

    run_in_virtual_time(main())
