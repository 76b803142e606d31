"""Workflows that handle many items in parallel."""

import asyncio
from collections import Counter
from typing import Any

from pydantic import BaseModel

import levante as workflows
from levante.parallel.execution import ParallelExecution
from levante.parallel.groups import run_parallel_group

RUNS: Counter[str] = Counter()
"""How often each item was begun."""
ENDED: Counter[str] = Counter()
"""How often each item was handled to its end."""
AT_ONCE: Counter[str] = Counter()
MOST_AT_ONCE: Counter[str] = Counter()


class Item(BaseModel):
    """Something to be handled. fate: what becomes of it."""

    label: str
    number: int
    fate: str = "work"


class Handled(BaseModel):
    """What became of it."""

    number: int
    extra: Any = None


async def handle(item: Item) -> None:
    """Do what is to be done with an item, and count."""
    RUNS[f"{item.label}/{item.number}"] += 1
    AT_ONCE[item.label] += 1
    MOST_AT_ONCE[item.label] = max(MOST_AT_ONCE[item.label], AT_ONCE[item.label])
    try:
        await asyncio.sleep(3600 if item.fate == "hang" else 0)
        if item.fate == "fail":
            raise ValueError(f"item {item.number} is broken")
        if item.fate == "refuse":
            raise workflows.WorkflowError(f"item {item.number} is refused", non_retryable=True)
        if item.fate == "stumble" and RUNS[f"{item.label}/{item.number}"] == 1:
            raise ValueError("not at the first attempt")
        ENDED[f"{item.label}/{item.number}"] += 1
    finally:
        AT_ONCE[item.label] -= 1


@workflows.activity(retry_policy_max_attempts=3, retry_policy_backoff_coefficient=1.0)
async def parallel_handle(item: Item) -> Handled:
    """Handle an item."""
    await handle(item)
    return Handled(number=item.number * 10)


@workflows.activity(retry_policy_max_attempts=1)
async def parallel_handle_parts(label: str, number: int, fate: str = "work") -> int:
    """Handle an item whose parts are parameters."""
    await handle(Item(label=label, number=number, fate=fate))
    return number * 10


@workflows.activity(retry_policy_max_attempts=1)
async def parallel_forget(item: Item) -> None:
    """Handle an item, and tell nothing."""
    await handle(item)


@workflows.activity()
async def parallel_next(prev_item: Item | None, extra_params: dict[str, Any]) -> Item | None:
    """Fetch the item after another one."""
    number = 0 if prev_item is None else prev_item.number + 1
    if number >= extra_params["count"]:
        return None
    return Item(label=extra_params["label"], number=number, fate=extra_params["fates"].get(str(number), "work"))


@workflows.activity()
async def parallel_at(params: workflows.GetItemFromIndexParams) -> Item:
    """Fetch the item at an index."""
    extra = params.extra_params
    return Item(label=extra["label"], number=params.idx, fate=extra["fates"].get(str(params.idx), "work"))


class Wanted(BaseModel):
    """What is to be done. fates: of items that are no ordinary ones, by their numbers."""

    label: str
    count: int
    form: str = "list"
    fates: dict[str, str] = {}
    limit: int = 100
    per_worker: int = 100


@workflows.workflow.define(name="parallel-all")
class HandleAll:
    """Handles all items, and returns their numbers times ten."""

    @workflows.workflow.entrypoint
    async def run(self, wanted: Wanted) -> list[int]:
        """Choose a form."""
        extra = wanted.model_dump()
        if wanted.form == "chain":
            handled = await workflows.execute_activities_in_parallel(
                parallel_handle, get_item_from_prev_item_activity=parallel_next, extra_params=extra
            )
        elif wanted.form == "offset":
            handled = await workflows.execute_activities_in_parallel(
                parallel_handle,
                get_item_from_index_activity=parallel_at,
                n_items=wanted.count,
                extra_params=extra,
                max_concurrent_scheduled_tasks=wanted.limit,
                max_concurrent_executions_per_worker=wanted.per_worker,
            )
        else:
            items = [
                Item(label=wanted.label, number=number, fate=wanted.fates.get(str(number), "work"))
                for number in range(wanted.count)
            ]
            handled = await workflows.execute_activities_in_parallel(
                parallel_handle, items=items, max_concurrent_scheduled_tasks=wanted.limit
            )
        return [one.number for one in handled]


@workflows.workflow.define(name="parallel-parts")
class HandleParts:
    """Handles items that are mappings, then some that give nothing back."""

    @workflows.workflow.entrypoint
    async def run(self, label: str) -> dict[str, Any]:
        """Return what both calls give."""
        parts = [{"label": label, "number": number} for number in range(5)]
        numbers = await workflows.execute_activities_in_parallel(parallel_handle_parts, items=parts)
        items = [Item(label=label, number=number) for number in range(5, 8)]
        nothing = await workflows.execute_activities_in_parallel(parallel_forget, items=items)  # type: ignore[func-returns-value]
        empty = await workflows.execute_activities_in_parallel(parallel_handle, items=[])
        return {"numbers": numbers, "nothing": nothing, "empty": empty}


@workflows.workflow.define(name="parallel-misfit")
class HandleMisfit:
    """Gives an item that does not fit."""

    @workflows.workflow.entrypoint
    async def run(self, label: str) -> None:
        """Fail."""
        items = [{"label": label, "number": 1}, {"label": label, "number": "many"}]
        await workflows.execute_activities_in_parallel(parallel_handle_parts, items=items)


@workflows.workflow.define(name="parallel-caught")
class Caught:
    """Says what went wrong."""

    @workflows.workflow.entrypoint
    async def run(self, wanted: Wanted) -> str:
        """Handle all, in a list."""
        items = [
            Item(label=wanted.label, number=number, fate=wanted.fates.get(str(number), "work"))
            for number in range(wanted.count)
        ]
        try:
            await workflows.execute_activities_in_parallel(
                parallel_handle, items=items, max_concurrent_scheduled_tasks=wanted.limit
            )
        except workflows.ChildWorkflowError as error:
            cause = error.cause.__cause__ if error.cause else None
            return f"{error.status}: {cause}"
        return "went well"


WORKFLOWS = [HandleAll, HandleParts, HandleMisfit, Caught, ParallelExecution]
ACTIVITIES = [
    parallel_handle,
    parallel_handle_parts,
    parallel_forget,
    parallel_next,
    parallel_at,
    run_parallel_group,
]
