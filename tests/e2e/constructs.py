"""A workflow that does one thing which takes a while, so that processes can be killed in the middle of it."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import levante as workflows
from levante import workflow

A_WHILE = 2.0


class Answer(BaseModel):
    """What somebody says."""

    text: str


def note(trace: str, what: str) -> None:
    """Append a line to a file."""
    with Path(trace).open("a") as file:
        file.write(what + "\n")


@workflows.activity(name="construct-step")
async def step(trace: str, seconds: float = 0.0) -> str:
    """Leave a trace, and take some time."""
    note(trace, "step")
    await asyncio.sleep(seconds)
    return "done"


@workflows.activity(name="construct-tried")
async def tried(trace: str) -> str:
    """Fail at the first attempt."""
    note(trace, "attempt")
    if workflows.activity.info().attempt == 1:
        raise RuntimeError("the first attempt fails")
    return "tried again"


@workflows.activity(name="construct-beating", heartbeat_timeout=timedelta(seconds=A_WHILE))
async def beating(trace: str) -> list[Any]:
    """Beat until the end, unless an attempt before has: return what that one said."""
    while not workflows.activity.heartbeat_details():
        workflows.activity_heartbeat("row", 17)
        note(trace, "beat")
        await asyncio.sleep(0.1)
    return list(workflows.activity.heartbeat_details())


def is_let_go(trace: str) -> bool:
    """Tell whether somebody has had enough."""
    return Path(f"{trace}.enough").exists()


@workflows.activity(name="construct-patient", heartbeat_timeout=timedelta(seconds=A_WHILE))
async def patient(trace: str) -> str:
    """Beat until somebody has had enough."""
    while not is_let_go(trace):
        workflows.activity_heartbeat()
        note(trace, "beat")
        await asyncio.sleep(0.1)
    return "was let go"


@workflows.activity(name="construct-sticky", sticky_to_worker=True)
async def sticky(trace: str) -> str:
    """Stay with a worker for a while."""
    note(trace, "sticky")
    await asyncio.sleep(10 * A_WHILE)
    return "stuck to it"


@workflows.activity(name="construct-signed")
async def signed(trace: str) -> str:
    """Give the token away."""
    note(trace, workflows.activity.info().task_token)
    workflows.activity.complete_later()


@workflow.define(name="construct")
class Construct(workflows.InteractiveWorkflow):
    """Does what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = ""

    @workflow.entrypoint
    async def run(self, name: str, trace: str, rounds: int = 0) -> Any:
        """Return something else for each: name is that of a method."""
        return await getattr(self, name)(trace, rounds)

    async def timer(self, *_: Any) -> str:
        """Sleep."""
        await workflow.sleep(A_WHILE)
        return "slept"

    async def child(self, trace: str, _: int) -> Any:
        """Wait for another one."""
        return await workflow.execute_workflow(Construct, {"name": "timer", "trace": trace})

    async def message(self, trace: str, _: int) -> str:
        """Wait for a signal or an update."""
        await step(trace)
        await workflow.wait_condition(lambda: bool(self.heard))
        return self.heard

    async def back_off(self, trace: str, _: int) -> str:
        """Wait for the second attempt."""
        return await tried(trace)

    async def heartbeat(self, trace: str, _: int) -> list[Any]:
        """Wait for an activity that beats."""
        return await beating(trace)

    async def patience(self, trace: str, _: int) -> str:
        """Wait for an activity that goes on whatever happens to others."""
        return await patient(trace)

    async def sticky_session(self, trace: str, _: int) -> str:
        """Begin again with another session when the worker of the first one is gone."""
        while True:
            with suppress(workflows.ActivityError):
                async with workflows.run_sticky_worker_session():
                    return await sticky(trace)

    async def continue_as_new(self, trace: str, rounds: int) -> str:
        """Come round and round."""
        await step(trace, 0.1)
        if rounds:
            workflow.continue_as_new({"name": "continue_as_new", "trace": trace, "rounds": rounds - 1})
        return "came round"

    async def cancellation(self, trace: str, _: int) -> str:
        """Clean up when it is cancelled."""
        with suppress(asyncio.CancelledError):
            await workflow.sleep(3600)
        return await step(trace, A_WHILE)

    async def completion(self, trace: str, _: int) -> str:
        """Wait for somebody with a token."""
        return await signed(trace)

    async def form(self, *_: Any) -> str:
        """Wait for somebody who says something."""
        return (await self.wait_for_input(Answer, label="say something")).text

    @workflow.signal()
    def hear(self, text: str) -> None:
        """Hear a text."""
        self.heard = text

    @workflow.update()
    async def tell(self, trace: str) -> str:
        """Take some time, and answer."""
        self.heard = await step(trace, A_WHILE)
        return f"heard that it is {self.heard}"
