"""Workflows that start others."""

import asyncio
from collections import Counter
from datetime import timedelta

from pydantic import BaseModel

import levante as workflows

RUNS: Counter[str] = Counter()


@workflows.activity(retry_policy_max_attempts=1)
async def child_work(label: str) -> str:
    """Do something."""
    RUNS[label] += 1
    return f"did {label}"


class Task(BaseModel):
    """What a child is to do."""

    label: str
    fate: str = "work"


class Report(BaseModel):
    """What a child has done."""

    text: str


@workflows.workflow.define(name="children-child")
class ChildFlow:
    """Does as it is told."""

    def __init__(self) -> None:
        self.is_released = False

    @workflows.workflow.entrypoint
    async def run(self, task: Task) -> Report:
        """Work, fail, wait or go on as new."""
        if task.fate == "fail":
            raise workflows.WorkflowError(f"{task.label} failed on purpose")
        if task.fate == "again":
            workflows.workflow.continue_as_new(Task(label=task.label))
        if task.fate == "wait":
            try:
                await workflows.workflow.wait_condition(lambda: self.is_released)
            except asyncio.CancelledError:
                await child_work(f"{task.label}/cleaned")
                raise
        return Report(text=await child_work(task.label))

    @workflows.workflow.signal(name="release")
    def release(self) -> None:
        """Let it go on."""
        self.is_released = True


@workflows.workflow.define(name="children-parent")
class ParentFlow:
    """Has children, one after the other or at once."""

    @workflows.workflow.entrypoint
    async def run(self, labels: list[str], fate: str = "work") -> list[str]:
        """Return what they did."""
        children = [workflows.workflow.execute_workflow(ChildFlow, Task(label=label, fate=fate)) for label in labels]
        return [report.text for report in await asyncio.gather(*children)]


@workflows.workflow.define(name="children-careful")
class CarefulFlow:
    """Catches what its child raises."""

    @workflows.workflow.entrypoint
    async def run(self, label: str, fate: str, child_id: str | None = None) -> str:
        """Say how the child ended."""
        try:
            await workflows.workflow.execute_workflow(ChildFlow, Task(label=label, fate=fate), execution_id=child_id)
        except workflows.ChildWorkflowError as error:
            return f"{error.status}: {error.cause}"
        return "went well"


@workflows.workflow.define(name="children-loose")
class LooseFlow:
    """Starts a child and ends, or waits a little, without it."""

    @workflows.workflow.entrypoint
    async def run(self, child_id: str, policy: workflows.ParentClosePolicy, awaited: bool = False) -> str:  # noqa: FBT001, FBT002
        """Leave a child behind."""
        handle = await workflows.workflow.execute_workflow(
            ChildFlow, Task(label=child_id, fate="wait"), execution_id=child_id, wait=False, parent_close_policy=policy
        )
        if awaited:
            report: Report = await handle
            return report.text
        return str(handle.execution_id)


@workflows.workflow.define(name="children-impatient")
class ImpatientFlow:
    """Gives up on its child."""

    @workflows.workflow.entrypoint
    async def run(self, child_id: str) -> str:
        """Wait a moment."""
        child = workflows.workflow.execute_workflow(ChildFlow, Task(label=child_id, fate="wait"), execution_id=child_id)
        try:
            await asyncio.wait_for(child, 0.3)
        except TimeoutError:
            return "gave up"
        return "waited"


@workflows.workflow.define(name="children-lonely", execution_timeout=timedelta(minutes=1))
class LonelyFlow:
    """Starts a workflow that nobody serves."""

    @workflows.workflow.entrypoint
    async def run(self) -> str:
        """Say why that does not work."""
        try:
            await workflows.workflow.execute_workflow(UnservedFlow)
        except workflows.ChildWorkflowError as error:
            return f"{error.status}: {error.message}"
        return "served"


@workflows.workflow.define(name="children-unserved")
class UnservedFlow:
    """Served by nobody."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Do nothing."""


@workflows.workflow.define(name="children-signals")
class SignalsFlow:
    """Releases a child that waits for it."""

    @workflows.workflow.entrypoint
    async def run(self, label: str, name: str = "release") -> Report:
        """Signal it, and wait for it."""
        child = Task(label=label, fate="wait")
        handle = await workflows.workflow.execute_workflow(ChildFlow, child, wait=False, execution_id=label)
        handle.signal(name)
        report: Report = await handle
        return report


WORKFLOWS = [ChildFlow, ParentFlow, CarefulFlow, LooseFlow, ImpatientFlow, LonelyFlow, SignalsFlow]
ACTIVITIES = [child_work]
