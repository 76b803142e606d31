"""Events of custom tasks as they are sent to us. Source of the models: REST contract, sections 5 and 7 (read 2026-11-30)."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.payloads import problem_with
from levante_core.domain.streams.events import TASK_EVENTS, OutsideTask, StreamEventType
from levante_core.errors import InvalidInput
from levante_core.services.streams.external_events import OutsideEvent

EVENT_BYTES = 1024 * 1024
BATCH_BYTES = 2 * 1024 * 1024
"""Source of both: REST contract, section 1.5 (read 2026-11-30)."""
BATCH_EVENTS = 1000

_PROBLEM = (
    f"event_type has to be one of {', '.join(TASK_EVENTS.values())}: events of workflows and activities are made of what is "
    "recorded, and nobody can send them"
)

Name = Annotated[str, Field(min_length=1, max_length=256)]
Pointer = Annotated[str, Field(pattern=r"^(/[^~]*(~[01][^~]*)*)?$")]
Encoding = Literal["offloaded", "encrypted", "encrypted-partial", "compressed"]


class JsonPayload(Frozen):
    """A JSON value, or what encoding has made of it."""

    type: Literal["json"] = "json"
    value: Json = None
    """The value; a text where it is encoded."""
    encoding_options: tuple[Encoding, ...] | None = None
    """What encoding has made of the value, in order; null for nothing."""


class EncryptedValue(Frozen):
    """An encrypted text within a patch."""

    type: Literal["__encrypted__"] = "__encrypted__"
    value: str
    """The encrypted text."""


class PatchAppend(Frozen):
    """Add to the text at the path."""

    op: Literal["append"]
    path: Pointer
    """Where, as a JSON pointer."""
    value: EncryptedValue | str
    """The text to add."""


class PatchOther(Frozen):
    """An operation of RFC 6902."""

    op: Literal["add", "replace", "remove"]
    """What to do."""
    path: Pointer
    """Where, as a JSON pointer."""
    value: Json = None
    """The value for that place."""


class PatchPayload(Frozen):
    """What has changed of a JSON value; a text where it is encoded."""

    type: Literal["json_patch"]
    value: tuple[Annotated[PatchAppend | PatchOther, Field(discriminator="op")], ...] | str
    """The operations; a text where they are encoded."""
    encoding_options: tuple[Encoding, ...] | None = None
    """What encoding has made of the value, in order; null for nothing."""


class Task(Frozen):
    """Which task it is about."""

    custom_task_id: Name
    """Id of the task, made by whoever publishes."""
    custom_task_type: Name
    """The name of the stream that its events are in."""


class TaskStarted(Task):
    """A task that has started."""

    payload: JsonPayload = JsonPayload()
    """The state that the task starts with."""


class TaskInProgress(Task):
    """A task that has come further."""

    payload: Annotated[JsonPayload | PatchPayload, Field(discriminator="type")]
    """The task's state, or what has changed of it."""


class TaskCompleted(Task):
    """A task that has completed."""

    payload: JsonPayload
    """The state that the task ends with."""


class TaskFailure(Frozen):
    """Why a task failed."""

    message: str
    """Why it failed."""


class TaskFailed(Task):
    """A task that has failed."""

    failure: TaskFailure
    """What went wrong."""


class TaskTimedOut(Task):
    """A task that has taken too long."""

    timeout_type: str | None = None
    """Which time was over."""


class TaskCanceled(Task):
    """A task that was given up."""

    reason: str | None = None
    """Why it was given up."""


class _Event(Frozen):
    """What all events have. Ids of earlier runs and of the schedule are taken from the execution, whatever is sent."""

    event_id: Name
    """Id of the event, made by whoever publishes: the same one is added once."""
    event_timestamp: Annotated[int, Field(ge=0, lt=2**63)]
    """When it happened, in nanoseconds since 1970."""
    root_workflow_exec_id: str
    """Id of the execution without parent that it is below; its own, if it has none."""
    parent_workflow_exec_id: str | None = None
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


class StartedEvent(_Event):
    """A task has started."""

    event_type: Literal[StreamEventType.CUSTOM_TASK_STARTED]
    attributes: TaskStarted
    """The task, and the state that it starts with."""


