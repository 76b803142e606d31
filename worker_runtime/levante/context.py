"""Where the running code finds the run or the activity attempt that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias
from uuid import UUID

from levante_core.protocol import ActivityOptions, ChildScheduled, Json, ParentClosePolicy, TaskEvent

if TYPE_CHECKING:
    from levante.definitions import ActivityDefinition


@dataclass(frozen=True, slots=True)
class ChildWorkflow:
    """A child to be started. execution_id: None for one that is made up. timeout_seconds: None for what it declares."""

    workflow_name: str
    input: Json
    close_policy: ParentClosePolicy
    is_awaited: bool
    execution_id: str | None = None
    timeout_seconds: float | None = None


class Child(Protocol):
    """What workflow code can wait for: that a child has started, and its JSON result. Either raises ChildWorkflowError."""

    @property
    def scheduled(self) -> ChildScheduled: ...

    @property
    def started(self) -> asyncio.Future[str]: ...

    @property
    def ended(self) -> asyncio.Future[Json]: ...


Publish: TypeAlias = Callable[[TaskEvent], None]
"""Takes an event of a custom task, to be published."""


class WorkflowContext(Protocol):
    """What workflow code can ask of its run. The replayer implements it."""

    @property
    def execution_id(self) -> str: ...

    @property
    def random(self) -> Random:
        """The run's own random numbers, the same on every replay."""
        ...

    def now(self) -> datetime:
        """The recorded time of what is being applied, aware UTC."""
        ...

    def uuid4(self) -> UUID:
        """A UUID drawn from `random`."""
        ...

    def should_continue_as_new(self) -> bool:
        """Whether the history has become long."""
        ...

    def continue_as_new(self, input: Json) -> NoReturn:
        """End the run, and go on as a new one with this input. Raises: InvalidArguments for an input that does not fit."""
        ...

    def start_activity(self, name: str, input: Any, options: ActivityOptions) -> asyncio.Future[Any]:
        """Ask for an activity. The future brings its JSON result, or raises ActivityError."""
        ...

    def publish(self, event: TaskEvent) -> None:
        """Tell of a custom task."""
        ...

    def start_child(self, child: ChildWorkflow) -> Child:
        """Ask for a child workflow."""
        ...

    async def wait_condition(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        """Return when the predicate holds. Raises: TimeoutError."""
        ...


@dataclass(frozen=True, slots=True)
class ActivityContext:
    """The activity attempt that the code belongs to. attempt: 1-based. activities: those that the worker serves, by name."""

    execution_id: str
    activity_name: str
    attempt: int
    publish: Publish
    new_task_id: Callable[[], str]
    activities: Mapping[str, ActivityDefinition] = field(default_factory=dict)


current_workflow: ContextVar[WorkflowContext | None] = ContextVar("levante_workflow", default=None)
current_activity: ContextVar[ActivityContext | None] = ContextVar("levante_activity", default=None)


def get_execution_id() -> str | None:
    """Return the id of the execution that the calling code works for; None outside workflows and activities."""
    context = current_workflow.get() or current_activity.get()
    return context.execution_id if context else None
