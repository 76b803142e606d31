"""Scenarios in which one run is held by hand, in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from levante.testing import run_in_virtual_time
from levante_core.protocol import Fact, SignalReceived
from tests.support.worker_context import Held
from tests.unit.levante.worker.runs.flows import ACTIVITIES

Scenario = Callable[[Held], Coroutine[Any, Any, None]]


def holding(
    workflow: type, value: Any = None, *, without: Sequence[Any] = (), **settings: Any
) -> Callable[[Scenario], None]:
    """Run a scenario with a run of this workflow. without: activities that the worker does not serve."""

    async def within(scenario: Scenario) -> None:
        served = [one for one in ACTIVITIES if one not in without]
        held = Held([workflow], served, value, **settings)
        try:
            await scenario(held)
        finally:
            held.forget()

    return lambda scenario: run_in_virtual_time(within(scenario))


def signal(number: int, at: datetime, name: str = "add", item: str | None = "x") -> SignalReceived:
    """Return a signal to a basket."""
    return SignalReceived(number=number, at=at, name=name, input={} if item is None else {"item": item})


def fact(number: int, at: datetime, name: str = "add", item: str | None = "x") -> Fact:
    """Return the fact that is this signal."""
    return Fact(key=f"M{number:08d}", input=signal(number, at, name, item))


async def until(condition: Callable[[], object], pause: float = 0.001) -> None:
    """Let the others go on until it holds. pause: 0 lets no time pass."""
    while not condition():
        await asyncio.sleep(pause)
