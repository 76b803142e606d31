"""The workflows of the streaming benchmark: one tells token by token, one waits, and one is done at once."""

import asyncio
import time
from datetime import timedelta

from pydantic import BaseModel

import levante as workflows
from levante import workflow

STREAM = "answer"
"""Type of the task, and so the name of the stream that its events are in."""


class Pace(BaseModel):
    """How many tokens, and how many a second."""

    count: int
    per_second: float


class Answer(BaseModel):
    """What has been written so far. Each token is the time at which it was written, in nanoseconds."""

    text: str = ""


@workflows.activity(start_to_close_timeout=timedelta(minutes=10))
async def write(pace: Pace) -> int:
    """Write tokens at a pace, as a model would."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with workflows.task(STREAM, Answer()) as answer:
        text = ""
        for number in range(pace.count):
            await asyncio.sleep(began + number / pace.per_second - loop.time())
            text += f"{time.time_ns()} "
            await answer.update_state({"text": text})
    return pace.count


@workflow.define(name="bench-write")
class Write:
    def __init__(self) -> None:
        self.may_begin = False

    @workflow.signal(name="begin")
    async def begin(self) -> None:
        self.may_begin = True

    @workflow.entrypoint
    async def run(self, count: int, per_second: float) -> int:
        await workflow.wait_condition(lambda: self.may_begin)
        return await write(Pace(count=count, per_second=per_second))


@workflow.define(name="bench-wait")
class Wait:
    @workflow.entrypoint
    async def run(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@workflows.activity()
async def give(number: int) -> int:
    """Do nothing."""
    return number


@workflow.define(name="bench-one")
class One:
    @workflow.entrypoint
    async def run(self, number: int) -> int:
        return await give(number)
