"""What work costs in writes, messages and calls (design, section 6). Counted, not timed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import levante as workflows
from levante.worker.runs import driver
from levante_core.ports.item_store import ConditionFailed, Write
from levante_core.ports.queues import OutgoingMessage
from tests.support.direct import Installation


@workflows.activity(name="costs-step")
async def step(number: int) -> int:
    """Do next to nothing."""
    return number


@workflows.activity(name="costs-long")
async def long(number: int) -> int:
    """Do next to nothing, too; workers that know it take it for long."""
    return number


@workflows.workflow.define(name="costs-chain")
class Chain:
    """One activity after the other."""

    @workflows.workflow.entrypoint
    async def run(self, length: int) -> int:
        """Return the length."""
        for number in range(length):
            await step(number)
        return length


@workflows.workflow.define(name="costs-fan")
class Fan:
    """All activities at once."""

    @workflows.workflow.entrypoint
    async def run(self, width: int) -> int:
        """Return the sum."""
        return sum(await asyncio.gather(*[long(number) for number in range(width)]))


@workflows.workflow.define(name="costs-sleeper")
class Sleeper:
    """A long sleep."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Sleep for an hour."""
        await asyncio.sleep(3600)


@dataclass
class Costs:
    """What was spent since the last look."""

    place: Installation
    writes: int = 0
    messages: int = 0

    def watch(self) -> None:
        """Count from now on."""
        write_each, send = self.place.store.write_each, self.place.queues.send

        def counted_writes(groups: Sequence[Sequence[Write]]) -> list[ConditionFailed | None]:
            self.writes += len(groups)
            return write_each(groups)

        def counted_messages(queue: str, messages: Sequence[OutgoingMessage]) -> None:
            self.messages += len(messages)
            send(queue, messages)

        replaced: Any = self.place
        replaced.store.write_each, replaced.queues.send = counted_writes, counted_messages
        self.place.api.calls.clear()

    @property
    def calls(self) -> int:
        """How often the worker called the API, polls not counted."""
        return sum(count for path, count in self.place.api.calls.items() if not path.endswith(("/poll", "/heartbeat")))


@asynccontextmanager
async def counted(tmp_path: Path) -> AsyncIterator[Costs]:
    """An installation with a worker that has warmed up, and its counters.

    A run that goes on for seconds looks for messages once in each: on a busy machine it would be counted, too.
    """
    place = Installation(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(driver, "LOOK_SECONDS", 3600.0)
        async with _worked_by_one(place) as costs:
            yield costs


@asynccontextmanager
async def _worked_by_one(place: Installation) -> AsyncIterator[Costs]:
    async with place.running(), place.worker([Chain, Fan, Sleeper], [step, long]) as worker:
        await place.result(await place.start("costs-chain", {"length": 1}))
        costs = Costs(place)
        costs.watch()
        yield costs
        assert not worker.done()


def test_one_short_activity_when_run_then_it_costs_two_writes_one_message_one_call(tmp_path: Path) -> None:
    """The start, and one commit that records the activity and the end."""

    async def scenario() -> None:
        async with counted(tmp_path) as costs:
            await costs.place.result(await costs.place.start("costs-chain", {"length": 1}))
            assert (costs.writes, costs.messages, costs.calls) == (2, 1, 1), costs.place.api.calls

    asyncio.run(scenario())


def test_chain_of_a_hundred_when_run_then_it_costs_a_write_and_a_call_per_step(tmp_path: Path) -> None:
    """One durable write per step, one message for all of them."""

    async def scenario() -> None:
        async with counted(tmp_path) as costs:
            await costs.place.result(await costs.place.start("costs-chain", {"length": 100}))
            assert (costs.writes, costs.messages, costs.calls) == (101, 1, 100), costs.place.api.calls

    asyncio.run(scenario())


def test_fan_over_the_queue_when_run_then_it_costs_two_writes_messages_and_calls_each(tmp_path: Path) -> None:
    """Activities that are not run in place cost their task, their outcome and a commit; never more."""

    async def scenario() -> None:
        width = 100
        async with counted(tmp_path) as costs:
            costs.place.believe_long("costs-long")
            ended = await costs.place.result(await costs.place.start("costs-fan", {"width": width}))
            assert ended.ending.result == {"result": sum(range(width))}
            assert costs.writes <= 2 * width + 2
            assert width < costs.messages <= 2 * width + 1
            assert costs.calls <= 2 * width + 2

    asyncio.run(scenario())


def test_sleeper_when_it_sleeps_then_it_costs_two_writes_and_two_messages(tmp_path: Path) -> None:
    """The start and the timer; after that nothing at all."""

    async def scenario() -> None:
        async with counted(tmp_path) as costs:
            execution = await costs.place.start("costs-sleeper")
            while not any(event["kind"] == "timer_started" for event in (await costs.place.history(execution))["events"]):
                await asyncio.sleep(0)
            await costs.place.settled()
            assert (costs.calls, costs.messages) == (1, 1)
            assert costs.writes == 2 + 1, "the start, the timer in history, and its item: it is beyond the queue's reach"

    asyncio.run(scenario())
