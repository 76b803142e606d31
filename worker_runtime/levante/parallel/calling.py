"""`execute_activities_in_parallel`: what users call. What is wrong with a call is found before anything runs."""

from __future__ import annotations

import typing
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import NoneType
from typing import Any, TypeAlias, TypeVar, overload

from pydantic import BaseModel

from levante.children import execute_workflow
from levante.context import current_workflow
from levante.definition.definitions import ActivityDefinition, get_activity_definition
from levante.definition.refusals import PayloadRefused
from levante.definition.schemas import own_type
from levante.diagnostics.arguments import explained
from levante.diagnostics.calls import durable
from levante.errors import InvalidArguments, WorkflowError, WorkflowsException
from levante.parallel.execution import ParallelExecution
from levante.parallel.inputs import Call, ChainSource, ListSource, OffsetSource, ParallelRun, Source, as_input
from levante.values.forms import Form
from levante.values.losses import ValueLost
from levante_core.protocol import Json

__all__ = ["ExtraItemParams", "GetItemFromIndexParams", "execute_activities_in_parallel"]

R = TypeVar("R")

Activity: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]

DEFAULT_LIMIT = 100
"""Source: SDK contract §2 (read 2026-11-23)."""
EXTRA_PARAMS = "extra_params"


class ExtraItemParams(BaseModel):
    """What a call passes on to the activity that fetches items."""

    extra_params: Any = None


class GetItemFromIndexParams(ExtraItemParams):
    """Which item is to be fetched. idx: 0 for the first."""

    idx: int


@overload
async def execute_activities_in_parallel(  # type: ignore[overload-overlap]  # an activity that returns None is meant
    activity: Callable[..., Coroutine[Any, Any, None]],
    *,
    items: Sequence[Any] | None = None,
    get_item_from_prev_item_activity: Activity | None = None,
    get_item_from_index_activity: Activity | None = None,
    n_items: int | None = None,
    max_concurrent_scheduled_tasks: int = DEFAULT_LIMIT,
    max_concurrent_executions_per_worker: int = DEFAULT_LIMIT,
    extra_params: Any = None,
) -> None: ...
@overload
async def execute_activities_in_parallel(
    activity: Callable[..., Coroutine[Any, Any, R]],
    *,
    items: Sequence[Any] | None = None,
    get_item_from_prev_item_activity: Activity | None = None,
    get_item_from_index_activity: Activity | None = None,
    n_items: int | None = None,
    max_concurrent_scheduled_tasks: int = DEFAULT_LIMIT,
    max_concurrent_executions_per_worker: int = DEFAULT_LIMIT,
    extra_params: Any = None,
) -> list[R]: ...
@durable("execute_activities_in_parallel()")
@explained("execute_activities_in_parallel()")
async def execute_activities_in_parallel(
    activity: Callable[..., Coroutine[Any, Any, Any]],
    *,
    items: Sequence[Any] | None = None,
    get_item_from_prev_item_activity: Activity | None = None,
    get_item_from_index_activity: Activity | None = None,
    n_items: int | None = None,
    max_concurrent_scheduled_tasks: int = DEFAULT_LIMIT,
    max_concurrent_executions_per_worker: int = DEFAULT_LIMIT,
    extra_params: Any = None,
) -> list[Any] | None:
    """Run an activity for each of many items, in a child workflow of its own. Results keep the order of the items.

    The items are one of these:
    - `items`: a list. max_concurrent_scheduled_tasks of them run at once.
    - `get_item_from_prev_item_activity`: called with the previous item, None at first, until it returns None. Items are
      processed while others are fetched. It receives extra_params if it has a parameter of that name.
    - `get_item_from_index_activity` and `n_items`: called with GetItemFromIndexParams. Groups of at most
      max_concurrent_executions_per_worker items are fetched and processed in one attempt, which is repeated as a whole;
      max_concurrent_scheduled_tasks groups at once.

    An item is the argument of an activity with one parameter, else a mapping of parameters. If the activity is annotated to
    return None, results are None. The first failure cancels what is running.
    Raises: ChildWorkflowError, whose cause is the error of the activity; WorkflowError for an item that does not fit;
    InvalidArguments for a call that cannot work; WorkflowsException outside a workflow.
    """
    if current_workflow.get() is None:
        raise WorkflowsException("execute_activities_in_parallel() works only in the code of a running workflow")
    forms = (items, get_item_from_prev_item_activity, get_item_from_index_activity)
    _check(forms, n_items=n_items, extra_params=extra_params)
    limit = _positive("max_concurrent_scheduled_tasks", max_concurrent_scheduled_tasks)
    per_worker = _positive("max_concurrent_executions_per_worker", max_concurrent_executions_per_worker)
    definition = get_activity_definition(activity)
    process = _call(definition, _item_parameter(definition))
    source: Source
    if get_item_from_prev_item_activity is not None:
        source = ChainSource(form="chain", fetch=_next_item(get_item_from_prev_item_activity, extra_params))
    elif get_item_from_index_activity is not None:
        params = {"idx": 0, EXTRA_PARAMS: _plain(extra_params)}
        source = OffsetSource(
            form="offset",
            fetch=_item_at(get_item_from_index_activity, params),
            extra_params=params[EXTRA_PARAMS],
            n_items=n_items or 0,
            limit=limit,
            per_worker=per_worker,
        )
    else:
        source = ListSource(form="list", items=_checked(definition, process, items or ()), limit=limit)
    parallel = ParallelRun(process=process, source=source, results=None if _returns_none(definition) else [])
    results = await execute_workflow(ParallelExecution, as_input(parallel), cancellation=definition.cancellation)
    return None if results is None else [definition.output.load(result) for result in results]


