"""Stream events: what clients see of executions, made of what is recorded. Pure.

The types, their attributes and the envelope that readers get: REST contract, sections 4 and 5 (read 2026-11-23).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from levante_core.domain.epoch import EPOCH
from levante_core.domain.executions.execution import Execution
from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.payloads import is_encoded
from levante_core.domain.streams.custom_tasks import TaskEvent, TaskPhase


def nanoseconds(at: datetime) -> int:
    """Return the time of an event: nanoseconds since 1970."""
    return (at - EPOCH) // timedelta(microseconds=1) * 1000


def json_payload(value: Json) -> dict[str, Json]:
    """Return how events carry a value; one that is encoded as what it is, for those who can decode it."""
    if is_encoded(value):
        return {"type": "json", "value": value["b64payload"], "encoding_options": value.get("encoding_options")}
    return {"type": "json", "value": value, "encoding_options": None}


def input_payload(value: Json) -> dict[str, Json]:
    """Return how events carry an input: as the only argument of a list, or encoded as it is."""
    return json_payload(value if is_encoded(value) else [value])


class StreamEventType(StrEnum):
    """The types of stream events. There is none for an execution that was terminated or timed out."""

    WORKFLOW_EXECUTION_STARTED = "WORKFLOW_EXECUTION_STARTED"
    WORKFLOW_EXECUTION_COMPLETED = "WORKFLOW_EXECUTION_COMPLETED"
    WORKFLOW_EXECUTION_FAILED = "WORKFLOW_EXECUTION_FAILED"
    WORKFLOW_EXECUTION_CANCELED = "WORKFLOW_EXECUTION_CANCELED"
    WORKFLOW_EXECUTION_CONTINUED_AS_NEW = "WORKFLOW_EXECUTION_CONTINUED_AS_NEW"
    WORKFLOW_TASK_TIMED_OUT = "WORKFLOW_TASK_TIMED_OUT"
    WORKFLOW_TASK_FAILED = "WORKFLOW_TASK_FAILED"
    CUSTOM_TASK_STARTED = "CUSTOM_TASK_STARTED"
    CUSTOM_TASK_IN_PROGRESS = "CUSTOM_TASK_IN_PROGRESS"
    CUSTOM_TASK_COMPLETED = "CUSTOM_TASK_COMPLETED"
    CUSTOM_TASK_FAILED = "CUSTOM_TASK_FAILED"
    CUSTOM_TASK_TIMED_OUT = "CUSTOM_TASK_TIMED_OUT"
    CUSTOM_TASK_CANCELED = "CUSTOM_TASK_CANCELED"
    ACTIVITY_TASK_STARTED = "ACTIVITY_TASK_STARTED"
    ACTIVITY_TASK_COMPLETED = "ACTIVITY_TASK_COMPLETED"
    ACTIVITY_TASK_RETRYING = "ACTIVITY_TASK_RETRYING"
    ACTIVITY_TASK_FAILED = "ACTIVITY_TASK_FAILED"


class StreamEvent(Frozen):
    """One event as clients see it."""

    event_id: str
    """Id of the event. It is made of what the event is about, so it is the same whenever that is made."""
    event_timestamp: int
    """Nanoseconds since 1970."""
    root_workflow_exec_id: str
    """Id of the execution without parent that it is below; its own, if it has none."""
    parent_workflow_exec_id: str | None
    """Id of the execution that started it; null if none did."""
    workflow_exec_id: str
    """Id of the execution that the event is about."""
    workflow_run_id: str
    """Id of the run that the event is about."""
    workflow_name: str
    """Name of the workflow."""
    continued_run_id: str | None = None
    """Id of the run that this one continues; null for a first run."""
    first_execution_run_id: str | None = None
    """Id of the first of the runs that continue one another; null for a first run."""
    chain_run_id: str | None = None
    """Id of the first run of the chain; null if there is none."""
    schedule_id: str | None = None
    """Id of the schedule that started the execution; null if none did."""
    event_type: StreamEventType
    """The type of the event."""
    attributes: Mapping[str, Json]
    """What there is to say of it, by name."""


class StreamUpdate(Frozen):
    """An event and what readers select by."""

    stream: str
    """The type of a custom task; `workflow` or `activity` for all others."""
    scope: Literal["workflow", "activity"]
    activity_id: str | None = None
    activity_name: str | None = None
    event: StreamEvent

    @property
    def metadata(self) -> dict[str, str]:
        """What the event itself does not say: its scope, and the activity that it is about."""
        fields = {"scope": self.scope, "activity_id": self.activity_id, "activity_name": self.activity_name}
        return {name: value for name, value in fields.items() if value is not None}

    @property
    def at(self) -> datetime:
        """When that happened which the event is about."""
        return EPOCH + timedelta(microseconds=self.event.event_timestamp // 1000)


TASK_EVENTS: Mapping[TaskPhase, StreamEventType] = {
    TaskPhase.STARTED: StreamEventType.CUSTOM_TASK_STARTED,
    TaskPhase.IN_PROGRESS: StreamEventType.CUSTOM_TASK_IN_PROGRESS,
    TaskPhase.COMPLETED: StreamEventType.CUSTOM_TASK_COMPLETED,
    TaskPhase.FAILED: StreamEventType.CUSTOM_TASK_FAILED,
    TaskPhase.TIMED_OUT: StreamEventType.CUSTOM_TASK_TIMED_OUT,
    TaskPhase.CANCELED: StreamEventType.CUSTOM_TASK_CANCELED,
}


def task_attributes(event: TaskEvent) -> dict[str, Json]:
    """Return what the stream event of a custom task's event says."""
    match event.phase:
        case TaskPhase.FAILED:
            details: dict[str, Json] = {"failure": {"message": event.message or "the task failed"}}
        case TaskPhase.TIMED_OUT:
            details = {"timeout_type": event.message}
        case TaskPhase.CANCELED:
            details = {"reason": event.message or "canceled"}
        case _ if event.patch is not None:
            patch = [operation.model_dump() for operation in event.patch]
            options = list(event.patch_options) or None
            details = {"payload": {"type": "json_patch", "value": patch, "encoding_options": options}}
        case TaskPhase.IN_PROGRESS if is_encoded(event.payload):
            details = {"payload": {**json_payload(event.payload), "type": "json_patch"}}
        case _:
            details = {"payload": json_payload(event.payload)}
    return {"custom_task_id": event.task_id, "custom_task_type": event.task_type, **details}


