"""Custom tasks: progress that user code publishes, from workflows and activities, as events that clients stream."""

from __future__ import annotations

import asyncio
import builtins
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel

from levante.context import Publish, current_activity, current_workflow
from levante.definition.refusals import PayloadRefused
from levante.definition.schemas import own_type
from levante.errors import WorkflowsException, text_of
from levante.patches import difference
from levante.values.forms import Form
from levante.values.losses import ValueLost
from levante_core.protocol import Json, TaskEvent, TaskPhase

State = TypeVar("State")

EVENT_BYTES = 1024 * 1024
"""Source: SDK contract, section 6 (read 2026-11-23)."""

logger = logging.getLogger("levante.task")


class Task(Generic[State]):
    """A task with a type and optionally a state; all its changes are published.

        async with task("answer", {"text": ""}) as answer:
            async for token in model:
                await answer.update_state({"text": answer.state["text"] + token})

    Entering the block publishes the start, leaving it publishes the completion with the last state, and an exception
    publishes the failure. Publishing never fails and never slows the work: an event over 1 MB is logged and left out. An
    activity's events are in the stream before its outcome.
    Entering it raises WorkflowsException outside workflows and activities.
    """

    def __init__(self, type: str, state: State | None = None, id: str | None = None) -> None:  # noqa: A002 - the contract's names
        self._type = type
        self._state = state
        self._id = id
        self._published: Json = None
        self._publish: Publish | None = None

    @property
    def id(self) -> str:
        """The task's id; generated on entry, unless you pass one."""
        if self._id is None:
            raise WorkflowsException("a task has no id before it is entered")
        return self._id

    @property
    def type(self) -> str:
        """The task's type, which is also the name of its events' stream."""
        return self._type

    @property
    def state(self) -> State | None:
        """The current state."""
        return self._state

    async def set_state(self, state: State) -> None:
        """Replace the state.

        Raises:
            WorkflowsException: When it is no JSON.
        """
        self._state = state
        new = _json(state)
        patch = tuple(difference(self._published, new))
        self._published = new
        if patch:
            self._report(TaskPhase.IN_PROGRESS, patch=patch)

    async def update_state(self, changes: Mapping[str, Any] | BaseModel) -> None:
        """Replace some fields of the state.

        Raises:
            RuntimeError: When there is no state, or it has no fields.
        """
        if isinstance(changes, BaseModel):
            changes = {name: getattr(changes, name) for name in changes.model_fields_set}
        state: Any = self._state
        match state:
            case BaseModel():
                changed: Any = state.model_copy(update=dict(changes))
                await self.set_state(changed)
            case dict():
                merged: Any = {**state, **changes}
                await self.set_state(merged)
            case _:
                raise RuntimeError(f"task {self._type!r} has no state with fields to update: give it one when it is made")

    async def __aenter__(self) -> Self:
        self._publish, made_up = _publisher()
        self._id = self._id or made_up
        self._published = _json(self._state)
        self._report(TaskPhase.STARTED, payload=self._published)
        return self

    async def __aexit__(
        self, kind: builtins.type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is None:
            self._report(TaskPhase.COMPLETED, payload=self._published)
        elif isinstance(error, asyncio.CancelledError):
            self._report(TaskPhase.CANCELED)
        else:
            self._report(TaskPhase.FAILED, message=text_of(error) or type(error).__name__)

    def _report(self, phase: TaskPhase, **said: Any) -> None:
        if self._publish is None:
            raise WorkflowsException("a task has to be entered first: async with task(...) as t")
        event = TaskEvent(task_id=self.id, task_type=self._type, phase=phase, **said)
        size = len(event.model_dump_json())
        if size > EVENT_BYTES:
            logger.warning("an event of task %s has %d bytes, more than %d: left out", self._type, size, EVENT_BYTES)
        else:
            self._publish(event)


def task(type: str, state: State | None = None, id: str | None = None) -> Task[State]:  # noqa: A002 - the contract's names
    """Make a task.

    Args:
        type: The type, by which clients select its events.
        state: A model or JSON.
        id: None generates one.
    """
    return Task(type, state, id)


def task_from(state: State, type: str | None = None, id: str | None = None) -> Task[State]:  # noqa: A002 - the contract's names
    """Make a task whose type is the title of its state's model.

    Raises:
        WorkflowsException: When the state is not a model.
    """
    if type is None and not isinstance(state, BaseModel):
        raise WorkflowsException("task_from() reads the type off a model: for another state, give the type")
    if type is None:
        model = state.__class__
        config: Mapping[str, Any] = getattr(model, "model_config", {})
        type = str(config.get("title") or model.__name__)  # noqa: A001 - as above
    return Task(type, state, id)


def _publisher() -> tuple[Publish, str]:
    """Return who publishes for the running code, and an id for a task of it."""
    workflow, activity = current_workflow.get(), current_activity.get()
    if workflow is not None:
        return workflow.publish, workflow.uuid4().hex
    if activity is not None:
        return activity.publish, activity.new_task_id()
    raise WorkflowsException("task() works only in workflows and activities")


def _json(state: object) -> Json:
    """Return a state as clients see it. Raises: PayloadRefused when it is no JSON, or holds NaN, an infinity or a secret."""
    as_shown = own_type(type(state), Form.SHOWN) if isinstance(state, BaseModel) else own_type(Any, Form.RESULT)
    try:
        return as_shown.write(state, "state", is_read_back=False)
    except ValueLost as lost:
        raise PayloadRefused(f"the state of a task has to be JSON: {lost}") from None
