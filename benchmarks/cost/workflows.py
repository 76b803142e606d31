"""The workflows that are priced. Each stands for a shape; their activities do nothing, in so many milliseconds."""

import asyncio

import levante as workflows

ACTIVITY_SECONDS = 0.005


@workflows.activity(name="cost-step")
async def step(number: int) -> int:
    """Do next to nothing."""
    await asyncio.sleep(ACTIVITY_SECONDS)
    return number


@workflows.activity(name="cost-long")
async def long(number: int) -> int:
    """Do next to nothing, too; the worker takes it for long, and leaves it to the queue."""
    await asyncio.sleep(ACTIVITY_SECONDS)
    return number


@workflows.workflow.define(name="cost-chain")
class Chain:
    """One activity after the other."""

    @workflows.workflow.entrypoint
    async def run(self, length: int) -> int:
        """Return the length."""
        for number in range(length):
            await step(number)
        return length


@workflows.workflow.define(name="cost-fan")
class Fan:
    """All activities at once, each short."""

    @workflows.workflow.entrypoint
    async def run(self, width: int) -> int:
        """Return the sum."""
        return sum(await asyncio.gather(*[step(number) for number in range(width)]))


@workflows.workflow.define(name="cost-fleet")
class Fleet:
    """All activities at once, through the queue."""

    @workflows.workflow.entrypoint
    async def run(self, width: int) -> int:
        """Return the sum."""
        return sum(await asyncio.gather(*[long(number) for number in range(width)]))


@workflows.workflow.define(name="cost-order")
class Order:
    """Some activities, a signal that has to come, and a timer."""

    def __init__(self) -> None:
        self._is_paid = False

    @workflows.workflow.signal(name="paid")
    async def paid(self) -> None:
        """Go on."""
        self._is_paid = True

    @workflows.workflow.entrypoint
    async def run(self, length: int) -> int:
        """Do half of the work, wait for the signal and then for a minute, and do the rest."""
        for number in range(length // 2):
            await step(number)
        await workflows.workflow.wait_condition(lambda: self._is_paid)
        await asyncio.sleep(60)
        for number in range(length // 2, length):
            await step(number)
        return length


WORKFLOWS = (Chain, Fan, Fleet, Order)
ACTIVITIES = (step, long)
