"""Workflows whose course hangs on what asyncio and Python leave open: order, garbage, and what is asked for at the end."""

import asyncio
import math
from asyncio import as_completed, wait
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from unittest.mock import ANY

import levante as workflows
from levante import workflow
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, refused
from tests.behaviour.programs import echo, echo_over_the_queue

NAMES = [f"n{number}" for number in range(12)]
speaker: ContextVar[str] = ContextVar("speaker", default="nobody")


async def _twice(name: str) -> tuple[str, str]:
    return name, await echo(await echo(name))


@workflow.define(name="behaviour-order")
class Order:
    """What belongs to whom, of many at once."""

    @workflow.entrypoint
    async def run(self, how: str) -> bool:
        """See the class."""
        found: dict[str, str] = {}
        match how:
            case "as completed":
                for earliest in as_completed([_twice(name) for name in NAMES]):
                    name, value = await earliest
                    found[name] = value
            case "wait for groups":
                left = {asyncio.gather(_twice(name), _twice(name[::-1])) for name in NAMES}
                while left:
                    ready, left = await wait(left, return_when=asyncio.FIRST_COMPLETED)
                    for group in ready:
                        for name, value in group.result()[:1]:
                            found[name] = await echo(value)
            case _:
                tasks = [asyncio.create_task(_twice(name)) for name in NAMES]
                done, pending = await asyncio.wait(tasks, timeout=3600)
                assert not pending
                for one in done | pending:
                    name, value = one.result()
                    found[name] = await echo(value)
        await asyncio.sleep(0.3)
        return found == {name: name for name in NAMES} and await echo("end") == "end"


@workflow.define(name="behaviour-canceled-group")
class CanceledGroup:
    """The members of a group are cancelled in the order in which they were made."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        ended: list[str] = []

        async def member(name: str) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.append(await echo(name))

        with suppress(TimeoutError):
            async with asyncio.timeout(0.1), asyncio.TaskGroup() as group:
                for name in NAMES:
                    group.create_task(member(name))
        return ended


@workflow.define(name="behaviour-generators")
class Generators:
    """Async generators that are left early are closed in the workflow, and so are those in a cycle that no code holds."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        closed: list[str] = []

        async def pages(name: str) -> AsyncIterator[str]:
            try:
                for number in range(100):
                    yield await echo(f"{name}{number}")
            finally:
                closed.append(await echo(f"{name} closed"))

        async for page in pages("a"):
            if page == "a1":
                break
        async for page in pages("b"):
            if page == "b0":
                break
        await workflow.wait_condition(lambda: len(closed) == 2)
        return [*closed, await echo("end")]


