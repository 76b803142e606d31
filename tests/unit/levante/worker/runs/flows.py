"""Workflows and activities for workers that are driven by hand. RAN: what the activities did, in order."""

import asyncio
from contextlib import suppress
from datetime import timedelta

import levante as workflows
from levante.attempts import complete_later

RAN: list[str] = []


@workflows.activity(name="driver-step", start_to_close_timeout=timedelta(hours=1))
async def step(label: str, seconds: float = 0.0) -> str:
    """Note that it ran, or that it was cancelled."""
    RAN.append(label)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        RAN.append(f"{label} cancelled")
        raise
    return label


@workflows.activity(name="driver-once", retry_policy_max_attempts=1)
async def once(label: str) -> str:
    """Be tried once."""
    RAN.append(label)
    return label


@workflows.activity(name="driver-flaky", start_to_close_timeout=timedelta(hours=1))
async def flaky(seconds: float = 0.0) -> str:
    """Fail."""
    RAN.append("flaky")
    await asyncio.sleep(seconds)
    raise ValueError("not today")


@workflows.activity(name="driver-large")
async def large(label: str) -> str:
    """Return nearly as much as a payload may have."""
    return label * 1_900_000


@workflows.activity(name="driver-patient", cancellation="wait", start_to_close_timeout=timedelta(hours=1))
async def patient(seconds: float) -> str:
    """Be waited for when cancelled."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        RAN.append("patient cancelled")
        raise
    return "patient"


@workflows.activity(name="driver-tidy", start_to_close_timeout=timedelta(hours=1))
async def tidy(seconds: float, deaf_to: int = 0) -> None:
    """Take so long to clean up. deaf_to: how often it takes no notice when it is cancelled."""
    for _ in range(deaf_to):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
    try:
        await asyncio.sleep(1000)
    except asyncio.CancelledError:
        RAN.append("begins to clean up")
        await asyncio.sleep(seconds)
        RAN.append("has cleaned up")
        raise


@workflows.activity(name="driver-elsewhere", start_to_close_timeout=timedelta(hours=1))
async def elsewhere() -> None:
    """Go on elsewhere."""
    complete_later()


ACTIVITIES = (step, once, flaky, large, patient, tidy, elsewhere)


@workflows.workflow.define(name="driver-chain")
class Chain:
    """Runs one step after the other."""

    @workflows.workflow.entrypoint
    async def run(self, steps: list[str], seconds: float = 0.0) -> list[str]:
        """Return what they return."""
        return [await step(label, seconds) for label in steps]


@workflows.workflow.define(name="driver-fan")
class Fan:
    """Runs large steps side by side."""

    @workflows.workflow.entrypoint
    async def run(self, labels: list[str]) -> int:
        """Return the size of what they return."""
        return sum(map(len, await asyncio.gather(*map(large, labels))))


@workflows.workflow.define(name="driver-once")
class Once:
    """Runs what may be tried once."""

    @workflows.workflow.entrypoint
    async def run(self) -> str:
        """Return what it returns."""
        return await once("once")


@workflows.workflow.define(name="driver-broken-once")
class BrokenOnce(Once):
    """Raises before it asks for anything, as often as `bugs` says."""

    bugs = 0

    @workflows.workflow.entrypoint
    async def run(self) -> str:
        if BrokenOnce.bugs:
            BrokenOnce.bugs -= 1
            raise RuntimeError("not fixed yet")
        return await super().run()


@workflows.workflow.define(name="driver-flaky")
class Flaky:
    """Runs what fails, beside a step that decides when it is over."""

    @workflows.workflow.entrypoint
    async def run(self, fails_after: float = 0.0, ends_after: float = 1000.0) -> str:
        """Return what the step returns."""
        failing = asyncio.create_task(flaky(fails_after))
        await asyncio.sleep(0)
        beside = await step("beside", ends_after)
        return f"{beside}, while the other one {'has ended' if failing.done() else 'has not'}"


@workflows.workflow.define(name="driver-basket")
class Basket:
    """Collects what signals bring until it is closed."""

    def __init__(self) -> None:
        self.items: list[str] = []
        self.is_closed = False

    @workflows.workflow.entrypoint
    async def run(self, first: str = "", seconds: float = 0.0) -> list[str]:
        """Begin with a step, if there is one."""
        if first:
            self.items.append(await step(first, seconds))
        await workflows.workflow.wait_condition(lambda: self.is_closed)
        return self.items

    @workflows.workflow.signal(name="add")
    def add(self, item: str) -> None:
        """Take an item."""
        self.items.append(item)

    @workflows.workflow.signal(name="fetch")
    async def fetch(self, item: str) -> None:
        """Take an item that a step brings."""
        self.items.append(await step(item))

    @workflows.workflow.signal(name="close")
    def close(self) -> None:
        """Close it."""
        self.is_closed = True

    @workflows.workflow.query(name="count")
    def count(self) -> int:
        """Tell how many items there are."""
        return len(self.items)


@workflows.workflow.define(name="driver-timers")
class Timers:
    """Waits for times side by side, then runs a step."""

    @workflows.workflow.entrypoint
    async def run(self, seconds: list[float], then: str = "", beside: str = "") -> list[float]:
        """Return the times in the order in which they came."""
        seen: list[float] = []

        async def wait(one: float) -> None:
            await asyncio.sleep(one)
            seen.append(one)

        also = asyncio.create_task(once(beside)) if beside else None
        await asyncio.gather(*map(wait, seconds))
        if then:
            await step(then)
        if also:
            await also
        return seen


@workflows.workflow.define(name="driver-impatient")
class Impatient:
    """Waits for a step for so long."""

    @workflows.workflow.entrypoint
    async def run(self, limit: float, is_patient: bool = False) -> str:  # noqa: FBT001, FBT002 - a field of the input
        """Go on without it, with another step."""
        try:
            await asyncio.wait_for(patient(1000) if is_patient else step("slow", 1000), limit)
        except TimeoutError:
            return f"gave up, {await step('then', 0.1)}"
        return "got it"


@workflows.workflow.define(name="driver-buggy")
class Buggy:
    """Has a bug behind its first step, while another one is under way."""

    @workflows.workflow.entrypoint
    async def run(self, other_seconds: float = 0.0) -> None:
        """Raise what is a bug."""
        other = asyncio.create_task(step("other", other_seconds))
        await step("first", 1.0)
        other.add_done_callback(print)
        raise KeyError("a bug")


@workflows.workflow.define(name="driver-keyed")
class Keyed:
    """Can be found by what it has done."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Add a key before a step and none after it."""
        workflows.workflow.add_search_keys({"stage": "first"})
        await step("a")
        await step("b")


@workflows.workflow.define(name="driver-tidy")
class Tidy:
    """Runs what takes a while to clean up."""

    @workflows.workflow.entrypoint
    async def run(self, seconds: float, deaf_to: int = 0) -> None:
        """Wait for it."""
        await tidy(seconds, deaf_to)


@workflows.workflow.define(name="driver-elsewhere")
class Aside:
    """Runs what goes on elsewhere."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Wait for it."""
        await elsewhere()
