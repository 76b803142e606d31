"""The technical workflow behind `execute_activities_in_parallel`. All that it knows of the user's code is in its input."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, assert_never

from pydantic_core import to_json

from levante import workflow
from levante.context import current_workflow
from levante.definition.definitions import PARALLEL_EXECUTION
from levante.errors import WorkflowError, WorkflowsException
from levante.parallel.groups import GROUP_ACTIVITY
from levante.parallel.inputs import Call, ChainSource, Group, ListSource, OffsetSource, ParallelRun, Source, as_input
from levante.parallel.together import failing_together
from levante_core.protocol import ActivityOptions, Json, problem_with

LONGEST: Final = timedelta(days=365)
"""The parent's timeout ends the child too, so the child needs none of its own."""
GROUP_BYTES: Final = 2_000_000
MEASURED_ITEMS: Final = 3
"""Items that run alone, so that groups can be made whose results stay below GROUP_BYTES.

Source: SDK contract §2 (read 2026-11-23).
"""


@workflow.define(name=PARALLEL_EXECUTION, is_technical=True, execution_timeout=LONGEST)
class ParallelExecution:
    """Handles all items, over as many runs as that takes."""

    @workflow.entrypoint
    async def run(self, parallel: ParallelRun) -> list[Any] | None:
        """Return the results in the order of the items; None where none are wanted."""
        results, rest = await _handled(parallel)
        so_far = None if parallel.results is None else parallel.results + results
        if rest is not None:
            _go_on(parallel.model_copy(update={"source": rest, "results": so_far}))
        return so_far


async def _handled(parallel: ParallelRun) -> tuple[list[Json], Source | None]:
    """Handle items. Returns their results and, where the history became long, where the other items come from."""
    match parallel.source:
        case ListSource() as source:
            return await _list(parallel.process, source)
        case ChainSource() as source:
            return await _chain(parallel.process, source)
        case OffsetSource() as source:
            return await _offsets(parallel, source)
        case _:
            assert_never(parallel.source)


@dataclass(frozen=True, slots=True)
class _Job:
    """An activity to be run."""

    name: str
    input: Json
    options: ActivityOptions
    waits_for_end: bool

    async def run(self) -> Json:
        """Run it durably. Raises: ActivityError."""
        context = current_workflow.get()
        if context is None:
            raise WorkflowsException("a parallel execution is a workflow")
        return await context.start_activity(self.name, self.input, self.options, waits_for_end=self.waits_for_end)


def _job(call: Call, item: Json) -> _Job:
    return _Job(call.name, call.input_of(item), call.options, call.waits_for_end)


def _go_on(rest: ParallelRun) -> None:
    """Continue as new. Raises: WorkflowError when the results so far and what is left do not fit into an input."""
    next_input = as_input(rest)
    _, problem = problem_with("what a parallel execution has to keep", next_input)
    if problem:
        raise WorkflowError(problem, non_retryable=True)
    workflow.continue_as_new(next_input)


async def _in_order(jobs: Sequence[_Job], limit: int) -> list[Json]:
    """Run jobs in order, so many at once, and begin no more when the history is long. Returns the results of those begun."""
    waiting = enumerate(jobs)
    results: dict[int, Json] = {}

    async def work() -> None:
        while not workflow.should_continue_as_new() and (taken := next(waiting, None)):
            index, job = taken
            results[index] = await job.run()

    async with failing_together() as group:
        for _ in range(min(limit, len(jobs))):
            group.create_task(work())
    return [results[index] for index in range(len(results))]


async def _list(process: Call, source: ListSource) -> tuple[list[Json], ListSource | None]:
    """Handle known items."""
    results = await _in_order([_job(process, item) for item in source.items], source.limit)
    left = source.items[len(results) :]
    return results, source.model_copy(update={"items": left}) if left else None


async def _chain(process: Call, source: ChainSource) -> tuple[list[Json], ChainSource | None]:
    """Fetch item after item, while those that are there are processed."""
    tasks: list[asyncio.Task[Json]] = []
    previous, is_over = source.previous, False
    async with failing_together() as group:
        while not (is_over or workflow.should_continue_as_new()):
            item = await _job(source.fetch, previous).run()
            is_over = item is None
            if not is_over:
                tasks.append(group.create_task(_job(process, item).run()))
                previous = item
    results = [task.result() for task in tasks]
    return results, None if is_over else source.model_copy(update={"previous": previous})


async def _offsets(parallel: ParallelRun, source: OffsetSource) -> tuple[list[Json], OffsetSource | None]:
    """Handle groups of items, the first items alone to learn how large their results are."""
    results: list[Json] = []
    if source.most_in_group is None:
        results, source = await _groups(parallel, source, until=min(MEASURED_ITEMS, source.n_items), size=1)
        largest = max((len(to_json(result)) for result in results), default=0)
        most = max(1, min(source.per_worker, GROUP_BYTES // (largest + 1)))
        source = source.model_copy(update={"most_in_group": most})
    more, source = await _groups(parallel, source, until=source.n_items, size=source.most_in_group or 1)
    return results + more, source if source.next_index < source.n_items else None


async def _groups(parallel: ParallelRun, source: OffsetSource, *, until: int, size: int) -> tuple[list[Json], OffsetSource]:
    """Handle items in groups of this size. Returns the results, and the source as it is after those that were begun."""
    fetch, process = source.fetch, parallel.process
    seconds = fetch.options.start_to_close_seconds + process.options.start_to_close_seconds
    options = process.options.model_copy(update={"start_to_close_seconds": seconds, "heartbeat_seconds": None})
    starts = range(source.next_index, until, size)
    groups = [
        Group(
            fetch=fetch,
            process=process,
            extra_params=source.extra_params,
            first=first,
            count=min(size, until - first),
            collects=parallel.results is not None,
        )
        for first in starts
    ]
    jobs = [
        _Job(GROUP_ACTIVITY, {"group": group.model_dump(mode="json", exclude_unset=True)}, options, process.waits_for_end)
        for group in groups
    ]
    ends = await _in_order(jobs, source.limit)
    handled = sum(group.count for group in groups[: len(ends)])
    results = [result for end in ends for result in end]
    return results, source.model_copy(update={"next_index": source.next_index + handled})
