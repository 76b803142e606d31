import asyncio
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

import pytest

from levante_core.adapters.system import SystemClock
from levante_core.ports.queues import OutgoingMessage, ReceivedMessage
from levante_local.greenlets import call
from levante_local.queues.queues import InProcessQueues
from tests.fakes import FakeClock

FIFO = "tasks.fifo"
STANDARD = "timers"


class CountingClock(FakeClock):
    """Counts how often somebody looks at it."""

    looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return super().now()


@pytest.fixture
def clock() -> CountingClock:
    return CountingClock()


@pytest.fixture
def queues(clock: CountingClock) -> InProcessQueues:
    return with_both_kinds(InProcessQueues(clock))


def with_both_kinds(queues: InProcessQueues) -> InProcessQueues:
    queues.ensure(FIFO)
    queues.ensure(STANDARD)
    return queues


def to(group: str, body: str) -> OutgoingMessage:
    return OutgoingMessage(body, group, f"{group}-{body}")


def receive(
    queues: InProcessQueues, queue: str = FIFO, *, limit: int = 10, visibility: float = 30, consumer: str | None = None
) -> list[ReceivedMessage]:
    return queues.receive(queue, limit=limit, wait_seconds=0, visibility_seconds=visibility, consumer=consumer)


def waiting_receive(queues: InProcessQueues, queue: str = FIFO, limit: int = 10) -> asyncio.Task[list[ReceivedMessage]]:
    def wait() -> list[ReceivedMessage]:
        return queues.receive(queue, limit=limit, wait_seconds=20, visibility_seconds=30)

    return asyncio.create_task(call(wait))


async def until_idle() -> None:
    """Let the event loop do everything that it can do by now."""
    for _ in range(10):
        await asyncio.sleep(0)


def bodies(messages: list[ReceivedMessage]) -> list[str]:
    return [message.body for message in messages]


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


class TestConsumers:
    def test_release_consumer_hands_back_what_it_holds_and_nothing_else(self, queues: InProcessQueues) -> None:
        """A worker whose connection is gone loses its messages at once, in all queues; others keep theirs."""
        queues.send(FIFO, [to("g", "a"), to("h", "b"), to("i", "c")])
        queues.send(STANDARD, [OutgoingMessage("t")])
        receive(queues, limit=1, consumer="gone")
        receive(queues, limit=1, consumer="alive")
        receive(queues, limit=1)
        receive(queues, STANDARD, consumer="gone")
        queues.release_consumer("gone")
        assert [(message.body, message.receive_count) for message in receive(queues)] == [("a", 2)]
        assert bodies(receive(queues, STANDARD)) == ["t"]

    def test_release_consumer_when_its_message_moved_on_leaves_it_to_the_new_consumer(
        self, queues: InProcessQueues, clock: FakeClock
    ) -> None:
        """What expired, was handed back or deleted is no longer the consumer's."""
        queues.send(FIFO, [to("expired", "a"), to("deleted", "b"), to("handed-back", "c")])
        _, deleted, handed_back = receive(queues, consumer="gone")
        queues.delete(FIFO, [deleted.receipt])
        queues.extend(FIFO, [handed_back.receipt], 0)
        clock.advance(31)
        assert bodies(receive(queues, consumer="alive")) == ["c", "a"]
        queues.release_consumer("gone")
        queues.release_consumer("never seen")
        assert receive(queues) == []

    def test_release_consumer_wakes_who_waits_for_its_messages(self, queues: InProcessQueues) -> None:
        """Takeover is immediate: nobody waits for the visibility to end."""

        async def main() -> None:
            queues.send(FIFO, [to("g", "a")])
            receive(queues, consumer="gone")
            receiver = waiting_receive(queues)
            await until_idle()
            queues.release_consumer("gone")
            assert bodies(await receiver) == ["a"]

        run(main)


