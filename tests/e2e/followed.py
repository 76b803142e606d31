"""Workflows that are followed: many events, spread over some time, some of them of custom tasks."""

import asyncio

from pydantic import BaseModel

import levante as workflows


class Beats(BaseModel):
    """How many, and how long each of them takes."""

    count: int
    seconds: float


@workflows.activity()
async def beat(number: int, seconds: float) -> int:
    """Take some time, and tell half-way."""
    async with workflows.task("beat", {"text": ""}) as beat:
        await asyncio.sleep(seconds / 2)
        await beat.update_state({"text": f"beat {number}"})
        await asyncio.sleep(seconds / 2)
    return number


@workflows.workflow.define(name="alone")
class Alone:
    """One beat after the other."""

    @workflows.workflow.entrypoint
    async def run(self, beats: Beats) -> None:
        """End after the last one."""
        for number in range(beats.count):
            await beat(number, beats.seconds)


@workflows.workflow.define(name="together")
class Together:
    """Its own beats, and beside them those of a child."""

    @workflows.workflow.entrypoint
    async def run(self, beats: Beats) -> None:
        """End after the last one, and after the child."""
        child = asyncio.ensure_future(workflows.workflow.execute_workflow(Alone, beats))
        for number in range(beats.count):
            await beat(number, beats.seconds)
        await child


@workflows.activity()
async def shout(count: int, size_bytes: int) -> int:
    """Tell much: each state is another one as a whole."""
    async with workflows.task("shout", {"text": ""}) as shouted:
        for number in range(count):
            await shouted.set_state({"text": f"{number} {'x' * size_bytes}"})
    return count


@workflows.workflow.define(name="loud")
class Loud:
    """Tells much in little time."""

    @workflows.workflow.entrypoint
    async def run(self, count: int, size_bytes: int) -> int:
        """End when all is told."""
        return await shout(count, size_bytes)
