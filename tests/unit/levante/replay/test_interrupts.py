"""Code that nothing but an exception from outside ends: it gets that, and nobody else ever does."""

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from levante import workflow
from levante.determinism import abandoned, blocks, watchdog
from levante.determinism.abandoned import ABANDONED
from levante.determinism.blocks import Block, Limits, TurnTooLong, Watched
from levante.determinism.guard import Guard
from levante.determinism.interrupts import CodeStopped, ThreadId, interrupt
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.rules import RunRules
from levante.replay.run import WorkflowRun
from levante.worker.process.end import stopping_on_signals
from tests.support.bodies import Body, Definition
from tests.unit.levante.replay.test_run import START, activity, completed, kinds


@pytest.fixture(autouse=True)
def _short_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real thread and the real clock, with a tenth of the time. Nothing of the runs before is remembered."""
    for name in ("TURN_SECONDS", "STALL_SECONDS"):
        monkeypatch.setattr(blocks, name, getattr(blocks, name) / 10)
    monkeypatch.setattr(blocks, "DISPOSAL_SECONDS", blocks.DISPOSAL_SECONDS / 5)
    for name in ("LOOK_SECONDS", "INSIST_SECONDS", "ANYWHERE_SECONDS", "AGAIN_SECONDS"):
        monkeypatch.setattr(watchdog, name, getattr(watchdog, name) / 10)
    monkeypatch.setattr(ABANDONED, "_hopeless_until", {})
    yield
    assert sys.getprofile() is None
    assert asyncio._get_running_loop() is None


def new_run(body: Body, cls: type = object, *, is_enforced: bool = True) -> WorkflowRun:
    definition: Any = Definition(body)
    definition.cls = cls
    return WorkflowRun(definition, "e", "r", START, RunRules(enforces_determinism=is_enforced))


def spin(_: object = None) -> int:
    """Never end, without a call."""
    steps = 0
    while True:
        steps += 1


async def spins() -> None:
    spin()


async def spins_without_a_statement() -> None:
    while True:
        pass


async def looks_whether_it_is_ready() -> None:
    while True:
        await asyncio.sleep(0)


async def spins_in_each_finally() -> None:
    try:
        spin()
    finally:
        try:
            spin()
        finally:
            spin()


async def catches_exceptions() -> None:
    while True:
        try:
            spin()
        except Exception:  # noqa: BLE001, S112 - this is the mistake
            continue


async def catches_all_and_awaits() -> None:
    while True:
        try:
            await asyncio.sleep(0)
        except BaseException:  # noqa: BLE001, S112 - this is the mistake
            continue


async def catches_all_and_calls() -> None:
    caught = 0
    while True:
        try:
            spin()
        except BaseException:  # noqa: BLE001 - this is the mistake
            caught = max(caught, abs(caught))


async def catches_all_twice() -> None:
    while True:
        try:
            while True:
                try:
                    spin()
                except BaseException:  # noqa: BLE001, S112 - this is the mistake
                    continue
        except BaseException:  # noqa: BLE001, S112 - this is the mistake
            continue


async def waits_for_a_condition_that_spins() -> None:
    await workflow.wait_condition(lambda: spin() > 0)


async def sorts_by_what_spins() -> None:
    sorted([2, 1], key=spin)


BODIES: list[Callable[[], Awaitable[None]]] = [
    spins,
    spins_without_a_statement,
    looks_whether_it_is_ready,
    spins_in_each_finally,
    catches_exceptions,
    catches_all_and_awaits,
    catches_all_and_calls,
    catches_all_twice,
    waits_for_a_condition_that_spins,
    sorts_by_what_spins,
]


SEEN_BY_THE_GUARD = [looks_whether_it_is_ready, catches_all_and_awaits]
"""Whose turns are so short that only calls tell for sure where they are."""


@pytest.mark.parametrize("is_enforced", [True, False])
@pytest.mark.parametrize("body", BODIES, ids=lambda body: body.__name__)
def test_code_when_it_never_ends_then_the_run_fails_and_says_where_it_was(body: Body, *, is_enforced: bool) -> None:
    """With calls and without, whatever it catches: the worker gets its thread back."""
    run = new_run(body, is_enforced=is_enforced)
    with pytest.raises(WorkflowCodeFailed) as failed:
        run.begin()
    run.dispose()
    assert isinstance(failed.value.__cause__, TurnTooLong)
    if is_enforced or body not in SEEN_BY_THE_GUARD:
        assert f"and was at {__file__}:" in str(failed.value)


def test_constructor_when_it_never_ends_then_the_run_fails() -> None:
    """What makes the instance is code of the workflow too."""

    class Spins:
        def __init__(self) -> None:
            spin()

    with pytest.raises(WorkflowCodeFailed, match=r"without waiting, and was at .*in spin;"):
        new_run(spins, Spins).begin()


def test_result_when_making_json_of_it_never_ends_then_the_run_fails() -> None:
    """So is what serialises the result."""

    async def body() -> None:
        return None

    run = new_run(body)
    vars(run._definition)["dump_result"] = spin
    with pytest.raises(WorkflowCodeFailed, match="in spin;"):
        run.begin()


def test_query_when_it_never_ends_then_who_asks_is_told_and_the_run_goes_on() -> None:
    """A query is no part of the history: the run is as it was."""

    async def body() -> None:
        await activity()

    run = new_run(body)
    run.begin()
    vars(run._messages)["query"] = lambda *_: spin()
    with pytest.raises(TurnTooLong, match="in spin;"):
        run.query("state", None)
    assert kinds(run.apply(completed(1))) == ["execution_completed"]


def disposed(body: Body, caplog: pytest.LogCaptureFixture, cls: type = object) -> str:
    """Begin a run, and throw it away. Returns what was logged meanwhile."""
    run = new_run(body, cls)
    run.begin()
    caplog.clear()
    with caplog.at_level(logging.ERROR, "levante.workflow"):
        run.dispose()
    return "\n".join(record.message for record in caplog.records if "thrown away" in record.message)


@pytest.mark.parametrize(("caught", "is_reported"), [(asyncio.CancelledError, False), (BaseException, True)])
def test_disposal_when_a_task_goes_on_when_it_is_cancelled_then_its_code_is_closed_or_kept(
    caught: type[BaseException], *, is_reported: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What a run refuses to a worker is its end: the worker takes that itself, without spinning."""

    async def tick() -> None:
        while True:
            try:
                await asyncio.sleep(1)
            except caught:
                continue

    async def body() -> None:
        tasks.append(asyncio.create_task(tick()))
        await activity()

    tasks: list[asyncio.Task[None]] = []
    assert ("it goes on when it is cancelled" in disposed(body, caplog)) is is_reported
    coroutine: Any = tasks[0].get_coro()
    assert (coroutine.cr_frame is not None) is is_reported
    assert "holds up this worker" not in caplog.text


