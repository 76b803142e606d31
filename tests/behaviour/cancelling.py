"""What becomes of activities and children when the code that waits for them is cancelled."""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

import levante as workflows
from levante import workflow
from tests.behaviour.driving import Behaviour, Driver, Ended, completed
from tests.behaviour.programs import LIMIT, echo

BEGUN_SECONDS = 1.0
"""By when an activity has begun, on a machine that does other work as well: one that has not ends at once."""
OFTEN = timedelta(seconds=1)
"""A timeout of heartbeats by which an activity learns within a second that it is asked to end."""


async def _until_asked(how: str) -> str:
    """Work until it is asked to end, then take some time for it. how: it ends then."""
    try:
        for _ in range(400):
            workflows.activity_heartbeat()
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        await asyncio.sleep(0.3)
        if how == "fails":
            raise workflows.WorkflowError("cannot be undone") from None
        if how != "finishes":
            raise
    return "done"


@workflows.activity(name="behaviour-waits", cancellation="wait", heartbeat_timeout=OFTEN)
async def in_place(how: str) -> str:
    """As it says."""
    return await _until_asked(how)


@workflows.activity(name="behaviour-waits-queue", cancellation="wait", rate_limit=LIMIT, heartbeat_timeout=OFTEN)
async def from_the_queue(how: str) -> str:
    """As it says."""
    return await _until_asked(how)


@workflows.activity(name="behaviour-waits-fails", cancellation="wait", rate_limit=LIMIT, retry_policy_max_attempts=9)
async def fails_at_first() -> str:
    """Fail at the first attempt, and never begin another one."""
    raise RuntimeError("try again")


@workflows.activity(name="behaviour-abandoned", cancellation="abandon")
async def goes_on(seconds: float) -> str:
    """Take its time, and end."""
    await asyncio.sleep(seconds)
    return "done"


CALLS: Mapping[str, Any] = {
    "in place": in_place,
    "from the queue": from_the_queue,
}


async def _how_it_ends(waiting: Awaitable[Any]) -> str:
    try:
        return str(await waiting)
    except asyncio.CancelledError:
        return "canceled"
    except workflows.ActivityError as error:
        return f"failed: {error.message.rpartition(': ')[2]}"
    except TimeoutError:
        return "timed out"


@workflow.define(name="behaviour-cancels-activity")
class CancelsActivity:
    """An activity that is asked to end is waited for until it has."""

    @workflow.entrypoint
    async def run(self, where: str, how: str) -> str:
        """See the class."""
        if where == "between attempts":
            waiting = asyncio.create_task(fails_at_first())
        else:
            waiting = asyncio.create_task(CALLS[where](how))
        await asyncio.sleep(0 if how == "at once" else BEGUN_SECONDS)
        waiting.cancel()
        waiting.cancel()
        return await _how_it_ends(waiting)


@workflow.define(name="behaviour-cancels-in-time")
class CancelsInTime:
    """Time limits and groups wait too."""

    @workflow.entrypoint
    async def run(self, how: str) -> str:
        """See the class."""
        if how == "timeout":
            async with asyncio.timeout(BEGUN_SECONDS):
                return await in_place("finishes")
        if how == "wait_for":
            return await _how_it_ends(asyncio.wait_for(in_place("gives in"), 0.3))
        if how == "gather":
            both = asyncio.gather(in_place("gives in"), from_the_queue("gives in"))
            asyncio.get_running_loop().call_later(0.3, both.cancel)
            return await _how_it_ends(both)
        ended: list[str] = []

        async def member() -> None:
            ended.append(await _how_it_ends(from_the_queue("finishes")))

        with suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(member())
                await asyncio.sleep(BEGUN_SECONDS)
                raise RuntimeError("all of you, end")
        return ended[0]


@workflow.define(name="behaviour-abandons-activity")
class AbandonsActivity:
    """An activity that is abandoned goes on."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        waiting = asyncio.create_task(goes_on(0.6))
        await asyncio.sleep(0.2)
        waiting.cancel()
        ended = await _how_it_ends(waiting)
        await asyncio.sleep(1)
        return [ended, await echo("on")]


@workflow.define(name="behaviour-canceled-child")
class CanceledChild:
    """Takes some time to end when it is asked to."""

    @workflow.entrypoint
    async def run(self, how: str) -> str:
        """See the class."""
        if how == "ends":
            await asyncio.sleep(0.5)
            return "ended"
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.3)
            await echo("tidied")
            if how == "gives in":
                raise
        return "done"


@workflow.define(name="behaviour-cancels-child")
class CancelsChild:
    """A child that is asked to end is waited for, or left alone."""

    @workflow.entrypoint
    async def run(self, by: str, how: str) -> list[str]:
        """See the class."""
        own = str(workflows.get_execution_id())
        options: dict[str, Any] = {"execution_id": f"{own}-child", "cancellation": "wait"}
        if by == "handle":
            handle = await workflow.execute_workflow(CanceledChild, {"how": how}, wait=False, **options)
            handle.cancel()
            return [await _how_it_ends(handle), await _how_it_ends(handle)]
        waiting = asyncio.create_task(workflow.execute_workflow(CanceledChild, {"how": how}, **options))
        await asyncio.sleep(0 if by == "at once" else 0.3)
        waiting.cancel()
        return [await _how_it_ends(waiting)]


@workflow.define(name="behaviour-abandons-child")
class AbandonsChild:
    """A child that is abandoned goes on; a handle of it may be awaited later, and asks it to end all the same."""

    @workflow.entrypoint
    async def run(self, how: str) -> list[str]:
        """See the class."""
        handle = await workflow.execute_workflow(CanceledChild, {"how": how}, wait=False, cancellation="abandon")

        async def wait() -> str:
            return str(await handle)

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0.2)
        waiting.cancel()
        ended = [await _how_it_ends(waiting)]
        if how == "gives in":
            handle.cancel()
        return [*ended, await _how_it_ends(handle)]


@workflow.define(name="behaviour-canceled-while-it-waits")
class CanceledWhileItWaits:
    """An execution that is cancelled ends when its activity has."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        return await from_the_queue("gives in")


