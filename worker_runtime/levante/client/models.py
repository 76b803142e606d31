"""What the client shows of executions and of their events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from levante.client.answers import OPEN_STATUSES, Answer, failure_in
from levante.client.errors import UnexpectedAnswer, WorkflowExecutionFailed
from levante_core.protocol import Failure, Json

COMPLETED = "COMPLETED"
_VALUES = ("result", "payload", "input")
"""The attributes of events that carry a value; each type of event has one of them, or none."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ExecutionDescription(_Shown):
    """An execution and the state of its latest run. result: JSON, not decoded; `Handle.result` returns it decoded."""

    execution_id: str
    workflow_name: str
    status: str | None
    start_time: datetime
    end_time: datetime | None = None
    run_id: str | None = None
    root_execution_id: str | None = None
    parent_execution_id: str | None = None
    deployment_name: str | None = None
    build_id: str | None = None
    search_keys: Mapping[str, str] | None = None
    failure: Failure | None = None
    result: Json = None

    @property
    def is_open(self) -> bool:
        """Whether it is still open."""
        return self.status in OPEN_STATUSES


class Wait(_Shown):
    """Something that an open execution waits for. What does not apply is None.

    kind: such as `timer`, `activity_failing` or `no_worker`, see docs/guides/troubleshooting.md. until: when it is over, or
    changes, by itself. seq: of the activity, timer or child, by which repairs name it. actor: who has to act. remedies: the
    repairs by hand that apply.
    """

    kind: str
    message: str
    since: datetime | None = None
    until: datetime | None = None
    seq: int | None = None
    name: str | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    failure: Failure | None = None
    worker: str | None = None
    heartbeat_at: datetime | None = None
    child_execution_id: str | None = None
    signals: tuple[str, ...] | None = None
    updates: tuple[str, ...] | None = None
    actor: str
    remedies: tuple[str, ...] = ()


class Explanation(_Shown):
    """What an execution waits for: nothing only once it has ended. summary: one sentence."""

    execution_id: str
    run_id: str
    status: str
    summary: str
    waits: tuple[Wait, ...]


class ExecutionEvent(_Shown):
    """What happened in an execution. sequence: its place in the stream, ascending. type: such as ACTIVITY_TASK_COMPLETED.

    stream: the type of a custom task; `workflow` or `activity` for all others. attributes: they depend on the type, see
    docs/events.md.
    """

    sequence: Annotated[int, Field(validation_alias="broker_sequence")]
    stream: str
    at: Annotated[datetime, Field(validation_alias="timestamp")]
    type: Annotated[str, Field(validation_alias=AliasPath("data", "event_type"))]
    event_id: Annotated[str, Field(validation_alias=AliasPath("data", "event_id"))]
    execution_id: Annotated[str, Field(validation_alias=AliasPath("data", "workflow_exec_id"))]
    run_id: Annotated[str, Field(validation_alias=AliasPath("data", "workflow_run_id"))]
    workflow_name: Annotated[str, Field(validation_alias=AliasPath("data", "workflow_name"))]
    root_execution_id: Annotated[str, Field(validation_alias=AliasPath("data", "root_workflow_exec_id"))]
    parent_execution_id: Annotated[str | None, Field(validation_alias=AliasPath("data", "parent_workflow_exec_id"))] = None
    attributes: Annotated[Mapping[str, Any], Field(validation_alias=AliasPath("data", "attributes"))]

    @property
    def activity_name(self) -> str | None:
        """Name of the activity, if the event belongs to one."""
        return self.attributes.get("activity_name")

    @property
    def value(self) -> Json:
        """The event's result, payload or input, as JSON; None if it has none."""
        carried = self.attributes.get(self.value_attribute or "")
        return carried.get("value") if isinstance(carried, dict) else None

    @property
    def message(self) -> str | None:
        """The message of the failure, if the event is one."""
        failure = self.attributes.get("failure")
        return failure.get("message") if isinstance(failure, dict) else None

    @property
    def value_attribute(self) -> str | None:
        """Which attribute carries the value."""
        return next((name for name in _VALUES if self.attributes.get(name) is not None), None)


def description_in(answer: Answer) -> ExecutionDescription:
    """Read an execution. Raises: UnexpectedAnswer."""
    try:
        shown = answer.value | {"failure": failure_in(answer.value.get("failure"))}
        return ExecutionDescription.model_validate(shown)
    except (ValidationError, TypeError, AttributeError):
        raise UnexpectedAnswer(f"this is no execution: {answer.text}") from None


def explanation_in(answer: Answer) -> Explanation:
    """Read what an execution waits for. Raises: UnexpectedAnswer."""
    try:
        return Explanation.model_validate(answer.value)
    except ValidationError:
        raise UnexpectedAnswer(f"this explains no execution: {answer.text}") from None


def event_in(text: str) -> ExecutionEvent:
    """Read an event. Raises: UnexpectedAnswer."""
    try:
        return ExecutionEvent.model_validate_json(text)
    except ValidationError:
        raise UnexpectedAnswer(f"this is no event: {text}") from None


def result_in(answer: Answer, execution_id: str) -> Json:
    """Return the result of an execution that has ended. Raises: WorkflowExecutionFailed if it has none."""
    status = answer.value.get("status", COMPLETED)  # an answer to a start that waited has no status
    if status != COMPLETED:
        raise WorkflowExecutionFailed(execution_id, str(status), failure_in(answer.value.get("failure")))
    return answer.value.get("result")
