"""What readers of streams ask with, and what they get: the API describes it, the events program answers with it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, from_json

from levante_core.domain.frozen import MOST_PARAMETER_VALUES, Cursor, Frozen, Json, Moment, Parameters, Time
from levante_core.domain.streams.events import StreamEvent, StreamEventType
from levante_core.protocol.logs import LogRecord
from levante_core.protocol.streams import MOST_EVENTS

ANY = "*"
MOST_FILTERS = 20
"""Names of metadata that one reader filters by."""

# --- questions --------------------------------------------------------------------------------------------------------


class EventSource(StrEnum):
    """Which events of an execution: those there are, those to come, or both."""

    DATABASE = "DATABASE"
    LIVE = "LIVE"
    HYBRID = "HYBRID"


def _read_object(given: Any) -> Any:
    """Read the JSON object that some send as one parameter; a value in it may be a list of some. Raises: ValueError."""
    text = given[0] if isinstance(given, list) and len(given) == 1 else given
    found = from_json(text) if isinstance(text, str) else text
    if not isinstance(found, dict):
        return found
    if len(found) > MOST_FILTERS:
        raise ValueError(f"filters of metadata name {MOST_FILTERS} values at most")
    return {name: value if isinstance(value, list | tuple) else (value,) for name, value in found.items()}


Wanted = Annotated[
    Mapping[str, Annotated[tuple[Json, ...], Field(max_length=MOST_PARAMETER_VALUES)]],
    BeforeValidator(_read_object),
    WithJsonSchema({"type": "string"}, mode="validation"),
]
"""Values of metadata by name, any of which will do."""


class EventStreamQuery(Parameters):
    """Filters of the events stream; `*` is any. One of the executions has to be named."""

    scope: Literal["activity", "workflow", "*"] = "*"
    """Events of workflows or of activities."""
    activity_name: str = ANY
    """Name of the activity that an event is about."""
    activity_id: str = ANY
    """Id of the activity that an event is about."""
    workflow_name: str = ANY
    """Name of the execution's workflow."""
    workflow_exec_id: str = ANY
    """Id of the execution."""
    root_workflow_exec_id: str = ANY
    """Id of the execution without parent that it is below."""
    parent_workflow_exec_id: str = ANY
    """Id of the execution that has started it."""
    stream: str = ANY
    """The type of a custom task; `workflow` or `activity` for all other events."""
    start_seq: Annotated[int, Field(ge=0, le=MOST_EVENTS)] = 0
    """The first sequence number wanted."""
    workflow_event_types: Annotated[tuple[StreamEventType, ...], Field(max_length=MOST_PARAMETER_VALUES)] = ()
    """All, if none is named."""
    event_source: EventSource = EventSource.HYBRID
    """As of one execution; not part of Mistral's API."""
    metadata_filters: Wanted = Field(default_factory=dict)
    """A JSON object of values by name; so is every parameter that is none of these."""


class ExecutionStreamQuery(Parameters):
    """How to read the stream of one execution."""

    event_source: EventSource = EventSource.HYBRID
    """The events there are, those to come, or both."""
    last_event_id: Cursor | None = None
    """The sequence number of the last event seen; the header of that name goes before it."""


LogPlace = Annotated[str, Field(max_length=65_536)]
"""It holds a place for each worker."""


class ExecutionLogStreamQuery(Parameters):
    """Which lines of an execution."""

    run_id: str | None = None
    """Id of the run whose lines are wanted; all of them, if left out."""
    activity_id: str | None = None
    """Id of the activity whose lines are wanted, as in events."""
    after: Moment | None = None
    """Lines before this time are left out."""
    last_event_id: LogPlace | None = None
    """Id of the last line seen; the header of that name goes before it."""


class DeploymentLogStreamQuery(Parameters):
    """Which lines of a deployment."""

    worker_name: str | None = None
    """Name of one of its workers."""
    workflow_name: str | None = None
    """Name of one workflow."""
    after: Moment | None = None
    """Lines before this time are left out; those to come, if neither this nor last_event_id is given."""
    last_event_id: LogPlace | None = None
    """Id of the last line seen; the header of that name goes before it."""


# --- answers ----------------------------------------------------------------------------------------------------------


class _Text:
    """Says of what a field holds that it is JSON within a text."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text, and what it is of."""
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": handler(schema)}


class WorkflowContext(Frozen):
    """The execution that an event is of."""

    namespace: str
    """Workspace of the execution."""
    workflow_name: str
    """Name of the workflow."""
    workflow_exec_id: str
    """Id of the execution."""
    parent_workflow_exec_id: str | None
    """Id of the execution that started it; null if none did."""
    root_workflow_exec_id: str
    """Id of the execution without parent that it is below; its own, if it has none."""


class StreamPayload(Frozen):
    """What a frame carries."""

    stream: str
    """Type of the custom task; `workflow` or `activity` for all other events."""
    data: StreamEvent
    """The event."""
    workflow_context: WorkflowContext
    """The execution that the event is of."""
    broker_sequence: int
    """The event's place in the stream, from 1 on, without a gap."""
    timestamp: Time
    """When the event happened."""
    metadata: Mapping[str, str]
    """Scope and activity of the event, which it does not say itself."""


class StreamProblem(Frozen):
    """What a frame carries that ends a stream before its time."""

    error: str
    """What went wrong, for people."""
    reason: str
    """`stream_error` or `internal_error`."""


class EventFrame(Frozen):
    """One server-sent event of a stream of events."""

    event: Literal["message", "error"] = "message"
    """`error` on one that ends the stream before its time; no other names one."""
    id: str | None = None
    """The sequence number, to go on from."""
    data: Annotated[StreamPayload | StreamProblem, _Text()] | None = None
    """The event, or why the stream ends; null on frames that keep the connection open."""
    retry: int | None = None
    """On the first alone, how many milliseconds to wait before coming again."""


class LogFrame(Frozen):
    """One server-sent event of a stream of log lines."""

    event: Literal["message", "log", "error"] = "message"
    """`log`, or `error` on one that ends the stream before its time."""
    id: str | None = None
    """Where to go on from."""
    data: Annotated[LogRecord | StreamProblem, _Text()] | None = None
    """The line, or why the stream ends; null on frames that keep the connection open."""
    retry: int | None = None
    """On the first alone, how many milliseconds to wait before coming again."""