@workflow.define(name="behaviour-garbage")
class Garbage:
    """Tasks that nobody refers to go on, and those that wait for nothing do nothing in anybody's history."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        seen: list[str] = []

        async def go_on() -> None:
            await asyncio.sleep(0.1)
            seen.append(await echo("went on"))

        async def stuck() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                seen.append(await echo("never"))

        asyncio.create_task(go_on())  # noqa: RUF006 - nobody refers to it on purpose
        asyncio.create_task(stuck())  # noqa: RUF006 - same
        del go_on, stuck
        await echo("a")
        await workflow.wait_condition(lambda: bool(seen))
        return [*seen, await echo("b")]


@workflow.define(name="behaviour-contexts")
class Contexts:
    """Each task and each handler has context variables of its own, as asyncio documents."""

    def __init__(self) -> None:
        self.heard = ""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""
        speaker.set("run")

        async def other() -> str:
            before = speaker.get()
            speaker.set("other")
            await echo("x")
            return f"{before} then {speaker.get()}"

        task = asyncio.create_task(other())
        speaker.set("changed")
        heard = await task
        await workflow.wait_condition(lambda: bool(self.heard) and speaker.get() == "changed")
        return [heard, self.heard, speaker.get()]

    @workflow.signal()
    async def speak(self) -> None:
        """Say who speaks here."""
        before = speaker.get()
        speaker.set("handler")
        await echo("y")
        self.heard = f"{before} then {speaker.get()}"


@workflow.define(name="behaviour-consumers")
class Consumers:
    """Of two that wait for the same, one goes on for each thing that comes, and finds it there."""

    def __init__(self) -> None:
        self.things: list[str] = []
        self.seen: list[str] = []

    @workflow.entrypoint
    async def run(self) -> list[str]:
        """See the class."""

        async def consume(name: str) -> None:
            while True:
                await workflow.wait_condition(lambda: bool(self.things))
                self.seen.append(f"{name}:{self.things.pop(0)}")

        tasks = [asyncio.create_task(consume(name)) for name in "ab"]
        await workflow.wait_condition(lambda: len(self.seen) == 3)
        for task in tasks:
            task.cancel()
        return sorted(one.partition(":")[2] for one in self.seen)

    @workflow.signal()
    def put(self, thing: str) -> None:
        """Add one."""
        self.things.append(thing)


@workflow.define(name="behaviour-predicate")
class Predicate:
    """What a predicate raises, now or later, is raised where it is waited for."""

    def __init__(self) -> None:
        self.order: dict[str, str] = {"a": "new"}

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        await echo("x")
        try:
            await workflow.wait_condition(lambda: self.order["a"] == "paid")
        except KeyError:
            await echo("y")
        await workflow.wait_condition(self.refused)
        return "not reached"

    def refused(self) -> bool:
        """Raise on purpose, once it has been looked at before."""
        if self.order.get("b"):
            raise workflows.WorkflowError("refused by a predicate")
        self.order["b"] = "seen"
        return False

    @workflow.signal()
    def remove(self) -> None:
        """Let the predicate fail."""
        self.order.pop("a", None)


@workflow.define(name="behaviour-awaiting-update")
class AwaitingUpdate:
    """An update is answered also where what it waits for is cancelled, or takes too long."""

    def __init__(self) -> None:
        self.job: asyncio.Task[None] | None = None
        self.is_over = False

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        self.job = asyncio.create_task(asyncio.sleep(3600))
        await workflow.wait_condition(lambda: self.is_over)
        return "over"

    @workflow.update()
    async def wait_for_job(self) -> str:
        """Wait for what is cancelled meanwhile."""
        assert self.job
        asyncio.get_running_loop().call_later(0.1, self.job.cancel)
        await self.job
        return "done"

    @workflow.update()
    async def wait_in_vain(self) -> str:
        """Take too long."""
        await workflow.wait_condition(lambda: False, timeout=0.1)
        return "done"

    @workflow.signal()
    def end(self) -> None:
        """End the workflow."""
        self.is_over = True


async def _ask(driver: Driver) -> None:
    await refused(driver.update("wait_for_job"), 409, "HANDLER_FAILED", "was cancelled")
    await refused(driver.update("wait_in_vain"), 409, "HANDLER_FAILED", "TimeoutError")
    await driver.signal("end")


@workflow.define(name="behaviour-renewed")
class Renewed:
    """A run is continued as new wherever its code says so."""

    @workflow.entrypoint
    async def run(self, how: str) -> str:
        """See the class."""
        if how == "over":
            return await echo("second run")

        async def again() -> None:
            await echo("first run")
            workflow.continue_as_new({"how": "over"})

        match how:
            case "group":
                async with asyncio.TaskGroup() as group:
                    group.create_task(again())
                    group.create_task(asyncio.sleep(3600))
            case "background":
                task = asyncio.create_task(again())
                await asyncio.sleep(3600)
                await task
            case "gather":
                await asyncio.gather(again(), asyncio.sleep(3600), return_exceptions=True)
            case _:
                await asyncio.wait([asyncio.create_task(again())])
        return "went on"


@workflow.define(name="behaviour-sleeper")
class Sleeper:
    """A child that takes its time."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        await asyncio.sleep(3600)
        return "slept"


@workflow.define(name="behaviour-last-turn")
class LastTurn:
    """What is asked for in the turn in which the run ends is done."""

    @workflow.entrypoint
    async def run(self, how: str, child: str = "") -> str:
        """See the class."""
        child = child or f"{workflow.uuid4().hex}"
        if how == "over":
            return child
        handle = await workflow.execute_workflow(
            Sleeper, execution_id=child, wait=False, parent_close_policy=workflows.ParentClosePolicy.ABANDON
        )
        try:
            match how:
                case "group":

                    async def held() -> None:
                        async with asyncio.TaskGroup() as group:
                            group.create_task(_result(handle))

                    task = asyncio.create_task(held())
                    await echo("a")
                    task.cancel()
                case "raise":
                    handle.cancel()
                    raise workflows.WorkflowError(child)
                case "renewed":
                    handle.cancel()
                    workflow.continue_as_new({"how": "over", "child": child})
                case "return":
                    handle.cancel()
            return child
        finally:
            if how == "finally":
                handle.cancel()


async def _result(handle: Any) -> Any:
    return await handle


async def _child_is_canceled(driver: Driver) -> None:
    ended = await driver.ended()
    child = driver.other(ended.said or ended.result["result"])

    async def is_canceled() -> bool:
        return await child.status() == "CANCELED"

    await driver.until(is_canceled)


