"""What it costs to know that a value arrives as it is. Run by `make bench-values`.

Beside each other: a value that is written and read as pydantic does, and the same with what finds losses. The last column is
the part that this adds to a step of an execution: an activity's input and result, on one machine, in memory.
"""

import argparse
import asyncio
import gc
from collections.abc import Callable
from datetime import UTC, datetime
from statistics import median
from time import process_time
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import from_json, to_json

import levante as workflows
from levante import workflow
from levante.definition.outputs import ActivityOutput
from levante.definition.schemas import Owner
from levante.errors import ErrorCode
from levante.testing import WorkflowEnvironment

OWNER = Owner("a benchmark", ErrorCode.ACTIVITY_DEFINITION_ERROR)


class Item(BaseModel):
    """A line of an order: nothing but what JSON carries as it is."""

    sku: str
    count: int
    price: float
    note: str | None = None


class Order(BaseModel):
    """What workflows typically pass on."""

    customer: str
    items: list[Item]
    labels: dict[str, str]


class Dated(BaseModel):
    """A model that has to be read back."""

    order: Order
    at: datetime
    total: int | float


def order(items: int) -> Order:
    """Make an order."""
    lines = [Item(sku=f"sku-{number}", count=number, price=number / 3) for number in range(items)]
    return Order(customer="ann", items=lines, labels={"region": "eu"})


def dated(items: int) -> Dated:
    """Make an order with a time."""
    return Dated(order=order(items), at=datetime(2026, 1, 2, tzinfo=UTC), total=1.5)


def anything(items: int) -> Any:
    """Make the same as JSON of any kind."""
    return order(items).model_dump(mode="json")


@workflows.activity(name="bench-values-step")
async def step(value: Dated) -> Dated:
    """Give the value back."""
    return value


@workflow.define(name="bench-values")
class Steps:
    """Passes a value to one activity after the other."""

    @workflow.entrypoint
    async def run(self, items: int, steps: int) -> int:
        value = dated(items)
        for _ in range(steps):
            value = await step(value)
        return len(value.order.items)


def plainly(hint: Any) -> Callable[[Any], Any]:
    """Return what checks and writes a value as pydantic does, and reads it."""
    adapter: TypeAdapter[Any] = TypeAdapter(hint)

    def cross(value: Any) -> Any:
        checked = adapter.validate_python(value)
        plain = from_json(adapter.dump_json(checked, round_trip=True, warnings="error"))
        return adapter.validate_json(to_json(plain))

    return cross


def watchfully(hint: Any) -> Callable[[Any], Any]:
    """Return what does the same and refuses losses."""
    output = ActivityOutput(OWNER, hint)
    return lambda value: output.load(output.dump(value))


def microseconds_of(cross: Callable[[Any], Any], value: Any, times: int) -> float:
    """Measure the CPU time of one crossing. The collector of garbage stays out, which falls on whoever comes at its time."""
    gc.collect()
    gc.disable()
    began = process_time()
    for _ in range(times):
        cross(value)
    spent = process_time() - began
    gc.enable()
    return spent / times * 1e6


async def step_microseconds(items: int, steps: int) -> float:
    """Measure the CPU time of a step, commit included."""
    async with WorkflowEnvironment([Steps], activities=[step]) as environment:
        began = process_time()
        await environment.execute(Steps, {"items": items, "steps": steps})
        return (process_time() - began) / steps * 1e6


def main() -> None:
    """Print a line for each kind of value and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"CPU microseconds, median of {rounds}")
    print(f"{'value':>24} {'JSON bytes':>10} {'plain':>10} {'checked':>10} {'ratio':>6} {'step':>10} {'of step':>8}")
    for items, times, steps in ((3, 2000, 300), (3000, 5, 20)):
        of_step = median(asyncio.run(step_microseconds(items, steps)) for _ in range(max(3, rounds // 3)))
        for name, hint, make in (("model", Order, order), ("model with a time", Dated, dated), ("Any", Any, anything)):
            value, ways = make(items), (plainly(hint), watchfully(hint))
            spent: tuple[list[float], list[float]] = ([], [])
            for _ in range(rounds):
                for way, found in zip(ways, spent, strict=True):
                    found.append(microseconds_of(way, value, times))
            plain, checked = (median(found) for found in spent)
            added = 2 * max(0.0, checked - plain) / of_step  # an input and a result
            size = len(to_json(value))
            print(f"{name:>24} {size:>10} {plain:>10.1f} {checked:>10.1f} {checked / plain:>6.2f}", end=" ")
            print(f"{of_step:>10.1f} {added:>8.1%}")


if __name__ == "__main__":
    main()
