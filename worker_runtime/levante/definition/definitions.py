"""What decorators find out about workflows and activities, and how the worker calls them.

There is no registry: a definition is an attribute of the class or function that it describes.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

from levante.definition.cancellation import Cancellation
from levante.definition.dependencies import Injection, dependency_scope
from levante.definition.handlers import HandlerDefinition
from levante.definition.mapping import KeyedInput
from levante.definition.outputs import ActivityOutput
from levante.definition.parameters import Arguments
from levante.definition.plain_calls import outcome_of
from levante.diagnostics.calls import DurableCall
from levante.diagnostics.places import described
from levante.errors import ErrorCode, InvalidArguments, WorkflowsException, text_of
from levante_core.protocol import ActivityOptions, Json, RetryPolicy, ScheduleDefinition, WorkflowSpec

WORKFLOW = "__levante_workflow__"
ACTIVITY = "__levante_activity__"
FUNCTION = "give the decorated function itself"

PARALLEL_EXECUTION = "__parallel_execution__"
TECHNICAL_NAMES: Mapping[str, str | None] = {
    PARALLEL_EXECUTION: "levante.parallel.execution",
    "__parallel_execution_obo__": None,
}
"""Names of the SDK's own workflows, and the modules that define them. Source: SDK contract §2 (read 2026-11-23)."""


@dataclass(frozen=True, slots=True)
class WorkflowDefinition:
    """A workflow class. enforce_determinism: None leaves it to the worker. search_keys: dotted paths into the input."""

    name: str
    display_name: str | None
    description: str | None
    execution_timeout: timedelta
    enforce_determinism: bool | None
    is_technical: bool
    search_keys: tuple[str, ...]
    schedules: tuple[ScheduleDefinition, ...]
    cls: type
    entrypoint: HandlerDefinition
    signals: Mapping[str, HandlerDefinition]
    queries: Mapping[str, HandlerDefinition]
    updates: Mapping[str, HandlerDefinition]

    async def run(self, instance: object, value: Json) -> Any:
        """Run the entrypoint on a JSON input. Raises: InvalidArguments, and whatever the code raises."""
        return await self.entrypoint.call(instance, value)

    def dump_result(self, value: Any) -> Json:
        """Return what `run` returned as JSON. Raises: WorkflowsException when JSON cannot carry it."""
        return self.entrypoint.dump_result(value)

    def load_result(self, value: Json) -> Any:
        """Return what the workflow returned, from what `dump_result` made of it."""
        return self.entrypoint.output.load(value)

    def spec(self, task_queue: str) -> WorkflowSpec:
        """Describe the workflow for registration."""
        return WorkflowSpec(
            name=self.name,
            task_queue=task_queue,
            input_schema=self.entrypoint.input.schema,
            output_schema=self.entrypoint.output.schema,
            display_name=self.display_name,
            description=self.description,
            is_technical=self.is_technical,
            signals=tuple(signal.spec() for signal in self.signals.values()),
            queries=tuple(query.spec() for query in self.queries.values()),
            updates=tuple(update.spec() for update in self.updates.values()),
            schedules=self.schedules,
            enforce_determinism=self.enforce_determinism is not False,
            execution_timeout=self.execution_timeout,
        )


