"""Workflows for the scenarios, and what they should come to."""

import asyncio
from collections import Counter
from datetime import timedelta

import levante as workflows

RUNS: Counter[str] = Counter()
"""How often the body of each activity ran, by a key of the caller's."""


@workflows.activity(name="scenario-double")
async def double(key: str, number: int) -> int:
    """Return twice the number."""
    RUNS[f"{key}/{number}"] += 1
    return 2 * number


@workflows.activity(name="scenario-plain")
def plain(key: str) -> str:
    """Run in a thread."""
    RUNS[key] += 1
    return key


@workflows.activity(name="scenario-flaky", retry_policy_max_attempts=3, retry_policy_backoff_coefficient=1.0)
async def flaky(key: str, failures: int) -> int:
    """Fail so many times, then return the attempt that succeeded."""
    RUNS[key] += 1
    if RUNS[key] <= failures:
        raise ConnectionError(f"failure {RUNS[key]}")
    return RUNS[key]


@workflows.activity(name="scenario-slow", start_to_close_timeout=timedelta(seconds=0.2), retry_policy_max_attempts=1)
async def slow(key: str) -> None:
    """Take longer than its timeout."""
    RUNS[key] += 1
    await asyncio.sleep(30)


@workflows.workflow.define(name="scenario-chain")
class Chain:
    """One after the other, each with what the one before returned."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, length: int) -> int:
        """Return the length."""
        for number in range(length):
            assert await double(key, number) == 2 * number
        return length


@workflows.workflow.define(name="scenario-fan")
class Fan:
    """All at once, in a task group, with a queue between them."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, width: int) -> list[int]:
        """Return what the activities returned, in order of their numbers."""
        results: asyncio.Queue[int] = asyncio.Queue()

        async def one(number: int) -> None:
            await results.put(await double(key, number))

        async with asyncio.TaskGroup() as group:
            for number in range(width):
                group.create_task(one(number))
        return sorted([results.get_nowait() for _ in range(width)])


@workflows.workflow.define(name="scenario-waits")
class Waits:
    """Timers, time limits and conditions."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> list[str]:
        """Return what happened."""
        happened: list[str] = []
        began = workflows.workflow.now()
        await asyncio.sleep(0.05)
        if workflows.workflow.now() - began >= timedelta(seconds=0.05):
            happened.append("slept")
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 0.05)
        except TimeoutError:
            happened.append("gave up waiting")
        try:
            await slow(key)
        except workflows.ActivityError as error:
            happened.append(str(error.failure_kind))
        event = asyncio.Event()

        async def later() -> None:
            await asyncio.sleep(0.02)
            happened.append(await plain(f"{key}/plain"))
            event.set()

        task = asyncio.create_task(later())
        await workflows.workflow.wait_condition(event.is_set, timeout=timedelta(seconds=20))
        await task
        return happened


@workflows.workflow.define(name="scenario-retries")
class Retries:
    """An activity that fails before it succeeds, or does not."""

    @workflows.workflow.entrypoint
    async def run(self, key: str, failures: int) -> int:
        """Return the attempt that succeeded."""
        return await flaky(key, failures)


@workflows.workflow.define(name="scenario-random")
class RandomChoices:
    """Everything that would differ from run to run, were it not the run's own."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> bool:
        """Return whether what was drawn before an activity is what replay draws again."""
        drawn = [str(workflows.workflow.uuid4()), str(workflows.workflow.random().random())]
        for number in range(3):
            await double(key, number)
            drawn.append(str(workflows.workflow.uuid4()))
        return len(set(drawn)) == len(drawn)


IS_BROKEN = {"yes": True}


@workflows.workflow.define(name="scenario-bug")
class Bug:
    """Code with a bug after its first activity, until somebody mends it."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> int:
        """Return what both activities returned."""
        first, second = await asyncio.gather(double(key, 1), double(key, 2))
        if IS_BROKEN["yes"]:
            raise KeyError("a bug")
        return first + second + await double(key, 3)


@workflows.workflow.define(name="scenario-fails")
class Fails:
    """An error that fails the execution."""

    @workflows.workflow.entrypoint
    async def run(self, key: str) -> None:
        """Raise."""
        await double(key, 1)
        raise workflows.WorkflowError("on purpose")


ALL = [Chain, Fan, Waits, Retries, RandomChoices, Bug, Fails]
ACTIVITIES = [double, plain, flaky, slow]