def test_disposal_when_a_finally_never_ends_then_it_is_stopped(caplog: pytest.LogCaptureFixture) -> None:
    """Cleaning up has a time limit too."""

    async def body() -> None:
        try:
            await activity()
        finally:
            spin()

    disposed(body, caplog)
    assert ABANDONED.is_hopeless(Watched("n", "w", "p"))


@pytest.mark.slow
def test_disposal_when_a_task_waits_for_something_new_each_time_then_it_is_kept_and_its_code_never_runs_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is not even finalised: that would run its code outside of all limits."""
    ran: list[int] = []

    async def tick() -> None:
        while True:
            try:
                await asyncio.get_running_loop().create_future()
            except BaseException:  # noqa: BLE001 - this is the mistake
                ran.append(1)

    async def body() -> None:
        task = asyncio.create_task(tick())
        await activity()
        await task

    logged = disposed(body, caplog)
    assert "workflow w of execution e cannot be thrown away: it goes on when it is cancelled. It stays" in logged
    before = len(ran)
    gc.collect()
    assert len(ran) == before


def test_disposal_when_code_of_the_workflow_had_to_be_stopped_then_its_next_runs_are_not_asked_to_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two hundred such runs in a cache must not hold up the end of the worker; after a minute it is tried again."""
    ended: list[int] = []

    async def body() -> None:
        try:
            await activity()
        finally:
            ended.append(1)

    now = 100.0
    monkeypatch.setattr(abandoned, "monotonic", lambda: now)
    ABANDONED.failed(Watched("n", "w", "p"))
    assert "other code of its workflow" in disposed(body, caplog)
    assert ended == []
    now += abandoned.HOPELESS_SECONDS + 1
    assert disposed(body, caplog) == ""
    assert ended == [1]