@dataclass(frozen=True, slots=True)
class ActivityDefinition:
    """An activity function. Retry fields of the options that its decorator left out are unset: see `with_retry_defaults`."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    options: ActivityOptions
    input: KeyedInput
    output: ActivityOutput
    is_sticky: bool = False
    cancellation: Cancellation = "try"
    injection: Injection = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "injection", Injection(self.function))

    def bind(self, value: Json) -> Arguments:
        """Return the arguments that a JSON input stands for. Raises: InvalidArguments, whatever reading it raises."""
        try:
            return self.input.bind(value)
        except WorkflowsException:
            raise
        except Exception as error:  # such as a validator of the user's with a bug
            problem = f"activity {self.name!r}: its input cannot be read, {type(error).__name__}: {text_of(error)}"
            raise InvalidArguments(problem) from error

    async def call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call the function here and now, a plain one in a thread of the loop's default executor.

        Providers fill what the arguments leave to them. Raises: WorkflowsException when one fails, and what the function
        raises.
        """
        async with self._filled(args, kwargs) as function:
            if self.is_async:
                return await function()
            return (await asyncio.to_thread(outcome_of, function)).result()

    @asynccontextmanager
    async def prepared(self, value: Json) -> AsyncIterator[Callable[[], Any]]:
        """Yield the function with the arguments that a JSON input and the providers give it.

        Raises: InvalidArguments, and WorkflowsException when a provider fails.
        """
        args, kwargs = self.bind(value)
        async with self._filled(args, kwargs) as function:
            yield function

    @asynccontextmanager
    async def _filled(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AsyncIterator[Callable[[], Any]]:
        async with dependency_scope() as scope:
            args, kwargs = await self.injection.arguments(scope, args, kwargs)
            yield partial(self.function, *args, **kwargs)

    async def run(self, value: Json) -> Any:
        """Run one attempt on a JSON input. Raises: InvalidArguments, and whatever the function raises."""
        args, kwargs = self.bind(value)
        return await self.call(args, kwargs)

    def dump_result(self, value: Any) -> Json:
        """Return what the function returned as JSON. Raises: WorkflowsException when it does not fit its annotation."""
        return self.output.dump(value)


def with_retry_defaults(options: ActivityOptions, defaults: RetryPolicy) -> ActivityOptions:
    """Fill in the retry fields that the decorator left out. A repeat changes nothing."""
    retry = RetryPolicy(**{**defaults.model_dump(), **options.retry.model_dump(exclude_unset=True)})
    return options.model_copy(update={"retry": retry})


def get_workflow_definition(cls: type) -> WorkflowDefinition:
    """Return the definition of a workflow class.

    Raises:
        WorkflowsException: When the class itself has none.
    """
    given: object = cls
    definition: WorkflowDefinition | None = vars(given).get(WORKFLOW) if isinstance(given, type) else None
    if definition is None:
        if isinstance(given, type):
            problem = f"{given.__qualname__} is no workflow: decorate the class with @workflow.define(name=...)"
        else:
            problem = f"{described(given)} is no workflow: give the class that is decorated with @workflow.define"
        raise WorkflowsException(problem, code=ErrorCode.WORKFLOW_DEFINITION_ERROR)
    return definition


def attach(definition: WorkflowDefinition) -> None:
    """Make a class the workflow that is defined; its entrypoint, if it is not inherited, says so too."""
    cls, method = definition.cls, definition.entrypoint.method
    setattr(cls, WORKFLOW, definition)
    if method in vars(cls):
        setattr(vars(cls)[method], WORKFLOW, definition)


def find_workflow_of(entrypoint: object) -> WorkflowDefinition | None:
    """Return the definition of the workflow whose class holds an entrypoint; None for anything else."""
    return vars(entrypoint).get(WORKFLOW) if isinstance(entrypoint, FunctionType) else None


def find_activity_definition(function: object) -> ActivityDefinition | None:
    """Return the definition of an activity; None for anything else."""
    return vars(function).get(ACTIVITY) if isinstance(function, FunctionType) else None


def get_activity_definition(function: Callable[..., Any]) -> ActivityDefinition:
    """Return the definition of an activity.

    Raises:
        WorkflowsException: When the function is not an activity.
    """
    definition = find_activity_definition(function)
    if definition is None:
        given: object = function
        if isinstance(given, DurableCall):
            raise given.misused("given as the activity itself")
        problem = f"{described(given)} is no activity: {'decorate it with @activity' if callable(given) else FUNCTION}"
        raise WorkflowsException(problem, code=ErrorCode.ACTIVITY_DEFINITION_ERROR)
    return definition


def discover_activities(modules: Iterable[object]) -> dict[str, ActivityDefinition]:
    """Return the activities that the globals of the modules hold, by name.

    modules: a worker serves all imported activities (SDK contract §9), so it passes the values of `sys.modules` when it
    starts; what is no module is passed over. That also finds what workflow code reaches through tables, and it needs no
    registry.
    Raises: WorkflowsException when two functions have one name.
    """
    found = activities_by_name(modules)
    for same_name in found.values():
        if len(same_name) > 1:
            raise ambiguous(same_name, "give one another name")
    return {name: definition for name, (definition,) in found.items()}


def activities_by_name(modules: Iterable[object]) -> dict[str, list[ActivityDefinition]]:
    """Return the activities that the globals of the modules hold: for each name the one, or all that share it."""
    found: dict[str, dict[tuple[str, str], ActivityDefinition]] = {}
    for module in modules:
        values = list(vars(module).values()) if isinstance(module, ModuleType) else []
        for definition in filter(None, map(find_activity_definition, values)):
            found.setdefault(definition.name, {}).setdefault(_source(definition), definition)
    return {name: list(by_source.values()) for name, by_source in found.items()}


def ambiguous(same_name: Sequence[ActivityDefinition], advice: str) -> WorkflowsException:
    """Return the error for a name that stands for several activities."""
    places = " and ".join(":".join(_source(each)) for each in same_name)
    problem = f"{len(same_name)} activities are named {same_name[0].name!r}: {places}; {advice}"
    return WorkflowsException(problem, code=ErrorCode.ACTIVITY_DEFINITION_ERROR)


def _source(definition: ActivityDefinition) -> tuple[str, str]:
    """Where the function is written; a script that is imported again by its name is loaded twice from one place."""
    code = inspect.unwrap(definition.function).__code__
    return code.co_filename, str(code.co_firstlineno)


def discover_workflows(modules: Iterable[object]) -> Iterator[WorkflowDefinition]:
    """Yield the workflows that the globals of the modules hold. What is no module is passed over."""
    for module in modules:
        values = list(vars(module).values()) if isinstance(module, ModuleType) else []
        for value in values:
            definition = vars(value).get(WORKFLOW) if isinstance(value, type) else None
            if isinstance(definition, WorkflowDefinition):
                yield definition
