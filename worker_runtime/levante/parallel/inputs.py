"""The input of a parallel execution: the activities and where the items come from. It passes through histories as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field

from levante_core.protocol import ActivityOptions, Json


class Call(BaseModel):
    """An activity to be called. parameter: the one that takes an item; None where an item holds all parameters by name.

    constants: what other parameters take. waits_for_end: see WorkflowContext.start_activity.
    """

    name: str
    options: ActivityOptions
    parameter: str | None
    constants: dict[str, Any] = {}
    waits_for_end: bool = False

    def input_of(self, item: Json) -> Json:
        """Return the activity's input for an item."""
        return item if self.parameter is None else {**self.constants, self.parameter: item}


class ListSource(BaseModel):
    """Items that are known, of which `limit` are handled at once. items: whole inputs of the activity."""

    form: Literal["list"]
    items: list[Any]
    limit: int


class ChainSource(BaseModel):
    """Items that are fetched one after the other. previous: the last one had."""

    form: Literal["chain"]
    fetch: Call
    previous: Any = None


class OffsetSource(BaseModel):
    """Items that are fetched by index, in groups, of which `limit` are handled at once.

    next_index: of the first item not handled. most_in_group: None until the first items are measured.
    """

    form: Literal["offset"]
    fetch: Call
    extra_params: Any
    n_items: int
    limit: int
    per_worker: int
    next_index: int = 0
    most_in_group: int | None = None


class Group(BaseModel):
    """So many items from an index on, fetched and processed in one attempt. collects: whether results are wanted."""

    fetch: Call
    process: Call
    extra_params: Any
    first: int
    count: int
    collects: bool


Source: TypeAlias = ListSource | ChainSource | OffsetSource


class ParallelRun(BaseModel):
    """The input of a run. results: those of the runs before it, in the order of the items; None where none are wanted."""

    process: Call
    source: Annotated[Source, Field(discriminator="form")]
    results: list[Any] | None


def as_input(run: ParallelRun) -> Json:
    """Write a run's input. What a decorator left out stays out, so that it is up to the worker that runs the activity."""
    return run.model_dump(mode="json", exclude_unset=True)