class InProgressEvent(_Event):
    """A task has come further."""

    event_type: Literal[StreamEventType.CUSTOM_TASK_IN_PROGRESS]
    attributes: TaskInProgress
    """The task, and what its state is now."""


class CompletedEvent(_Event):
    """A task has completed."""

    event_type: Literal[StreamEventType.CUSTOM_TASK_COMPLETED]
    attributes: TaskCompleted
    """The task, and the state that it ends with."""


class FailedEvent(_Event):
    """A task has failed."""

    event_type: Literal[StreamEventType.CUSTOM_TASK_FAILED]
    attributes: TaskFailed
    """The task, and why it failed."""


class TimedOutEvent(_Event):
    """A task has taken too long."""

    event_type: Literal[StreamEventType.CUSTOM_TASK_TIMED_OUT]
    attributes: TaskTimedOut
    """The task, and which time was over."""


class CanceledEvent(_Event):
    """A task was given up."""

    event_type: Literal[StreamEventType.CUSTOM_TASK_CANCELED]
    attributes: TaskCanceled
    """The task, and why it was given up."""


def _kind_of(event: Any) -> Any:
    return event.get("event_type") if isinstance(event, dict) else getattr(event, "event_type", None)


TaskEventBody = Annotated[
    Annotated[StartedEvent, Tag("CUSTOM_TASK_STARTED")]
    | Annotated[InProgressEvent, Tag("CUSTOM_TASK_IN_PROGRESS")]
    | Annotated[CompletedEvent, Tag("CUSTOM_TASK_COMPLETED")]
    | Annotated[FailedEvent, Tag("CUSTOM_TASK_FAILED")]
    | Annotated[TimedOutEvent, Tag("CUSTOM_TASK_TIMED_OUT")]
    | Annotated[CanceledEvent, Tag("CUSTOM_TASK_CANCELED")],
    Discriminator(_kind_of, "event_type", _PROBLEM),
]


class EventBody(Frozen):
    """One event."""

    event: TaskEventBody
    """The event."""


class EventsBody(Frozen):
    """Events, each of any execution; in order for each."""

    events: Annotated[tuple[TaskEventBody, ...], Field(min_length=1, max_length=BATCH_EVENTS)]
    """The events; in order for each execution."""


class EventResponse(Frozen):
    """Whether it is in the stream."""

    status: Literal["success"] = "success"
    """Whether it is in the stream."""
    message: str | None = None
    """For people."""


class EventsResponse(EventResponse):
    """Whether events are in the stream."""

    events_received: int
    """How many were sent, those that were there already included."""


def outside_events(events: EventsBody | EventBody) -> list[OutsideEvent]:
    """Read what was sent. Raises: InvalidInput where it is too large."""
    placed: dict[tuple[str | int, ...], TaskEventBody] = (
        {("body", "event"): events.event}
        if isinstance(events, EventBody)
        else {("body", "events", number): event for number, event in enumerate(events.events)}
    )
    sizes = {where: _size(where, event) for where, event in placed.items()}
    if sum(sizes.values()) > BATCH_BYTES:
        raise InvalidInput.at(
            ("body", "events"), f"the events have {sum(sizes.values()):,} bytes, and 2 MB fit: send fewer at a time"
        )
    return [_outside(where, event) for where, event in placed.items()]


def _size(where: tuple[str | int, ...], event: TaskEventBody) -> int:
    size, problem = problem_with("the event", event.model_dump(mode="json"))
    if problem is None and size > EVENT_BYTES:
        problem = f"the event has {size:,} bytes, and 1 MB fits: store the data elsewhere and pass a reference"
    if problem:
        raise InvalidInput.at(where, problem)
    return size


def _outside(where: tuple[str | int, ...], event: TaskEventBody) -> OutsideEvent:
    return OutsideEvent(
        where=where,
        execution_id=event.workflow_exec_id,
        run_id=event.workflow_run_id,
        root_execution_id=event.root_workflow_exec_id,
        parent_execution_id=event.parent_workflow_exec_id,
        workflow_name=event.workflow_name,
        task=OutsideTask(
            event_id=event.event_id,
            happened_at=event.event_timestamp,
            event_type=event.event_type,
            task_type=event.attributes.custom_task_type,
            attributes=event.attributes.model_dump(mode="json"),
        ),
    )
