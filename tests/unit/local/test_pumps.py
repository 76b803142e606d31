"""What AWS does between the services, on one machine: timers, the sweep, expiry, leases, the redrive at the start."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from levante_core.errors import Unavailable
from levante_core.ports.item_store import EXPIRES_AT, Item, Key, Put, Query
from levante_core.ports.queues import OutgoingMessage
from levante_core.services.dispatch.sender import TIMERS_QUEUE
from levante_dispatcher.handlers import DispatcherHandlers
from levante_local.pumps import (
    ALIVE_SECONDS,
    EXPIRED_AT_ONCE,
    SWEEP_SECONDS,
    TIMERS_BATCH,
    TIMERS_VISIBILITY_SECONDS,
    ExpiryPump,
    QueuesPump,
    RedriveAtStart,
    SweepPump,
    TimersPump,
)
from levante_local.queues.queues import STALLED_AFTER, InProcessQueues
from levante_local.sqlite.store import SqliteItemStore
from levante_local.supervision import Supervisor
from tests.fakes import FakeClock


@dataclass
class Timers:
    """A timers handler that refuses some messages, or fails. during: done while it has the messages."""

    refused: set[str] = field(default_factory=set)
    error: Exception | None = None
    during: Callable[[], object] = lambda: None
    batches: list[list[str]] = field(default_factory=list)

    @property
    def handlers(self) -> DispatcherHandlers:
        return DispatcherHandlers(_never, self.handle, _never)

    def handle(self, event: Mapping[str, Any], _: object) -> dict[str, Any]:
        records = event["Records"]
        self.batches.append([record["body"] for record in records])
        self.during()
        if self.error:
            raise self.error
        failed = [record["messageId"] for record in records if record["body"] in self.refused]
        return {"batchItemFailures": [{"itemIdentifier": name} for name in failed]}


def _never(_: object, __: object) -> dict[str, Any]:
    raise AssertionError("this handler is not called")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queues(clock: FakeClock) -> InProcessQueues:
    return InProcessQueues(clock)


@pytest.fixture
def timers() -> Timers:
    return Timers()


@pytest.fixture
def pump(queues: InProcessQueues, timers: Timers) -> TimersPump:
    return TimersPump(queues, timers.handlers, wait_seconds=0)


def send(queues: InProcessQueues, *bodies: str) -> None:
    queues.send(TIMERS_QUEUE, [OutgoingMessage(body) for body in bodies])


def available(queues: InProcessQueues) -> list[tuple[str, int]]:
    """Take what waits. Returns bodies, and how often they were delivered."""
    found = queues.receive(TIMERS_QUEUE, limit=100, wait_seconds=0, visibility_seconds=1)
    return [(message.body, message.receive_count) for message in found]


class TestTimers:
    def test_messages_when_all_were_dealt_with_then_none_comes_again(
        self, pump: TimersPump, queues: InProcessQueues, timers: Timers, clock: FakeClock
    ) -> None:
        """A timer fires once where nothing goes wrong."""
        send(queues, "a", "b")
        assert asyncio.run(pump.step()) == 0.0
        clock.advance(TIMERS_VISIBILITY_SECONDS + 1)
        assert available(queues) == []
        assert timers.batches == [["a", "b"]]

    def test_messages_when_the_handler_refuses_some_then_those_alone_come_again(
        self, pump: TimersPump, queues: InProcessQueues, timers: Timers, clock: FakeClock
    ) -> None:
        """What was not dealt with is not lost, and what was is not repeated."""
        send(queues, "a", "b", "c")
        timers.refused = {"b"}
        asyncio.run(pump.step())
        assert available(queues) == [], "not before its time"
        clock.advance(TIMERS_VISIBILITY_SECONDS + 1)
        timers.refused = set()
        asyncio.run(pump.step())
        assert timers.batches == [["a", "b", "c"], ["b"]]
        clock.advance(TIMERS_VISIBILITY_SECONDS + 1)
        assert available(queues) == []

    def test_messages_when_the_handler_takes_none_then_they_are_back_at_once_and_the_round_has_failed(
        self, pump: TimersPump, queues: InProcessQueues, timers: Timers
    ) -> None:
        """The supervisor hears of it and pauses; the messages need not wait longer than it does."""
        send(queues, "a", "b")
        timers.error = Unavailable("the disk is full")
        with pytest.raises(Unavailable):
            asyncio.run(pump.step())
        assert available(queues) == [("a", 2), ("b", 2)]

    def test_messages_when_the_process_ends_inside_the_handler_then_they_were_not_deleted(
        self, pump: TimersPump, queues: InProcessQueues, timers: Timers
    ) -> None:
        """A message goes when it was dealt with, not before."""
        held: list[bool] = []
        send(queues, "a")
        timers.during = lambda: held.append(queues.is_attended(TIMERS_QUEUE))
        asyncio.run(pump.step())
        assert held == [True]
        assert not queues.is_attended(TIMERS_QUEUE)

    def test_messages_while_the_handler_has_them_then_nobody_else_gets_them(
        self, pump: TimersPump, queues: InProcessQueues, timers: Timers, clock: FakeClock
    ) -> None:
        """A handler has a minute."""
        taken: list[Any] = []

        def look() -> None:
            clock.advance(TIMERS_VISIBILITY_SECONDS - 1)
            taken.extend(available(queues))

        timers.during = look
        send(queues, "a")
        asyncio.run(pump.step())
        assert TIMERS_VISIBILITY_SECONDS >= 30
        assert taken == []

    def test_messages_when_there_are_many_then_a_batch_is_no_larger_than_lambdas(
        self, pump: TimersPump, queues: InProcessQueues, timers: Timers
    ) -> None:
        """SQS hands over ten at most."""
        send(queues, *map(str, range(TIMERS_BATCH + 1)))
        asyncio.run(pump.step())
        asyncio.run(pump.step())
        assert [len(batch) for batch in timers.batches] == [10, 1]

    def test_round_when_nothing_is_due_then_the_handler_is_not_called(self, pump: TimersPump, timers: Timers) -> None:
        """An empty queue is made with the pump, and asks for nothing."""
        assert asyncio.run(pump.step()) == 0.0
        assert timers.batches == []

    def test_round_while_it_waits_for_a_message_then_the_loop_goes_on_and_a_message_ends_it(
        self, queues: InProcessQueues, timers: Timers
    ) -> None:
        """One look into the queue lasts long, and blocks nobody."""

        async def main() -> None:
            step = asyncio.create_task(TimersPump(queues, timers.handlers).step())
            await asyncio.sleep(0)
            assert not step.done()
            send(queues, "a")
            await step

        asyncio.run(main())
        assert timers.batches == [["a"]]


class TestLeases:
    def test_lease_when_the_process_stood_still_between_two_rounds_then_it_has_not_ended(
        self, queues: InProcessQueues, clock: FakeClock
    ) -> None:
        """The pump is what notices that a machine has slept."""
        pump = QueuesPump(queues)
        queues.ensure(TIMERS_QUEUE)
        send(queues, "a")
        assert asyncio.run(pump.step()) == ALIVE_SECONDS
        queues.receive(TIMERS_QUEUE, limit=1, wait_seconds=0, visibility_seconds=30)
        clock.advance(60)
        asyncio.run(pump.step())
        assert available(queues) == []

    def test_lease_when_the_process_goes_on_as_usual_then_it_ends_in_time(
        self, queues: InProcessQueues, clock: FakeClock
    ) -> None:
        """Rounds are frequent enough not to look like a standstill."""
        pump = QueuesPump(queues)
        queues.ensure(TIMERS_QUEUE)
        send(queues, "a")
        asyncio.run(pump.step())
        queues.receive(TIMERS_QUEUE, limit=1, wait_seconds=0, visibility_seconds=30)
        for _ in range(round(30 / ALIVE_SECONDS)):
            clock.advance(ALIVE_SECONDS)
            asyncio.run(pump.step())
        assert STALLED_AFTER.total_seconds() > ALIVE_SECONDS
        assert available(queues) == [("a", 2)]


class TestSweep:
    def test_sweep_while_it_reads_much_then_the_loop_goes_on_and_it_is_repeated_each_minute(self) -> None:
        """Many histories may be read, with nobody kept waiting."""
        goes_on = threading.Event()

        def sweep(_: object, __: object) -> dict[str, Any]:
            assert goes_on.wait(10), "the loop stands still"
            return {}

        async def main() -> float:
            step = asyncio.create_task(SweepPump(DispatcherHandlers(_never, _never, sweep)).step())
            await asyncio.sleep(0)
            goes_on.set()
            return await step

        assert asyncio.run(main()) == SWEEP_SECONDS

    def test_sweep_when_it_fails_then_the_round_has_failed(self) -> None:
        """The health check says so."""
        with pytest.raises(AssertionError, match="not called"):
            asyncio.run(SweepPump(DispatcherHandlers(_never, _never, _never)).step())


class TestExpiry:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteItemStore]:
        with closing(SqliteItemStore(tmp_path / "items.sqlite", "NORMAL")) as opened:
            yield opened

    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_expired_items_when_there_are_many_then_the_next_round_follows_at_once(
        self, store: SqliteItemStore, clock: FakeClock, more: int
    ) -> None:
        """Some at a time, so that others have their turn, until none is left; what has time left stays."""
        now, count = int(clock.now().timestamp()), EXPIRED_AT_ONCE + more
        store.write_each([[Put(Item(Key("old", str(number)), {EXPIRES_AT: now}))] for number in range(count)])
        store.write(Put(Item(Key("new", "n"), {EXPIRES_AT: now + 1})))
        pump = ExpiryPump(store, clock)
        pauses: list[float] = []
        while not pauses or pauses[-1] == 0.0:
            pauses.append(asyncio.run(pump.step()))
            assert len(store.query(Query("old")).items) == max(0, count - EXPIRED_AT_ONCE * len(pauses))
        assert pauses == [SWEEP_SECONDS] if more < 0 else [0.0, SWEEP_SECONDS]
        assert len(store.query(Query("new")).items) == 1
        clock.advance(1)
        asyncio.run(pump.step())
        assert store.query(Query("new")).items == []


class TestRedrive:
    @pytest.mark.parametrize("count", [0, 3])
    def test_redrive_when_it_is_done_then_there_is_no_further_round_and_the_log_says_what_carries_on(
        self, caplog: pytest.LogCaptureFixture, count: int
    ) -> None:
        """Once per process; callers need not wait for it."""
        goes_on = threading.Event()

        def redrive() -> int:
            assert goes_on.wait(10), "the loop stands still"
            return count

        async def main() -> None:
            keeping = asyncio.create_task(Supervisor(FakeClock()).keep("redrive", RedriveAtStart(redrive).step))
            await asyncio.sleep(0)
            goes_on.set()
            await keeping

        with caplog.at_level(logging.INFO, "levante.host"):
            asyncio.run(main())
        assert caplog.messages == (["3 open executions carry on"] if count else [])
