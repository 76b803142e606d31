"""Workflows whose activities leave a trace in a file, one line when they start and one when they end."""

import asyncio
import os
import time

import levante as workflows


def note(path: str, what: str, step: int) -> None:
    """Append a whole line."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"{what} {step} {os.getpid()}\n".encode())
    finally:
        os.close(file)


@workflows.activity()
def step(path: str, number: int, seconds: float, ballast: str = "") -> int:
    """Take some time, and leave a trace of having done so."""
    note(path, "start", number)
    time.sleep(seconds)
    note(path, "end", number)
    return number


@workflows.workflow.define(name="steps")
class Steps:
    """One step after the other."""

    @workflows.workflow.entrypoint
    async def run(self, path: str, count: int, seconds: float, ballast: str = "") -> int:
        """Return the number of steps."""
        for number in range(count):
            await step(path, number, seconds, ballast)
        return count


@workflows.workflow.define(name="naps")
class Naps:
    """A step, a long pause, a step."""

    @workflows.workflow.entrypoint
    async def run(self, path: str, seconds: float) -> int:
        """Return 2."""
        await step(path, 1, 0)
        await asyncio.sleep(seconds)
        await step(path, 2, 0)
        return 2