@dataclass(frozen=True, slots=True)
class PublishedTask:
    """An event of a custom task that an activity published.

    publisher: unique for each run of an attempt. seq: of the activity. number: from 1 on, of those of the publisher.
    """

    publisher: str
    seq: int
    activity_name: str
    number: int
    at: datetime
    event: TaskEvent


@dataclass(frozen=True, slots=True)
class OutsideTask:
    """An event of a custom task that a program outside of activities published. happened_at: in nanoseconds since 1970."""

    event_id: str
    happened_at: int
    event_type: StreamEventType
    task_type: str
    attributes: Mapping[str, Json]


def update_of_activity(execution: Execution, published: PublishedTask) -> StreamUpdate:
    """Make the stream event of what an activity published."""
    place, happened_at = f"{published.publisher}:{published.number}", nanoseconds(published.at)
    kind, attributes = TASK_EVENTS[published.event.phase], task_attributes(published.event)
    return StreamUpdate(
        stream=published.event.task_type,
        scope="activity",
        activity_id=f"{execution.key.run_id}:{published.seq}",
        activity_name=published.activity_name,
        event=_event_of(execution, place, happened_at, kind, attributes),
    )


def update_from_outside(execution: Execution, task: OutsideTask) -> StreamUpdate:
    """Make the stream event of what a program outside published. Which activity it is about, if any, it does not say."""
    event = _event_of(execution, task.event_id, task.happened_at, task.event_type, task.attributes)
    return StreamUpdate(stream=task.task_type, scope="workflow", event=event)


def _event_of(
    execution: Execution, event_id: str, at: int, kind: StreamEventType, attributes: Mapping[str, Json]
) -> StreamEvent:
    run_id = execution.key.run_id
    first_run_id = execution.start.first_run_id or run_id
    return StreamEvent(
        event_id=event_id,
        event_timestamp=at,
        root_workflow_exec_id=execution.root_execution_id,
        parent_workflow_exec_id=execution.parent_execution_id,
        workflow_exec_id=execution.key.execution_id,
        workflow_run_id=run_id,
        workflow_name=execution.start.workflow_name,
        continued_run_id=execution.start.continued_run_id,
        first_execution_run_id=first_run_id,
        chain_run_id=first_run_id,
        schedule_id=execution.start.schedule_id,
        event_type=kind,
        attributes=attributes,
    )
