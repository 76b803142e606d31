"""The activity that handles a group of items: fetches each by its index, and processes it."""

from __future__ import annotations

from typing import Any, Final

from levante.context import current_activity
from levante.definition.definitions import ACTIVITY, ActivityDefinition
from levante.definition.mapping import activity_input
from levante.definition.outputs import ActivityOutput
from levante.definition.schemas import Owner
from levante.errors import ErrorCode, WorkflowsException
from levante.parallel.inputs import Group
from levante.parallel.together import failing_together
from levante_core.protocol import ActivityOptions, Json

GROUP_ACTIVITY: Final = "__internal__parallel_group"


async def run_parallel_group(group: Group) -> list[Any]:
    """Return the results in order, or nothing where none are wanted. The first item that fails ends the attempt."""
    fetch, process = _served(group.fetch.name), _served(group.process.name)

    async def one(index: int) -> Json:
        wanted = group.fetch.input_of({"idx": index, "extra_params": group.extra_params})
        item = fetch.dump_result(await fetch.run(wanted))
        return process.dump_result(await process.run(group.process.input_of(item)))

    async with failing_together() as items:
        tasks = [items.create_task(one(index)) for index in range(group.first, group.first + group.count)]
    return [task.result() for task in tasks] if group.collects else []


def _served(name: str) -> ActivityDefinition:
    context = current_activity.get()
    if context is None or name not in context.activities:
        problem = f"this worker has no activity {name!r}: deploy the code with it"
        raise WorkflowsException(problem, code=ErrorCode.ACTIVITY_NOT_FOUND_ERROR)
    return context.activities[name]


_owner = Owner("a group of a parallel execution", ErrorCode.ACTIVITY_DEFINITION_ERROR)
# made by hand, because the decorator keeps users away from reserved names
setattr(
    run_parallel_group,
    ACTIVITY,
    ActivityDefinition(
        name=GROUP_ACTIVITY,
        function=run_parallel_group,
        is_async=True,
        options=ActivityOptions(),
        input=activity_input(_owner, run_parallel_group),
        output=ActivityOutput(_owner, list[Any]),
    ),
)