@workflow.define(name="behaviour-endless-timers")
class EndlessTimers:
    """Timers without an end wait until they are cancelled, and none is early."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        """See the class."""
        loop, seen = asyncio.get_running_loop(), []
        for endless in (math.inf, 1e300, timedelta.max):
            try:
                async with asyncio.timeout(0.05):
                    await workflow.sleep(endless)
            except TimeoutError:
                seen.append("waited")
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(0.01), math.inf)
            seen.append("slept")
        for share in range(1, 8):
            end, looks = loop.time() + share / 700 / 3, 0
            while (left := end - loop.time()) > 0:
                looks += 1
                await asyncio.sleep(left)
            assert looks <= 2
        return [*seen, await echo("end")]


@workflow.define(name="behaviour-drawing-query")
class DrawingQuery:
    """A query that draws random numbers changes nothing of what the workflow draws."""

    def __init__(self) -> None:
        self.is_over = False
        self.chance = workflow.random()

    @workflow.entrypoint
    async def run(self) -> bool:
        """See the class."""
        first = str(workflow.uuid4())
        await workflow.wait_condition(lambda: self.is_over)
        second = str(workflow.uuid4())
        recorded = [await echo_over_the_queue(first), await echo_over_the_queue(second)]
        return recorded == [first, second]

    @workflow.query()
    def draw(self) -> str:
        """Draw some, by the module's functions and by what the workflow has kept."""
        self.chance.random()
        return f"{workflow.uuid4()}{workflow.random().random()}{workflow.now()}"

    @workflow.signal()
    def end(self) -> None:
        """Let it go on."""
        self.is_over = True


async def _draw(driver: Driver) -> None:
    drawn = {await driver.query("draw") for _ in range(3)}
    assert len({one[:36] for one in drawn}) == 1
    await driver.signal("end")


@workflow.define(name="behaviour-hasty")
class Hasty:
    """Ends while handlers of it are at work, or waits for them."""

    def __init__(self) -> None:
        self.is_over = False

    @workflow.entrypoint
    async def run(self, waits: bool) -> str:  # noqa: FBT001 - inputs are given by name
        """See the class."""
        await workflow.wait_condition(lambda: self.is_over)
        if waits:
            await workflow.wait_condition(workflow.all_handlers_finished)
        return await echo("over")

    @workflow.signal()
    async def tidy(self, seconds: float) -> None:
        """Take a while."""
        self.is_over = True
        await asyncio.sleep(seconds)

    @workflow.signal(unfinished_policy="abandon")
    async def watch(self) -> None:
        """Never end."""
        await asyncio.sleep(math.inf)


def hasty(*, waits: bool) -> Behaviour:
    """Say that what is unfinished at the end is noted."""

    async def drive(driver: Driver) -> None:
        if not waits:
            await driver.signal("watch")
        await driver.signal("tidy", seconds=0.5 if waits else 3600)
        await driver.ended()
        noted = [one["handlers"] for one in (await driver.history())["events"] if one["kind"] == "handlers_unfinished"]
        assert noted == ([] if waits else [["tidy"]])

    return Behaviour(Hasty, completed("over"), {"waits": waits}, drive)


@workflow.define(name="behaviour-begun")
class Begun:
    """Cancelled before anybody ran it: it begins, and can clean up where it waits."""

    @workflow.entrypoint
    async def run(self) -> str:
        """See the class."""
        try:
            await echo_over_the_queue("a")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            return await echo("cleaned up")
        return "not cancelled"


async def _cancel_at_once(driver: Driver) -> None:
    await driver.cancel()


async def _speak(driver: Driver) -> None:
    await driver.signal("speak")


async def _put(driver: Driver) -> None:
    for thing in "xyz":
        await driver.signal("put", thing=thing)


async def _remove(driver: Driver) -> None:
    await driver.signal("remove")


BEHAVIOURS: Mapping[str, Behaviour] = {
    **{
        f"order: {how}": Behaviour(Order, completed(result=True), {"how": how})
        for how in ("as completed", "wait for groups", "wait for tasks")
    },
    "order: a group is cancelled": Behaviour(CanceledGroup, completed(NAMES)),
    "generators that are left": Behaviour(Generators, completed(["a closed", "b closed", "end"])),
    "tasks that nobody refers to": Behaviour(Garbage, completed(["went on", "b"])),
    "context variables": Behaviour(Contexts, completed(["run then other", "nobody then handler", "changed"]), drive=_speak),
    "two wait for one condition": Behaviour(Consumers, completed(["x", "y", "z"]), drive=_put),
    "a predicate that raises": Behaviour(Predicate, Ended("FAILED", said="refused by a predicate"), drive=_remove),
    "an update whose work is cancelled": Behaviour(AwaitingUpdate, completed("over"), drive=_ask),
    **{
        f"continue-as-new from {how}": Behaviour(Renewed, completed("second run"), {"how": how})
        for how in ("group", "background", "gather", "a task that is waited for")
    },
    **{
        f"a child cancelled at the end: {how}": Behaviour(
            LastTurn, Ended("FAILED") if how == "raise" else completed(result=ANY), {"how": how}, _child_is_canceled
        )
        for how in ("return", "raise", "finally", "renewed", "group")
    },
    "timers without an end": Behaviour(EndlessTimers, completed(["waited", "waited", "waited", "slept", "end"])),
    "a query that draws random numbers": Behaviour(DrawingQuery, completed(result=True), drive=_draw),
    "handlers that have not returned": hasty(waits=False),
    "handlers that are waited for": hasty(waits=True),
    "cancelled before it began": Behaviour(Begun, completed("cleaned up"), drive=_cancel_at_once),
}
