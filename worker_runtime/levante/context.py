"""Where the running code finds the run or the activity attempt that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeAlias
from uuid import UUID

from levante_core.protocol import ActivityOptions, ChildScheduled, Json, ParentClosePolicy, SearchKeysChanged, TaskEvent

if TYPE_CHECKING:
    from levante.definition.definitions import ActivityDefinition


@dataclass(frozen=True, slots=True)
class ChildWorkflow:
    """A child to be started. execution_id: None for one that is made up. timeout_seconds: None for what it declares.

    declared_seconds: what it declares; 0 for one of ours. waits_for_end: when its cancellation is asked for, its end is
    waited for all the same.
    """

    workflow_name: str
    input: Json
    close_policy: ParentClosePolicy
    is_awaited: bool
    execution_id: str | None = None
    timeout_seconds: float | None = None
    declared_seconds: float = 0.0
    waits_for_end: bool = False


class Child(Protocol):
    """What workflow code can wait for: that a child has started, and its JSON result. Either raises ChildWorkflowError."""

    @property
    def scheduled(self) -> ChildScheduled: ...

    @property
    def started(self) -> asyncio.Future[str]: ...

    @property
    def ended(self) -> asyncio.Future[Json]: ...

    def signal(self, name: str, value: Json) -> None:
        """Send the child a signal."""
        ...


Publish: TypeAlias = Callable[[TaskEvent], None]
"""Takes an event of a custom task, to be published."""


class WorkflowContext(Protocol):
    """What workflow code can ask of its run. The replayer implements it."""

    @property
    def execution_id(self) -> str: ...

    @property
    def run_id(self) -> str: ...

    @property
    def workflow_name(self) -> str: ...

    @property
    def is_replaying(self) -> bool:
        """Whether what the code does now it has done before."""
        ...

    @property
    def events(self) -> int:
        """How many events the history has by now, but for notes."""
        ...

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

    def all_handlers_finished(self) -> bool:
        """Whether no handler is at work, but for the one that asks."""
        ...

    def continue_as_new(self, input: object) -> NoReturn:
        """End the run, and go on as a new one with this input, a model or a mapping.

        Raises: InvalidArguments for an input that does not fit; PayloadRefused for one that would not arrive as it is.
        """
        ...

    def start_activity(
        self, name: str, input: Any, options: ActivityOptions, *, waits_for_end: bool = False
    ) -> asyncio.Future[Any]:
        """Ask for an activity. The future brings its JSON result, or raises ActivityError.

        waits_for_end: when its cancellation is asked for, it stays pending until the activity has ended.
        """
        ...

    def patched(self, patch_id: str) -> bool:
        """Whether the code is to take the new side of a change; recorded where it is asked about first."""
        ...

    def deprecate_patch(self, patch_id: str) -> None:
        """Record that no code takes the old side of a change any more."""
        ...

    def change_search_keys(self, change: SearchKeysChanged) -> None:
        """Let the execution be found by other keys. Raises: WorkflowsException when they are too many."""
        ...

    def publish(self, event: TaskEvent) -> None:
        """Publish an event of a custom task."""
        ...

    def start_child(self, child: ChildWorkflow) -> Child:
        """Ask for a child workflow."""
        ...

    async def wait_condition(self, predicate: Callable[[], bool], timeout_seconds: float | None) -> None:
        """Return when the predicate holds. Raises: TimeoutError."""
        ...


@dataclass(frozen=True, slots=True)
class ActivityInfo:
    """An attempt of an activity. activity_id: the same for all of its attempts. attempt: 1-based.

    task_token: for whoever ends the attempt if it goes on elsewhere; see `activity.complete_later`.
    """

    execution_id: str
    run_id: str
    activity_id: str
    activity_name: str
    attempt: int
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta | None
    task_token: str


@dataclass(frozen=True, slots=True)
class ActivityContext:
    """The activity attempt that the code belongs to.

    details: of the last heartbeat of the attempts before. open_session: lets activities stick to this worker, and names it.
    heartbeat: says that the attempt is at work, in any thread;
    raises CancelledError when nobody waits for it any more. activities: those that the worker serves, by name.
    """

    info: ActivityInfo
    details: tuple[Json, ...]
    heartbeat: Callable[[tuple[Json, ...]], None]
    publish: Publish
    new_task_id: Callable[[], str]
    open_session: Callable[[], str]
    activities: Mapping[str, ActivityDefinition] = field(default_factory=dict)


current_session: ContextVar[str | None] = ContextVar("levante_session", default=None)
runs_locally: ContextVar[bool] = ContextVar("levante_runs_locally", default=False)
current_workflow: ContextVar[WorkflowContext | None] = ContextVar("levante_workflow", default=None)
current_activity: ContextVar[ActivityContext | None] = ContextVar("levante_activity", default=None)


@contextmanager
def run_activities_locally() -> Iterator[None]:
    """Run the activities called in the block in the worker that runs the workflow, however long they take.

    For work of less than a second. Heartbeat timeouts and rate limits do not apply there. An attempt after the first one
    may run in any worker, and so may the first one while it is unsure which worker is to go on with the execution.
    """
    token = runs_locally.set(True)
    try:
        yield
    finally:
        runs_locally.reset(token)


def get_execution_id() -> str | None:
    """Return the id of the execution that the calling code works for; None outside workflows and activities."""
    workflow, activity = current_workflow.get(), current_activity.get()
    if workflow is not None:
        return workflow.execution_id
    return activity.info.execution_id if activity else None
