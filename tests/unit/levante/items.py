"""Activities for parallel execution."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

import levante as workflows
from levante.definition.definitions import get_workflow_definition
from levante.parallel.execution import ParallelExecution
from levante.replay.run import WorkflowRun
from levante_core.protocol import (
    ActivityCompleted,
    ActivityFailed,
    Command,
    Failure,
    RunStart,
)
from tests.support.bodies import Definition

AT = datetime(2026, 1, 1, tzinfo=UTC)


class Item(BaseModel):
    number: int


@workflows.activity(retry_policy_max_attempts=7)
async def par_double(item: Item) -> int:
    return item.number * 2


@workflows.activity()
async def par_next(before: Item | None) -> Item | None:
    return before


@workflows.activity()
async def par_at(params: workflows.GetItemFromIndexParams) -> Item:
    if params.idx == params.extra_params:
        raise ValueError(f"no item {params.idx}")
    return Item(number=params.idx)


def asked(**given: Any) -> list[Command]:
    """Return what a call with these arguments asks for."""
    given = {"activity": par_double, **given}

    async def body() -> Any:
        return await workflows.execute_activities_in_parallel(**given)

    definition: Any = Definition(body)
    start = RunStart.model_validate({"workflow_name": "w", "input": None, "started_at": AT, "deadline_at": AT})
    run = WorkflowRun(definition, "e", "r", start)
    try:
        return run.begin()
    finally:
        run.dispose()


def child_input(**given: Any) -> Any:
    """Return the input of the child that a call asks for."""
    (scheduled,) = asked(**given)
    assert scheduled.kind == "child_scheduled"
    assert (scheduled.workflow_name, scheduled.is_awaited) == ("__parallel_execution__", True)
    return scheduled.input


class Run:
    """A run of the technical workflow, whose activities are answered by hand."""

    def __init__(self, given: Any) -> None:
        start = {"workflow_name": "w", "input": given, "started_at": AT, "deadline_at": AT}
        self._run = WorkflowRun(get_workflow_definition(ParallelExecution), "e", "r", RunStart.model_validate(start))
        self.open: list[Any] = []
        self.ending: Any = None
        self.canceled = 0
        self._take(self._run.begin())

    def answer(self, result: Any, index: int = 0) -> None:
        """Complete the open activity that was asked for first, or another one."""
        self._take(self._run.apply(ActivityCompleted(seq=self.open.pop(index).seq, at=AT, result=result)))

    def fail(self, message: str) -> None:
        """Fail the open activity that was asked for first."""
        self._take(
            self._run.apply(ActivityFailed(seq=self.open.pop(0).seq, at=AT, failure=Failure(type="E", message=message)))
        )

    def _take(self, commands: list[Command]) -> None:
        for command in commands:
            if command.kind == "activity_scheduled":
                self.open.append(command)
            elif command.kind == "activity_cancel_requested":
                self.canceled += 1
            else:
                self.ending = command

    def dispose(self) -> None:
        self._run.dispose()

    def groups(self) -> list[tuple[int, int]]:
        """Return index and size of the open groups."""
        return [(one.input["group"]["first"], one.input["group"]["count"]) for one in self.open]