def _check(forms: Sequence[object], *, n_items: int | None, extra_params: object) -> None:
    """Raises: InvalidArguments unless the call is in one of the three forms."""
    items, _, by_index = forms
    if sum(form is not None for form in forms) != 1:
        raise _wrong("give one of items, get_item_from_prev_item_activity and get_item_from_index_activity")
    if (n_items is None) is not (by_index is None):
        raise _wrong("n_items goes with get_item_from_index_activity, and is needed there")
    if n_items is not None and n_items < 0:
        raise _wrong(f"n_items has to be 0 or more, not {n_items}")
    if items is not None and extra_params is not None:
        raise _wrong("extra_params are for an activity that fetches items, and items are given")


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise _wrong(f"{name} has to be at least 1, not {value}")
    return value


def _wrong(problem: str) -> InvalidArguments:
    return InvalidArguments(f"execute_activities_in_parallel(): {problem}")


def _parameters(definition: ActivityDefinition) -> list[str]:
    return list(definition.input.schema.get("properties", {}))


def _item_parameter(definition: ActivityDefinition) -> str | None:
    """Return the parameter that takes an item; None where there are several, which an item holds by name."""
    parameters = _parameters(definition)
    if not parameters:
        raise _wrong(f"activity {definition.name!r} takes no parameters, so it cannot take an item")
    return parameters[0] if len(parameters) == 1 else None


def _call(definition: ActivityDefinition, parameter: str | None, constants: Mapping[str, Json] | None = None) -> Call:
    return Call(
        name=definition.name,
        options=definition.options,
        parameter=parameter,
        constants=dict(constants or {}),
        waits_for_end=definition.cancellation == "wait",
    )


def _next_item(activity: Activity, extra_params: object) -> Call:
    """Describe the activity that fetches the item after another one."""
    definition = get_activity_definition(activity)
    own = [name for name in _parameters(definition) if name != EXTRA_PARAMS]
    if len(own) != 1:
        raise _wrong(f"activity {definition.name!r} has to take the item before, and perhaps {EXTRA_PARAMS}, not {own}")
    params = {EXTRA_PARAMS: _plain(extra_params)} if EXTRA_PARAMS in _parameters(definition) else {}
    return _bindable(definition, _call(definition, own[0], params), None)


def _plain(extra_params: object) -> Json:
    """Return what is passed on as JSON. Raises: PayloadRefused for what JSON has no form for, such as NaN."""
    try:
        return own_type(Any, Form.INTERNAL).write(extra_params, EXTRA_PARAMS, is_read_back=False)
    except ValueLost as lost:
        raise PayloadRefused(f"execute_activities_in_parallel(): {lost}") from None


def _item_at(activity: Activity, params: Json) -> Call:
    """Describe the activity that fetches the item at an index."""
    definition = get_activity_definition(activity)
    parameter = _item_parameter(definition)
    if parameter is None:
        raise _wrong(f"activity {definition.name!r} has to take GetItemFromIndexParams and nothing else")
    return _bindable(definition, _call(definition, parameter), params)


def _bindable(definition: ActivityDefinition, call: Call, item: Json) -> Call:
    """Return the call if its first input fits. Raises: InvalidArguments."""
    definition.bind(call.input_of(item))
    return call


def _checked(definition: ActivityDefinition, call: Call, items: Sequence[Any]) -> list[Json]:
    """Return the items as JSON. Raises: WorkflowError for the first one that does not fit."""
    checked: list[Json] = []
    for index, item in enumerate(items):
        try:
            checked.append(_as_json(definition, call.parameter, item))
        except WorkflowsException as error:
            raise WorkflowError(f"item {index}: {error.message}", non_retryable=True) from error
    return checked


def _as_json(definition: ActivityDefinition, parameter: str | None, item: Any) -> Json:
    if parameter is not None:
        return definition.input.dump((item,), {})[parameter]
    if not isinstance(item, Mapping):
        raise InvalidArguments(f"activity {definition.name!r} takes several parameters: give them as a mapping")
    return definition.input.dump((), item)


def _returns_none(definition: ActivityDefinition) -> bool:
    return typing.get_type_hints(definition.function).get("return", Any) is NoneType
