"""What replaying a history costs, and what part of that is the determinism guard. Run by `make bench-replay`."""

import argparse
import asyncio
import json
from collections.abc import Callable
from functools import partial
from statistics import median
from time import process_time
from typing import Any

import levante as workflows
from levante import replay_history, workflow
from levante.testing import WorkflowEnvironment


@workflows.activity(name="bench-replay-step")
async def step(number: int) -> int:
    """Do nothing."""
    return number


def counted(amount: int) -> int:
    """Call a Python function and a built-in one so often, as code does that handles data."""
    return sum(len(_digits(number)) for number in range(amount))


def _digits(number: int) -> str:
    return str(number)


def steps_workflow(*, enforce_determinism: bool) -> type:
    """Make the workflow, with the guard or without."""

    @workflow.define(name="bench-replay", enforce_determinism=enforce_determinism)
    class Steps:
        @workflow.entrypoint
        async def run(self, steps: int, calls: int) -> int:
            return sum([await step(number) + counted(calls) for number in range(steps)])

    return Steps


async def record(steps: int, calls: int) -> dict[str, Any]:
    """Run the workflow once. Returns its history."""
    flow = steps_workflow(enforce_determinism=True)
    async with WorkflowEnvironment([flow], activities=[step]) as environment:
        execution = await environment.start(flow, {"steps": steps, "calls": calls})
        await execution.result()
        return dict((await execution.history()).document)


def seconds_of(work: Callable[[], Any]) -> float:
    """Measure the CPU time of a call."""
    began = process_time()
    work()
    return process_time() - began


def main() -> None:
    """Print a line for each shape: CPU microseconds per step with the guard and without, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    print(f"CPU microseconds per step, median of {given.rounds}")
    print(f"{'code per step':>20} {'guarded':>10} {'unguarded':>10} {'ratio':>6}")
    for calls in (0, 10, 100, 1000):
        history = json.loads(json.dumps(asyncio.run(record(given.steps, calls))))
        spent: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(given.rounds):
            for is_guarded, seconds in spent.items():
                flow = steps_workflow(enforce_determinism=is_guarded)
                seconds.append(seconds_of(partial(replay_history, history, flow)))
        guarded, unguarded = (1e6 * median(spent[one]) / given.steps for one in (True, False))
        print(f"{2 * calls:>14} calls {guarded:>10.1f} {unguarded:>10.1f} {guarded / unguarded:>6.2f}")


if __name__ == "__main__":
    main()