@workflow.define(name="behaviour-cancels-many")
class CancelsMany:
    """Activities that run in parallel are asked to end, and waited for."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        items = ["gives in"] * 3
        waiting = asyncio.create_task(workflows.execute_activities_in_parallel(in_place, items=items))
        await asyncio.sleep(0.4)
        waiting.cancel()
        return await _how_it_ends(waiting)


async def _see_the_child_end(driver: Driver) -> None:
    """The child has ended when its parent goes on, and so it has when that ends."""
    await driver.result()
    assert await driver.other(f"{driver.execution_id}-child").status() in {"CANCELED", "COMPLETED"}


async def _see_it_complete(driver: Driver) -> None:
    await driver.result()
    kinds = await driver.kinds()
    assert "activity_cancel_requested" not in kinds
    assert kinds.count("activity_completed") == 2 or "activity_handed_over" in kinds, kinds


async def _cancel_it(driver: Driver) -> None:
    await driver.place.sleep(0.4)
    await driver.cancel()
    await driver.place.closed(driver.execution_id)
    kinds = await driver.kinds()
    assert kinds.index("activity_cancel_requested") < kinds.index("activity_failed") < kinds.index("execution_canceled")


LOST = "a worker that dies takes with it how its attempt would have ended"


def _activity(where: str, how: str, ends: str, *, no_deaths: str = "") -> Behaviour:
    return Behaviour(CancelsActivity, completed(ends), {"where": where, "how": how}, no_deaths=no_deaths)


BEHAVIOURS: Mapping[str, Behaviour] = {
    **{f"cancelled and waited for {where}": _activity(where, "gives in", "canceled") for where in CALLS},
    **{f"cancelled and waited for at once, {where}": _activity(where, "at once", "canceled") for where in CALLS},
    **{f"cancelled, and done all the same {where}": _activity(where, "finishes", "done", no_deaths=LOST) for where in CALLS},
    "cancelled between attempts": _activity("between attempts", "", "canceled"),
    "cancelled, and failing": _activity(
        "from the queue",
        "fails",
        "failed: cannot be undone",
        no_deaths=LOST,
    ),
    "a timeout waits for what it cancels": Behaviour(CancelsInTime, completed("done"), {"how": "timeout"}, no_deaths=LOST),
    "wait_for waits for what it cancels": Behaviour(CancelsInTime, completed("timed out"), {"how": "wait_for"}),
    "a gather waits for what it cancels": Behaviour(CancelsInTime, completed("canceled"), {"how": "gather"}),
    "a group waits for what it cancels": Behaviour(CancelsInTime, completed("done"), {"how": "group"}, no_deaths=LOST),
    "an activity that is abandoned": Behaviour(AbandonsActivity, completed(["canceled", "on"]), {}, _see_it_complete),
    "a child that is waited for by a task": Behaviour(
        CancelsChild, completed(["canceled"]), {"by": "task", "how": "gives in"}, _see_the_child_end
    ),
    "a child that is cancelled at once, and waited for": Behaviour(
        CancelsChild, completed(["canceled"]), {"by": "at once", "how": "gives in"}, _see_the_child_end
    ),
    "a child that is waited for by its handle": Behaviour(
        CancelsChild, completed(["canceled", "canceled"]), {"by": "handle", "how": "gives in"}, _see_the_child_end
    ),
    "a child that does not give in": Behaviour(
        CancelsChild, completed(["done", "done"]), {"by": "handle", "how": "goes on"}, _see_the_child_end
    ),
    "a child that is abandoned": Behaviour(AbandonsChild, completed(["canceled", "ended"]), {"how": "ends"}),
    "a child that is abandoned, then cancelled": Behaviour(
        AbandonsChild, completed(["canceled", "canceled"]), {"how": "gives in"}
    ),
    "an execution that waits for what it cancels": Behaviour(CanceledWhileItWaits, Ended("CANCELED"), {}, _cancel_it),
    "many that are waited for": Behaviour(CancelsMany, completed("canceled")),
}
