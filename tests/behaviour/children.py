"""§2, §4 and §10: children, their ids, times and ends; runs that follow one another."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from unittest.mock import ANY

from pydantic import BaseModel

import levante as workflows
from levante import workflow
from tests.behaviour.driving import Behaviour, Driver, Ended, Refused, completed
from tests.behaviour.further import Listener
from tests.behaviour.programs import Child, Timeout, echo

PAGE = 1_900_000
"""Bytes: seven of these are more than a fifth of what a history may hold."""


class Counted(BaseModel):
    """How often it is to go on as new."""

    left: int
    runs: list[str] = []


@workflows.activity(name="behaviour-page")
async def page() -> str:
    """Return much text."""
    return "x" * PAGE


def nobodys() -> type:
    """Define a workflow where no worker looks for it."""

    @workflow.define(name="behaviour-unserved")
    class Unserved:
        @workflow.entrypoint
        async def run(self) -> None:
            return

    return Unserved


UNSERVED = (nobodys(),)


@workflow.define(name="behaviour-ids")
class Ids:
    """§2: children have the ids that they are given, or such as are the same on every replay."""

    @workflow.entrypoint
    async def run(self) -> list[str]:
        own = str(workflows.get_execution_id())
        given = await workflow.execute_workflow(Child, {"text": "a"}, execution_id=f"{own}-given", wait=False)
        made_up = await workflow.execute_workflow(Child, {"text": "b"}, wait=False)
        assert (await given, await made_up, await given) == ("a", "b", "a"), "a handle may be awaited again"
        return [given.execution_id, made_up.execution_id]


@workflow.define(name="behaviour-ends")
class Ends:
    """§2: what a parent sees of a child that does not complete."""

    @workflow.entrypoint
    async def run(self, which: str) -> Any:
        own = str(workflows.get_execution_id())
        if which == "escapes":
            return await workflow.execute_workflow(Child, {"text": "fail"})
        children: dict[str, tuple[type, Any, dict[str, Any]]] = {
            "declared": (Timeout, None, {}),
            "given": (Listener, None, {"execution_timeout": timedelta(seconds=1)}),
            "terminated": (Listener, None, {"execution_id": f"{own}-child"}),
            "taken": (Child, {"text": "a"}, {"execution_id": own}),
            "unserved": (UNSERVED[0], None, {}),
        }
        cls, given, options = children[which]
        try:
            await workflow.execute_workflow(cls, given, **options)
        except workflows.ChildWorkflowError as error:
            return [error.workflow_name, error.status]
        return "it completed"


@workflow.define(name="behaviour-chain")
class Chain:
    """§2 and §10: an execution may have many runs."""

    @workflow.entrypoint
    async def run(self, counted: Counted) -> list[str]:
        runs = [*counted.runs, str(workflow.uuid4())]
        await workflow.sleep(0.1)
        if counted.left:
            workflow.continue_as_new(Counted(left=counted.left - 1, runs=runs))
        return [str(len(set(runs)))]


@workflow.define(name="behaviour-bounded", execution_timeout=timedelta(seconds=1))
class Bounded(Chain):
    """§1: the timeout is that of all runs together."""


@workflow.define(name="behaviour-reader")
class Reader:
    """§2: advice to continue as new, when the history has become long."""

    @workflow.entrypoint
    async def run(self, pages: list[int]) -> list[int]:
        read = 0
        while not workflow.should_continue_as_new():
            await page()
            read += 1
        if not pages:
            workflow.continue_as_new({"pages": [read]})
        return [*pages, read]


@workflow.define(name="behaviour-misled")
class Misled:
    """§2: a new run is not begun with what it does not take."""

    @workflow.entrypoint
    async def run(self, left: int) -> str:
        try:
            workflow.continue_as_new({"right": left})
        except workflows.InvalidArguments as error:
            return await echo(str(error))


async def _lineage(driver: Driver) -> None:
    """See who is whose child, in executions and in events."""
    children = (await driver.result())["result"]
    assert children[0] == f"{driver.execution_id}-given"
    for child in children:
        found = await driver.other(child).get()
        assert (found["parent_execution_id"], found["root_execution_id"]) == (driver.execution_id, driver.execution_id)
    own = await driver.get()
    assert (own["parent_execution_id"], own["root_execution_id"]) == (None, driver.execution_id)
    for event in await driver.events("WORKFLOW_EXECUTION_STARTED"):
        is_root = event["workflow_exec_id"] == driver.execution_id
        assert event["parent_workflow_exec_id"] == (None if is_root else driver.execution_id)


async def _has(child: Driver, status: str) -> None:
    """Wait until a child is there, and has this status."""

    async def has() -> bool:
        try:
            return await child.status() == status
        except Refused:
            return False

    await child.until(has)


async def _terminate(driver: Driver) -> None:
    """End the child alone."""
    child = driver.other(f"{driver.execution_id}-child")
    await _has(child, "RUNNING")
    await child.terminate()


async def _terminate_both(driver: Driver) -> None:
    """End the parent, and with it the child that it waits for."""
    child = driver.other(f"{driver.execution_id}-child")
    await _has(child, "RUNNING")
    await driver.terminate()
    await _has(child, "TERMINATED")


async def _runs(driver: Driver) -> None:
    """See each run lead to the next one."""
    await driver.result()
    starts = await driver.events("WORKFLOW_EXECUTION_STARTED")
    ends = await driver.events("WORKFLOW_EXECUTION_CONTINUED_AS_NEW")
    runs = [event["workflow_run_id"] for event in starts]
    assert len(set(runs)) == 4
    assert [event["attributes"]["new_execution_run_id"] for event in ends] == runs[1:]
    assert {event["chain_run_id"] for event in starts} == {event["first_execution_run_id"] for event in starts} == {runs[0]}
    assert [event["continued_run_id"] for event in starts] == [None, *runs[:-1]]
    assert (await driver.get())["run_id"] == runs[-1]


def ends(which: str, result: Any, drive: Any = None) -> Behaviour:
    """Say what a parent sees of a child."""
    return Behaviour(Ends, completed(result), {"which": which}, drive)


BEHAVIOURS: Mapping[str, Behaviour] = {
    "ids of children, and whose they are": Behaviour(Ids, completed(ANY), drive=_lineage),
    "a child's failure that nobody catches": Behaviour(Ends, Ended("FAILED", said="the child fails"), {"which": "escapes"}),
    "a child's own timeout": ends("declared", ["behaviour-timeout", "TIMED_OUT"]),
    "a child's timeout from its parent": ends("given", ["behaviour-listener", "TIMED_OUT"]),
    "a child that is terminated": ends("terminated", ["behaviour-listener", "TERMINATED"], _terminate),
    "a child whose parent is terminated": Behaviour(Ends, Ended("TERMINATED"), {"which": "terminated"}, _terminate_both),
    "a child whose id is taken": ends("taken", ["behaviour-child", None]),
    "a child that nobody serves": ends("unserved", ["behaviour-unserved", None]),
    "runs that follow one another": Behaviour(Chain, completed(["4"]), {"left": 3}, _runs),
    "one timeout for all runs": Behaviour(Bounded, Ended("TIMED_OUT"), {"left": 99}),
    "advice to continue as new": Behaviour(Reader, completed([7, 7]), {"pages": []}, no_deaths="each run writes 25 MB"),
    "a new run with a wrong input": Behaviour(
        Misled,
        completed(
            "entrypoint 'run' of workflow 'behaviour-misled': parameter 'left' is missing; parameter 'right' is unknown; "
            'expected is {"left": ...}, sent was {"right": ...}'
        ),
        {"left": 1},
    ),
}