def test_disposal_when_there_is_much_to_end_then_it_may_take_its_time(caplog: pytest.LogCaptureFixture) -> None:
    """The limit is for code from which nothing comes: here one task after the other ends."""

    async def wait() -> None:
        try:
            await activity()
        finally:
            pause.wait(blocks.DISPOSAL_SECONDS / 2)

    async def body() -> None:
        await asyncio.gather(*(wait() for _ in range(6)))

    pause = threading.Event()
    assert disposed(body, caplog) == ""


def test_interrupt_when_a_thread_has_left_then_it_meets_nobody() -> None:
    """Reading the id and raising are one step."""
    thread = ThreadId(threading.get_ident())
    thread.value = 0
    for _ in range(100):
        interrupt(thread)
    assert sum(range(100)) == 4950


def test_interrupts_when_they_rain_on_a_block_that_ends_then_none_arrives_after_it() -> None:
    """Hammered: another thread interrupts at every moment, while blocks are entered and left thousands of times."""
    blocks_seen: list[Block] = []
    is_over = threading.Event()

    def rain() -> None:
        while not is_over.is_set():
            for block in blocks_seen[-1:]:
                block.is_interrupted = True
                interrupt(block.thread)

    def work() -> None:
        for _ in range(20):
            sum((1, 2))

    watched = Watched("n", "w", __name__)
    inside, outside = 0, 0
    interval = sys.getswitchinterval()
    thread = threading.Thread(target=rain)
    sys.setswitchinterval(1e-5)
    gc.disable()  # a finaliser that is hit says so on stderr, which is no harm but noise
    thread.start()
    try:
        for number in range(4000):
            subject = Guard(watched, forbids_calls=number % 2 == 0)
            block = Block(watched, Limits(60, 60))
            try:
                blocks_seen.append(block)
                try:
                    subject._run_within(block, work)
                except CodeStopped:
                    inside += 1
                outside += sum(range(50))
            except CodeStopped:
                pytest.fail("an exception arrived outside of the block")
            assert sys.getprofile() is None
            assert block.thread.value == 0
    finally:
        is_over.set()
        gc.enable()
        sys.setswitchinterval(interval)
        thread.join()
    assert outside == 4000 * 1225
    assert inside > 0


@pytest.mark.parametrize("body", [spins, spins_in_each_finally, catches_all_and_calls])
def test_signal_when_it_comes_as_code_is_being_ended_then_it_is_not_lost(
    body: Body, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends the code, at its next call or anywhere in it, must not end what was called for the signal."""
    report = watchdog._report

    def signaling(block: Block, frame: FrameType) -> None:
        report(block, frame)
        os.kill(os.getpid(), signal.SIGTERM)

    async def serve() -> None:
        stop = asyncio.Event()
        with stopping_on_signals(stop, None):
            with monkeypatch.context() as signaled:
                signaled.setattr(watchdog, "_report", signaling)
                with pytest.raises(WorkflowCodeFailed):
                    new_run(body).begin()
            await asyncio.wait_for(stop.wait(), 5)

    asyncio.run(serve())
