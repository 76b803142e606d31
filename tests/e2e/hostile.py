"""Workflows that would hold up their worker for ever, each in its own way, and one that is good."""

import asyncio
import urllib.request

import levante as workflows
from levante import workflow


def spin() -> int:
    """Never end, without a call."""
    steps = 0
    while True:
        steps += 1


@workflows.activity()
def double(number: int) -> int:
    """Return twice as much."""
    return 2 * number


@workflow.define(name="good")
class Good:
    """Does as it should."""

    @workflow.entrypoint
    async def run(self, number: int) -> int:
        """Return four times as much."""
        return await double(await double(number))


@workflow.define(name="hostile")
class Hostile:
    """Holds its worker up. kind: how."""

    @workflow.entrypoint
    async def run(self, kind: str) -> str:
        """Return only where the harm is done after the end."""
        if kind == "busy loop":
            spin()
        elif kind == "sleep(0) loop":
            while True:
                await asyncio.sleep(0)
        elif kind == "condition":
            await workflow.wait_condition(lambda: spin() > 0)
        elif kind == "network":
            urllib.request.urlopen("http://127.0.0.1:9/")  # noqa: ASYNC210 - this is the mistake
        elif kind == "swallower":
            self.task = asyncio.create_task(self._tick())
            await asyncio.sleep(0)
        elif kind == "finally":
            self.task = asyncio.create_task(self._clean_up())
            await asyncio.sleep(0)
        else:
            await workflow.wait_condition(lambda: False)
        return "ended"

    @workflow.query()
    def spins(self) -> int:
        """Never answer."""
        return spin()

    async def _tick(self) -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                continue

    async def _clean_up(self) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            spin()


@workflow.define(name="hostile_constructor")
class HostileConstructor:
    """Never comes to exist."""

    def __init__(self) -> None:
        spin()

    @workflow.entrypoint
    async def run(self) -> None:
        """Nothing comes so far."""
