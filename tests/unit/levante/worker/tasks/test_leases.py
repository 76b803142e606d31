"""Leases: extended while there is work behind them, and what becomes of work whose lease is lost."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from levante.testing import run_in_virtual_time
from levante.worker.tasks.intake import Intake
from levante.worker.tasks.leases import AGAIN_SECONDS, EXTEND_EVERY_SECONDS, LeaseIsLost, Leases
from levante.worker.transport.api import ApiError, ApiUnreachable
from levante_core.protocol.workers import LEASE_SECONDS, HandBack, TaskQueue
from tests.support.runs_api import TasksInMemory

WORKFLOW, ACTIVITY = TaskQueue.WORKFLOW, TaskQueue.ACTIVITY


class Holding:
    """Leases that are kept, and tasks that hold them. ended: receipts whose block was left, and how."""

    def __init__(self, tasks: TasksInMemory) -> None:
        self.tasks = tasks
        self.leases = Leases(self.tasks)
        self.ended: dict[str, str] = {}

    def hold(self, *receipts: str, queue: TaskQueue = WORKFLOW, seconds: float = 1000.0) -> "asyncio.Task[None]":
        """Hold leases for a time."""

        async def work() -> None:
            try:
                async with self.leases.held(queue, receipts):
                    await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                self.ended.update(dict.fromkeys(receipts, "cancelled"))
                raise
            self.ended.update(dict.fromkeys(receipts, "done"))

        return asyncio.create_task(work())


def run(scenario: Callable[[Holding], Coroutine[Any, Any, None]], source: type[TasksInMemory] = TasksInMemory) -> None:
    async def within() -> None:
        holding = Holding(source())
        keeping = asyncio.create_task(holding.leases.keep())
        try:
            await scenario(holding)
        finally:
            assert not keeping.done(), "the loop that keeps leases never ends by itself"
            keeping.cancel()

    run_in_virtual_time(within())


def test_leases_when_work_takes_long_then_they_are_extended_well_before_they_end() -> None:
    """All of a queue in one call, and again and again; two calls in a row may fail."""
    assert 2 * EXTEND_EVERY_SECONDS < LEASE_SECONDS

    async def scenario(holding: Holding) -> None:
        holding.hold("a", "b")
        holding.hold("c")
        holding.hold("d", queue=ACTIVITY)
        await asyncio.sleep(2.5 * EXTEND_EVERY_SECONDS)
        assert holding.tasks.extended == [(WORKFLOW, ("a", "b", "c")), (ACTIVITY, ("d",))] * 2

    run(scenario)


def test_leases_when_the_work_is_over_then_they_are_extended_no_more() -> None:
    """Whether it ended by itself or not; nothing is asked while there is nothing to extend."""

    async def scenario(holding: Holding) -> None:
        holding.hold("a", seconds=1)
        other = holding.hold("b")
        await asyncio.sleep(2)
        other.cancel()
        await asyncio.sleep(1000)
        assert holding.tasks.extended == []
        holding.hold("c")
        await asyncio.sleep(EXTEND_EVERY_SECONDS + 1)
        assert holding.tasks.extended == [(WORKFLOW, ("c",))]

    run(scenario)


@pytest.mark.parametrize("queue", list(TaskQueue))
def test_lease_when_it_is_lost_then_its_work_is_cancelled_and_no_other(queue: TaskQueue) -> None:
    """Another worker carries on with the task."""

    async def scenario(holding: Holding) -> None:
        lost = holding.hold("a", "b", queue=queue)
        other = holding.hold("c", queue=queue)
        holding.tasks.lost = {"b"}
        await asyncio.sleep(EXTEND_EVERY_SECONDS + 1)
        assert lost.cancelled()
        assert not other.done()
        await asyncio.sleep(EXTEND_EVERY_SECONDS)
        assert holding.tasks.extended == [(queue, ("a", "b", "c")), (queue, ("c",))]
        assert holding.ended == {"a": "cancelled", "b": "cancelled"}

    run(scenario)


@pytest.mark.parametrize("refusal", [ApiUnreachable("/leases", "away"), ApiError(422, "no")], ids=["away", "refused"])
def test_leases_when_they_cannot_be_extended_then_they_are_tried_again_soon_and_the_work_goes_on(refusal: Exception) -> None:
    """A host that was started anew lets stand what it hears of within its first second."""

    async def scenario(holding: Holding) -> None:
        holding.tasks.refusal = refusal
        work = holding.hold("a", "b", "c", "d")
        await asyncio.sleep(EXTEND_EVERY_SECONDS + 3 * AGAIN_SECONDS)
        sizes = [len(receipts) for _, receipts in holding.tasks.extended]
        assert 3 <= sizes.count(4) - 1 <= 6
        assert (set(sizes) == {4}) == isinstance(refusal, ApiUnreachable), "an outage is nobody's fault"
        holding.tasks.refusal = None
        await asyncio.sleep(AGAIN_SECONDS)
        count = len(holding.tasks.extended)
        await asyncio.sleep(EXTEND_EVERY_SECONDS / 2)
        assert len(holding.tasks.extended) == count
        assert not work.done()

    run(scenario)


def test_lease_when_it_alone_is_to_blame_then_the_others_are_extended() -> None:
    """Invariant 11: one receipt that breaks the call lets nobody else's lease end."""
    kept: set[str] = set()

    class Picky(TasksInMemory):
        async def extend(self, _: TaskQueue, receipts: Sequence[str]) -> Sequence[str]:
            if "bad" in receipts:
                raise ApiError(500, "it broke")
            kept.update(receipts)
            return []

    async def scenario(holding: Holding) -> None:
        for receipt in ("a", "b", "bad", "c", "d"):
            holding.hold(receipt)
        await asyncio.sleep(0)
        assert not await holding.leases.renew()
        assert kept == {"a", "b", "c", "d"}

    run(scenario, Picky)