class TestReceipts:
    @pytest.mark.parametrize("queue", [FIFO, STANDARD])
    def test_receipt_when_visibility_ended_is_lost_even_before_the_next_receive(
        self, queues: InProcessQueues, clock: FakeClock, queue: str
    ) -> None:
        """As on an SQS FIFO queue: an expired receipt neither prolongs nor deletes, so a late worker learns of it."""
        queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a")])
        (message,) = receive(queues, queue)
        clock.advance(30)
        queues.delete(queue, [message.receipt])
        assert queues.extend(queue, [message.receipt], 30) == [message.receipt]
        assert bodies(receive(queues, queue)) == ["a"]

    def test_receipt_when_made_by_an_earlier_process_is_lost(self, queues: InProcessQueues) -> None:
        """After a restart a worker's old receipt must not fit somebody else's message."""
        earlier = with_both_kinds(InProcessQueues(FakeClock()))
        for each in (earlier, queues):
            each.send(FIFO, [to("g", "a")])
        (old,), (new,) = receive(earlier), receive(queues)
        assert queues.extend(FIFO, [old.receipt], 30) == [old.receipt]
        assert queues.extend(FIFO, [new.receipt], 30) == []

    def test_receive_when_no_message_is_wanted_is_refused(self, queues: InProcessQueues) -> None:
        """A receive of nothing is a mistake of the caller, not an empty answer."""
        with pytest.raises(ValueError, match="at least one"):
            receive(queues, limit=0)


class TestWaiting:
    def test_receive_when_nothing_happens_does_nothing_at_all(self, queues: InProcessQueues, clock: CountingClock) -> None:
        """Nothing runs when nothing happens: a waiting receiver looks at neither clock nor queue."""

        async def main() -> None:
            receivers = [waiting_receive(queues) for _ in range(5)]
            await until_idle()
            looks = clock.looks
            await until_idle()
            assert clock.looks == looks
            clock.advance(20)
            queues.wake()
            assert await asyncio.gather(*receivers) == [[]] * 5

        run(main)

    def test_queue_when_somebody_waits_or_holds_a_message_then_it_is_attended(
        self, queues: InProcessQueues, clock: FakeClock
    ) -> None:
        """Whoever waits for an answer of a worker hears soon that there is none; between two polls there is one."""

        async def main() -> None:
            assert not queues.is_attended(FIFO)
            receiver = waiting_receive(queues)
            await until_idle()
            assert queues.is_attended(FIFO)
            assert not queues.is_attended(STANDARD)
            queues.send(FIFO, [to("g", "a")])
            (message,) = await receiver
            assert queues.is_attended(FIFO)
            queues.delete(FIFO, [message.receipt])
            clock.advance(1)
            assert queues.is_attended(FIFO)
            clock.advance(0.1)
            assert not queues.is_attended(FIFO)

        run(main)

    @pytest.mark.parametrize("what", ["visibility", "delay"])
    def test_receive_when_something_falls_due_wakes_by_the_clock(
        self, queues: InProcessQueues, clock: FakeClock, what: str
    ) -> None:
        """A set clock is noticed by `wake`."""
        queue = FIFO if what == "visibility" else STANDARD

        async def main() -> None:
            queues.send(queue, [to("g", "a") if queue == FIFO else OutgoingMessage("a", delay_seconds=10)])
            receive(queues, queue, visibility=10)
            receiver = waiting_receive(queues, queue)
            await until_idle()
            clock.advance(9)
            queues.wake()
            await until_idle()
            assert not receiver.done()
            clock.advance(1)
            queues.wake()
            assert bodies(await receiver) == ["a"]

        run(main)

    @pytest.mark.parametrize("others", [0, 3])
    def test_receive_when_somebody_takes_a_message_meanwhile_looks_again_when_that_falls_due(self, others: int) -> None:
        """Somebody in line always keeps the time, although nothing was due when they lined up."""
        queues = with_both_kinds(InProcessQueues(SystemClock()))

        async def main() -> None:
            receivers = [waiting_receive(queues) for _ in range(1 + others)]
            await until_idle()
            queues.send(FIFO, [to("g", "a")])
            assert bodies(receive(queues, visibility=0.01)) == ["a"]
            done, rest = await asyncio.wait(receivers, timeout=15, return_when=asyncio.FIRST_COMPLETED)
            assert [bodies(task.result()) for task in done] == [["a"]]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)

        run(main)

    @pytest.mark.parametrize("when", ["before it notices", "after it looked again"])
    def test_receive_when_the_one_that_was_woken_is_cancelled_wakes_the_next(self, when: str) -> None:
        """A message, or the watch over a due time, passes on to the next in line and is not lost with one of them."""
        queues = with_both_kinds(InProcessQueues(SystemClock()))

        async def main() -> None:
            first, second = waiting_receive(queues), waiting_receive(queues)
            await until_idle()
            queues.send(FIFO, [to("g", "a")])
            if when == "after it looked again":
                receive(queues, visibility=0.5)
                await until_idle()
            first.cancel()
            async with asyncio.timeout(15):
                assert bodies(await second) == ["a"]
            await asyncio.gather(first, return_exceptions=True)

        run(main)

    def test_receive_when_several_messages_come_at_once_wakes_as_many_as_it_takes(self, queues: InProcessQueues) -> None:
        """Each receiver that leaves wakes the next while there is something to take."""

        async def main() -> None:
            receivers = [waiting_receive(queues, limit=1) for _ in range(4)]
            await until_idle()
            queues.send(FIFO, [to("g", "a"), to("h", "b"), to("i", "c")])
            await until_idle()
            assert sorted(bodies([task.result()[0] for task in receivers if task.done()])) == ["a", "b", "c"]
            for task in receivers:
                task.cancel()
            await asyncio.gather(*receivers, return_exceptions=True)

        run(main)

    def test_receive_when_its_task_is_cancelled_takes_nothing(self, queues: InProcessQueues) -> None:
        """A client that hung up holds no message."""

        async def main() -> None:
            receiver = waiting_receive(queues)
            await until_idle()
            receiver.cancel()
            await asyncio.gather(receiver, return_exceptions=True)
            queues.send(FIFO, [to("g", "a")])
            assert [message.receive_count for message in receive(queues)] == [1]

        run(main)


