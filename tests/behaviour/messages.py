"""§1 and §2: signals, updates and queries, and what becomes of them when the execution ends or begins anew."""

import asyncio
from collections.abc import Mapping
from typing import Any

import levante as workflows
from levante import workflow
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, refused
from tests.behaviour.programs import echo, echo_over_the_queue


@workflow.define(name="behaviour-counter")
class Counter:
    """§1: signals and updates change what queries tell."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.wanted = 0

    @workflow.entrypoint
    async def run(self, until: int) -> list[str]:
        self.wanted = until
        self.found.append(await echo("begun"))
        await workflow.wait_condition(lambda: len(self.found) >= self.wanted)
        return self.found

    @workflow.signal()
    def add(self, text: str) -> None:
        self.found.append(text)

    @workflow.update()
    async def add_and_wait(self, text: str, count: int) -> list[str]:
        """Add what activities say, and wait for others: handlers may do what the entrypoint may."""
        first, second = await asyncio.gather(echo(text), echo_over_the_queue(text.upper()))
        self.found += [first + second]
        await workflow.wait_condition(lambda: len(self.found) >= count)
        return list(self.found)

    @workflow.update()
    def refuse(self) -> int:
        raise workflows.WorkflowError("not now", details={"why": "test"})

    @workflow.signal()
    def give_up(self) -> None:
        raise workflows.WorkflowError("given up")

    @workflow.signal()
    async def start_over(self, until: int) -> None:
        """Begin anew, once an activity has said so."""
        workflow.continue_as_new({"until": await echo_over_the_queue(str(until))})

    @workflow.update()
    def start_over_at_once(self, until: int) -> int:
        workflow.continue_as_new({"until": until})

    @workflow.signal()
    def stumble(self, text: str) -> None:
        self.found.append(str(int(text)))

    @workflow.query()
    def count(self) -> int:
        return len(self.found)

    @workflow.query()
    def meddle(self) -> int:
        """Start something, which a query must not."""
        workflow.add_search_keys({"state": "meddled"})
        return 0

    @workflow.query()
    def fail(self) -> int:
        raise RuntimeError("no answer")


async def _once(driver: Driver) -> None:
    """Send everything twice, as somebody does who got no answer."""
    await driver.until_queried("count", 1)
    for _ in range(2):
        await driver.call("signals", {"name": "add", "input": {"text": "a"}}, Idempotency_Key="first")
    body = {"name": "add_and_wait", "input": {"text": "b", "count": 3}}
    answers = [await driver.call("updates", body, Idempotency_Key="second") for _ in range(2)]
    assert answers[0] == answers[1] == {"update_name": "add_and_wait", "result": ["begun", "a", "bB"]}
    await refused(driver.call("signals", body, Idempotency_Key="no spaces"), 422, "WF_1001")
    await driver.signal("add", text="c")
    await driver.result()
    assert (await driver.call("updates", body, Idempotency_Key="second")) == answers[0], "though it is closed"


async def _early(driver: Driver) -> None:
    """Send to another one before there is a worker for it."""
    own = f"early-{driver.execution_id}"
    async with driver.place.worker(Counter, DEPLOYMENT_NAME=own):
        pass
    other = await driver.start("behaviour-counter", {"until": 4}, deployment_name=own)
    for text in "abc":
        await other.signal("add", text=text)
    assert await other.status() == "RUNNING"
    async with driver.place.worker(Counter, DEPLOYMENT_NAME=own):
        assert await other.result() == {"result": ["a", "b", "c", "begun"]}


async def _answers(driver: Driver) -> None:
    """Ask what fails, is refused, and waits for others."""
    await driver.until_queried("count", 1)
    answer = await refused(driver.update("refuse"), 409, "HANDLER_FAILED", "not now")
    assert answer["failure"]["details"] == {"why": "test"}
    await refused(driver.query("fail"), 409, "HANDLER_FAILED", "no answer")
    await refused(driver.query("meddle"), 409, "HANDLER_FAILED", "a query handler must not start anything")
    waiting = asyncio.create_task(driver.update("add_and_wait", text="a", count=3))
    await driver.until_queried("count", 2)
    await driver.signal("add", text="b")
    assert await waiting == ["begun", "aA", "b"]
    assert (await driver.get())["search_keys"] == {}
    await driver.signal("add", text="c")


async def _end(driver: Driver) -> None:
    """End it while an update waits."""
    waiting = asyncio.create_task(driver.update("add_and_wait", text="a", count=9))
    await driver.until_queried("count", 2)
    await driver.terminate()
    assert (await refused(waiting, 409, "WF_1102", "ended before"))["status"] == "TERMINATED"


async def _give_up(driver: Driver) -> None:
    await driver.signal("give_up")


async def _stumble(driver: Driver) -> None:
    """Send what the handler has a bug with, then go back to before."""
    await driver.until_queried("count", 1)
    await driver.signal("stumble", text="no number")
    assert (await driver.blocked())["type"] == "ValueError"
    await refused(driver.query("count"), 409, "HANDLER_FAILED", "query 'count' failed: invalid literal for int()")
    await driver.reset(1, exclude_signals=True, reason="a signal that cannot be handled")
    await driver.until_queried("count", 1)
    await driver.signal("stumble", text="7")


async def _start_over(driver: Driver) -> None:
    """Let handlers begin new runs; whoever waits for an answer of the run before is told."""
    await driver.until_queried("count", 1)
    await driver.signal("add", text="forgotten")
    await driver.signal("start_over", until=9)
    await driver.until_queried("count", 1)
    await refused(driver.update("start_over_at_once", until=2), 409, "WF_1102", "CONTINUED_AS_NEW")
    await driver.until_queried("count", 1)
    await driver.signal("add", text="a")
    assert len(await driver.events("WORKFLOW_EXECUTION_CONTINUED_AS_NEW")) == 2


def again(left: int, **excluded: bool) -> Any:
    """Let it begin anew without some of what it was sent, so that so many are left."""

    async def drive(driver: Driver) -> None:
        await driver.until_queried("count", 1)
        await driver.signal("add", text="signalled")
        assert await driver.update("add_and_wait", text="updated", count=3) == ["begun", "signalled", "updatedUPDATED"]
        first = (await driver.get())["run_id"]
        await driver.reset(1, **excluded)
        assert (await driver.get())["run_id"] != first
        await driver.until_queried("count", left)
        for text in "xyz"[left - 1 :]:
            await driver.signal("add", text=text)

    return drive


async def _cancel_twice(driver: Driver) -> None:
    await driver.until_queried("count", 1)
    await driver.cancel()
    await driver.place.closed(driver.execution_id)
    (event,) = await driver.events("WORKFLOW_EXECUTION_CANCELED")
    assert event["workflow_exec_id"] == driver.execution_id


def counting(until: int, result: list[str] | None, drive: Any) -> Behaviour:
    """Say what is counted, and what is done meanwhile."""
    return Behaviour(Counter, completed(result), {"until": until}, drive)


BEHAVIOURS: Mapping[str, Behaviour] = {
    "messages that are sent again": counting(4, ["begun", "a", "bB", "c"], _once),
    "messages before there is a worker": counting(1, ["begun"], _early),
    "answers of handlers": counting(4, ["begun", "aA", "b", "c"], _answers),
    "an update that the end overtakes": Behaviour(Counter, Ended("TERMINATED"), {"until": 9}, _end),
    "handlers that continue as new": counting(9, ["begun", "a"], _start_over),
    "a signal that fails the execution": Behaviour(Counter, Ended("FAILED", said="given up"), {"until": 9}, _give_up),
    "a signal whose handler has a bug": counting(2, ["begun", "7"], _stumble),
    "reset without any message": counting(4, ["begun", "x", "y", "z"], again(1, exclude_signals=True, exclude_updates=True)),
    "reset without updates": counting(4, ["signalled", "begun", "y", "z"], again(2, exclude_updates=True)),
    "cancelled, and published": Behaviour(Counter, Ended("CANCELED"), {"until": 9}, _cancel_twice),
}
