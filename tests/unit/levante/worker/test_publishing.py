"""Events of custom tasks on their way out: in order, in few calls, and never in the way of the work."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest

from levante.worker.activities import publisher as publishing
from levante.worker.activities.attempt import Attempt
from levante.worker.activities.publisher import BATCH_EVENTS, Publisher
from levante.worker.payloads import PLAIN
from levante.worker.transport.batcher import Batcher
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import ActivityOptions, ActivityWork, TaskEvent, TaskPhase
from levante_core.protocol.activities import Publication, PublicationResult

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ATTEMPT = Attempt(
    "e", "r", WorkerPool.parse("d"), 3, 1, "token", ActivityWork(name="a", input=None, options=ActivityOptions())
)


class Api:
    """Takes what is published, once it is let. broken: how many of the next calls fail. has_run: whether anybody is told.

    calls: what each had of each publisher. is_called: set once somebody has called.
    """

    def __init__(self) -> None:
        self.calls: list[list[Publication]] = []
        self.open = asyncio.Event()
        self.is_called = asyncio.Event()
        self.broken = 0
        self.has_run = True

    async def publish_task_events(self, publications: list[bytes]) -> list[PublicationResult]:
        self.is_called.set()
        await self.open.wait()
        if self.broken:
            self.broken -= 1
            raise TimeoutError
        self.calls.append([Publication.model_validate_json(one) for one in publications])
        return [PublicationResult(last_sequence=100 * len(self.calls) if self.has_run else None) for _ in publications]

    def numbers(self) -> list[list[int]]:
        return [[one.number for one in publication.events] for call in self.calls for publication in call]


def event(size: int = 1) -> TaskEvent:
    return TaskEvent(task_id="t", task_type="t", phase=TaskPhase.IN_PROGRESS, payload="x" * size)


def run(scenario: Callable[[Api, Publisher], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        api: Any = Api()
        await scenario(api, Publisher(Batcher(api.publish_task_events), lambda: NOW, ATTEMPT, PLAIN))

    asyncio.run(within())


def test_publisher_when_events_come_while_it_sends_then_they_share_the_next_call() -> None:
    """One call at a time keeps them in order; each call says where the one before ended."""

    async def scenario(api: Api, publisher: Publisher) -> None:
        publisher.publish(event())
        await api.is_called.wait()
        publisher.publish(event())
        publisher.publish(event())
        api.open.set()
        await publisher.drain()
        publisher.publish(event())
        await publisher.drain()
        assert api.numbers() == [[1], [2, 3], [4]]
        assert [one.after for (one,) in api.calls] == [None, 100, 200]
        assert len({one.publisher for (one,) in api.calls}) == 1

    run(scenario)


def test_publishers_when_several_tell_at_once_then_they_share_calls() -> None:
    """However many activities stream, a worker has one call under way; the events of each stay in order."""

    async def scenario(api: Api) -> None:
        calls = Batcher(api.publish_task_events)
        publishers = [Publisher(calls, lambda: NOW, ATTEMPT, PLAIN) for _ in range(5)]
        for _ in range(3):
            for publisher in publishers:
                publisher.publish(event())
            await asyncio.sleep(0)
        api.open.set()
        for publisher in publishers:
            await publisher.drain()
        assert len(api.calls) <= 3, "15 events, of five publishers"
        reports = [(one.publisher, reports.number) for call in api.calls for one in call for reports in one.events]
        for name in {name for name, _ in reports}:
            assert [number for whose, number in reports if whose == name] == [1, 2, 3]

    asyncio.run(scenario(Api()))


def test_publisher_when_it_waits_for_the_calls_of_others_then_what_comes_meanwhile_goes_with_it() -> None:
    """Its turn may be long in coming where many tell; what it says until then need not wait for one more."""

    async def scenario(api: Api) -> None:
        calls = Batcher(api.publish_task_events)
        first, second = (Publisher(calls, lambda: NOW, ATTEMPT, PLAIN) for _ in range(2))
        first.publish(event())
        await api.is_called.wait()
        for _ in range(3):
            second.publish(event())
            await asyncio.sleep(0)
        api.open.set()
        await second.drain()
        assert api.numbers() == [[1], [1, 2, 3]]

    asyncio.run(scenario(Api()))


def test_publisher_when_it_is_given_up_before_its_turn_then_nothing_of_it_is_sent(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And those that share its calls are not held up."""
    monkeypatch.setattr(publishing, "DRAIN_SECONDS", 0.01)
    monkeypatch.setattr(publishing, "DRAIN_SECONDS_PER_EVENT", 0.001)

    async def scenario(api: Api) -> None:
        calls = Batcher(api.publish_task_events)
        first, second, third = (Publisher(calls, lambda: NOW, ATTEMPT, PLAIN) for _ in range(3))
        first.publish(event())
        await api.is_called.wait()
        second.publish(event())
        await second.drain()
        third.publish(event())
        api.open.set()
        await third.drain()
        assert [[len(one.events) for one in call] for call in api.calls] == [[1], [1]]

    asyncio.run(scenario(Api()))
    assert "dropped" in caplog.text


def test_publisher_when_nobody_is_told_then_it_falls_silent() -> None:
    """An attempt that outlived its run goes on as it likes; its calls would be in vain."""

    async def scenario(api: Api, publisher: Publisher) -> None:
        api.open.set()
        api.has_run = False
        publisher.publish(event())
        await publisher.drain()
        publisher.publish(event())
        await publisher.drain()
        assert api.numbers() == [[1]]

    run(scenario)


def test_publisher_when_there_are_many_then_calls_have_a_limit() -> None:
    """Of events, and of bytes; an event that is larger than that goes alone."""

    async def scenario(api: Api, publisher: Publisher) -> None:
        api.open.set()
        sizes = [900_000, 900_000, 900_000, publishing.BATCH_BYTES + 1, *BATCH_EVENTS * [1], 1]
        for size in sizes:
            publisher.publish(event(size))
        await publisher.drain()
        assert [len(call) for call in api.numbers()] == [2, 1, 1, BATCH_EVENTS, 1]

    run(scenario)


def test_publisher_when_the_api_fails_then_the_work_goes_on_and_later_events_are_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was lost is in the log."""

    async def scenario(api: Api, publisher: Publisher) -> None:
        api.open.set()
        api.broken = 1
        publisher.publish(event())
        await publisher.drain()
        publisher.publish(event())
        await publisher.drain()
        assert api.numbers() == [[2]]

    run(scenario)
    assert [one.message for one in caplog.records] == ["1 events of custom tasks cannot be sent: dropped"]


def test_publisher_when_the_api_hangs_then_draining_ends(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outcome of the attempt is worth more than what it tells."""
    monkeypatch.setattr(publishing, "DRAIN_SECONDS", 0.01)
    monkeypatch.setattr(publishing, "DRAIN_SECONDS_PER_EVENT", 0.001)

    async def scenario(api: Api, publisher: Publisher) -> None:
        publisher.publish(event())
        publisher.publish(event())
        await publisher.drain()
        assert api.numbers() == []

    run(scenario)
    assert "dropped" in caplog.text


def test_publisher_when_nothing_is_published_then_nothing_is_called() -> None:
    """Most activities publish no task."""

    async def scenario(api: Api, publisher: Publisher) -> None:
        await publisher.drain()
        assert api.calls == []

    run(scenario)
