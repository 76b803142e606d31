"""Dependencies in workers: made when one starts, shared by all it runs, torn down when it has stopped."""
# ruff: noqa: B008 - Depends is made to be called there, and changes nothing

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import levante as workflows
from levante import DependencyInjector, Depends
from levante_core.errors import NotFound
from tests.support.direct import WORKSPACE, Installation

SAID: list[str] = []
"""What providers and activities did, in order."""


@pytest.fixture(autouse=True)
def _silence() -> None:
    SAID.clear()


class Ledger:
    """Something that JSON cannot carry."""

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self.entries: list[str] = []


@contextmanager
def get_currency() -> Iterator[str]:
    SAID.append("currency made")
    yield "EUR"
    SAID.append("currency over")


async def get_ledger(currency: str = Depends(get_currency)) -> AsyncIterator[Ledger]:
    SAID.append("ledger made")
    yield Ledger(currency)
    SAID.append("ledger over")


@workflows.activity(name="dependencies-enter")
async def enter(order: str, ledger: Ledger = Depends(get_ledger), *, cents: int = 100) -> str:
    """Make an entry, and say what the ledger holds by now."""
    ledger.entries.append(f"{order} {cents} {ledger.currency}")
    SAID.append(f"entered {order}")
    return ", ".join(ledger.entries)


@workflows.activity(name="dependencies-read")
def read(ledger: Ledger = Depends(get_ledger)) -> list[str]:
    """Read the ledger in a thread."""
    return ledger.entries


@workflows.activity(name="dependencies-enter-two")
async def enter_two(order: str) -> str:
    """Call another activity as a function, inside this one."""
    await enter(f"{order}a")
    return await enter(f"{order}b")


@workflows.workflow.define(name="dependencies")
class Entries:
    @workflows.workflow.entrypoint
    async def run(self, order: str) -> list[str]:
        await enter(order, cents=5)
        await enter_two(order)
        return await read()


ACTIVITIES = [enter, read, enter_two]
ENTRIES = ["1 5 EUR", "1a 100 EUR", "1b 100 EUR"]
MADE, OVER = ["currency made", "ledger made"], ["ledger over", "currency over"]
ENTERED = ["entered 1", "entered 1a", "entered 1b"]


def get_nothing(currency: str = Depends(get_currency)) -> str:
    raise ConnectionRefusedError(f"no bank takes {currency}")


@workflows.activity(name="dependencies-hopeless")
async def hopeless(nothing: str = Depends(get_nothing)) -> str:
    return nothing


@pytest.mark.parametrize("cached", [1000, 0], ids=["live", "always-replay"])
@pytest.mark.parametrize("through_queue", [False, True], ids=["in place", "through the queue"])
def test_worker_when_it_serves_then_all_activities_share_what_was_made_at_its_start(
    tmp_path: Path, cached: int, *, through_queue: bool
) -> None:
    """One value for the whole life of a worker, whoever runs what, torn down in reverse order after the last activity."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running():
            async with place.worker([Entries], ACTIVITIES, max_cached_workflows=cached):
                if through_queue:
                    place.believe_long("dependencies-enter")
                execution_id = await place.start("dependencies", {"order": "1"})
                assert (await place.result(execution_id)).ending.result == {"result": ENTRIES}
            assert [*MADE, *ENTERED, *OVER] == SAID
            events = (await place.history(execution_id))["events"]
            scheduled = [event for event in events if event["kind"] == "activity_scheduled"]
            assert [event["input"] for event in scheduled] == [{"order": "1", "cents": 5}, {"order": "1"}, {}]
            assert (scheduled[0]["owner"] is None) == through_queue

    asyncio.run(scenario())


def test_worker_when_killed_and_replaced_then_each_has_values_of_its_own(tmp_path: Path) -> None:
    """What a provider gives belongs to a process, not to an execution; only inputs and outcomes outlive it."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running():
            async with place.worker([Entries], ACTIVITIES) as worker:
                await place.result(await place.start("dependencies", {"order": "1"}))
                place.kill(worker)
            assert SAID[-2:] == OVER
            async with place.worker([Entries], ACTIVITIES):
                ended = await place.result(await place.start("dependencies", {"order": "1"}))
                assert ended.ending.result == {"result": ENTRIES}

    asyncio.run(scenario())


def test_worker_when_a_provider_fails_then_it_ends_before_it_takes_any_work(tmp_path: Path) -> None:
    """A worker that could not run its activities is no worker; the error says which provider to look at."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        async with place.running():
            said = r"provider \S+\.get_nothing failed: ConnectionRefusedError: no bank takes EUR"
            with pytest.raises(workflows.WorkflowsException, match=said):
                async with place.worker([Entries], [*ACTIVITIES, hopeless]) as worker:
                    await asyncio.wait([worker])
            with pytest.raises(NotFound):
                place.engine.catalogue.get(WORKSPACE, "dependencies")

    asyncio.run(scenario())
    assert [*MADE, *OVER] == SAID


def test_worker_when_started_inside_the_block_of_an_injector_then_it_uses_the_overrides(tmp_path: Path) -> None:
    """A test sees what the worker's activities did to its own ledger."""

    async def scenario() -> None:
        place = Installation(tmp_path)
        ledger = Ledger("CHF")
        async with place.running(), DependencyInjector({get_ledger: lambda: ledger}).with_dependencies():
            async with place.worker([Entries], ACTIVITIES):
                await place.result(await place.start("dependencies", {"order": "1"}))
            assert ledger.entries == ["1 5 CHF", "1a 100 CHF", "1b 100 CHF"]

    asyncio.run(scenario())
    assert SAID == ENTERED