def test_leases_when_nobody_answers_then_the_call_is_given_up_before_they_end() -> None:
    """And made again: an answer that is lost must not keep the others from being extended."""
    calls: list[float] = []

    class Silent(TasksInMemory):
        async def extend(self, _: TaskQueue, __: Sequence[str]) -> Sequence[str]:
            calls.append(asyncio.get_running_loop().time())
            await asyncio.Event().wait()
            return []

    async def scenario(holding: Holding) -> None:
        work = holding.hold("a")
        await asyncio.sleep(LEASE_SECONDS)
        assert len(calls) == 2
        assert not work.done()

    run(scenario, Silent)


def test_confirmation_when_a_lease_is_lost_then_that_is_raised() -> None:
    """Who lost a commit asks whose turn it is before it goes on."""

    async def scenario(holding: Holding) -> None:
        await holding.leases.confirm(["a", "b"])
        assert holding.tasks.extended == [(WORKFLOW, ("a", "b"))]
        holding.tasks.lost = {"b"}
        with pytest.raises(LeaseIsLost):
            await holding.leases.confirm(["a", "b"])

    run(scenario)


# --- how leases end ---------------------------------------------------------------------------------------------------


def back(*receipts: str) -> list[HandBack]:
    """Return tasks that are given back."""
    return [HandBack(receipt=receipt, token="token") for receipt in receipts]


def test_leases_when_they_cannot_be_ended_then_that_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    """The work is done; a lease that is left ends by itself."""
    tasks = TasksInMemory()
    tasks.refusal = ValueError("no JSON")

    async def scenario() -> None:
        intake = Intake(tasks)
        await intake.done(ACTIVITY, ["a"])
        await intake.hand_back(ACTIVITY, back("a", "b"))
        tasks.refusal = None
        await intake.done(ACTIVITY, ["a"])
        await intake.hand_back(ACTIVITY, back("b", "c"))

    asyncio.run(scenario())
    assert "cannot be ended" in caplog.text
    assert caplog.text.count("cannot be handed back") == 2
    assert tasks.ended == [(ACTIVITY, "a")]
    assert tasks.handed_back == [(ACTIVITY, one) for one in back("b", "c")]


def test_task_when_it_alone_cannot_be_handed_back_then_the_others_are() -> None:
    """Each is somebody's work; none is handed back twice."""
    returned: list[str] = []

    class Picky(TasksInMemory):
        async def hand_back(self, queue: TaskQueue, some: Sequence[HandBack]) -> None:
            if "bad" in {one.receipt for one in some}:
                raise ApiError(422, "no such task")
            returned.extend(one.receipt for one in some)

    asyncio.run(Intake(Picky()).hand_back(ACTIVITY, back("a", "bad", "b", "c")))
    assert sorted(returned) == ["a", "b", "c"]