def python_calls(action: Callable[[], object]) -> int:
    """Count the calls that an action makes, which says more than a stopwatch."""
    calls = 0

    def count(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("blocked", [True, False])
def test_receive_when_there_are_ten_thousand_groups_works_as_little_as_with_ten(*, blocked: bool) -> None:
    """No operation looks through messages or groups, be they in flight or waiting."""

    def cost(groups: int) -> int:
        queues = with_both_kinds(InProcessQueues(FakeClock()))
        queues.send(FIFO, [to(f"g{number}", "1") for number in range(groups)])
        if blocked:
            receive(queues, limit=groups)
            queues.send(FIFO, [to(f"g{number}", "2") for number in range(groups)] + [to("free", "1")])

        def one_turn() -> None:
            (message,) = receive(queues, limit=1)
            queues.extend(FIFO, [message.receipt], 60)
            queues.delete(FIFO, [message.receipt])

        return python_calls(one_turn)

    assert cost(10_000) <= cost(10) + 5


def test_queues_when_everything_was_dealt_with_keep_nothing(queues: InProcessQueues, clock: FakeClock) -> None:
    """Groups, receipts, consumers and due times go with their messages, however often they were extended."""
    queues.send(FIFO, [to("first", "a")])
    (first,) = receive(queues, visibility=30)
    for number in range(500):
        queues.send(FIFO, [to(f"g{number}", "a")])
        (message,) = receive(queues, visibility=60, consumer=f"c{number}")
        for seconds in (70, 50, 80):
            queues.extend(FIFO, [message.receipt], seconds)
        queues.delete(FIFO, [message.receipt])
    state = queues._queues[FIFO].state
    assert len(state._agenda._entries) < 200
    queues.delete(FIFO, [first.receipt])
    clock.advance(300)
    queues.send(FIFO, [to("last", "a")])
    queues.delete(FIFO, [message.receipt for message in receive(queues)])
    assert not state._groups
    assert not state._available
    assert not state._held
    assert not state._held_by
    assert len(state._accepted) == len(state._accepted_ids) == 1
