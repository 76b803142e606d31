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
    """Filters of the events stream; `*` is any. One of the executions has to be named.

    scope: events of workflows or of activities. activity_name, activity_id: of the activity that an event is about.
    workflow_name: of the execution's workflow. workflow_exec_id: of the execution. root_workflow_exec_id: of the execution
    without parent that it is below. parent_workflow_exec_id: of the execution that has started it. stream: the type of a
    custom task; `workflow` or `activity` for all other events. start_seq: the first sequence number wanted.
    workflow_event_types: all, if none is named. event_source: as of one execution; not part of the vendor's API.
    metadata_filters: a JSON object of values by name; so is every parameter that is none of these.
    """

    scope: Literal["activity", "workflow", "*"] = "*"
    activity_name: str = ANY
    activity_id: str = ANY
    workflow_name: str = ANY
    workflow_exec_id: str = ANY
    root_workflow_exec_id: str = ANY
    parent_workflow_exec_id: str = ANY
    stream: str = ANY
    start_seq: Annotated[int, Field(ge=0, le=MOST_EVENTS)] = 0
    workflow_event_types: Annotated[tuple[StreamEventType, ...], Field(max_length=MOST_PARAMETER_VALUES)] = ()
    event_source: EventSource = EventSource.HYBRID
    metadata_filters: Wanted = Field(default_factory=dict)


class ExecutionStreamQuery(Parameters):
    """How to read the stream of one execution.

    event_source: the events there are, those to come, or both. last_event_id: the sequence number of the last event seen;
    the header of that name goes before it.
    """

    event_source: EventSource = EventSource.HYBRID
    last_event_id: Cursor | None = None


LogPlace = Annotated[str, Field(max_length=65_536)]
"""It holds a place for each worker."""


class ExecutionLogStreamQuery(Parameters):
    """Which lines of an execution.

    run_id: of one of its runs. activity_id: as in events. after: lines before this time are left out. last_event_id: of the
    last line seen; the header of that name goes before it.
    """

    run_id: str | None = None
    activity_id: str | None = None
    after: Moment | None = None
    last_event_id: LogPlace | None = None


class DeploymentLogStreamQuery(Parameters):
    """Which lines of a deployment.

    worker_name: of one of its workers. workflow_name: of one workflow. after: lines before this time are left out; those to
    come, if neither this nor last_event_id is given. last_event_id: of the last line seen; the header of that name goes
    before it.
    """

    worker_name: str | None = None
    workflow_name: str | None = None
    after: Moment | None = None
    last_event_id: LogPlace | None = None


# --- answers ----------------------------------------------------------------------------------------------------------


class _Text:
    """Says of what a field holds that it is JSON within a text."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe the text, and what it is of."""
        return {"type": "string", "contentMediaType": "application/json", "contentSchema": handler(schema)}


class WorkflowContext(Frozen):
    """The execution that an event is of. namespace: its workspace."""

    namespace: str
    workflow_name: str
    workflow_exec_id: str
    parent_workflow_exec_id: str | None
    root_workflow_exec_id: str


class StreamPayload(Frozen):
    """What a frame carries. broker_sequence: the event's place in the stream, from 1 on, without a gap."""

    stream: str
    data: StreamEvent
    workflow_context: WorkflowContext
    broker_sequence: int
    timestamp: Time
    metadata: Mapping[str, str]


class StreamProblem(Frozen):
    """What a frame carries that ends a stream before its time. reason: `stream_error` or `internal_error`."""

    error: str
    reason: str


class EventFrame(Frozen):
    """One server-sent event of a stream of events.

    event: `error` on one that ends the stream before its time; no other names one. id: the sequence number, to go on from.
    retry: on the first alone, how many milliseconds to wait before coming again.
    """

    event: Literal["message", "error"] = "message"
    id: str | None = None
    data: Annotated[StreamPayload | StreamProblem, _Text()] | None = None
    retry: int | None = None


class LogFrame(Frozen):
    """One server-sent event of a stream of log lines.

    event: `log`, or `error` on one that ends the stream before its time. id: to go on from. retry: on the first alone, how
    many milliseconds to wait before coming again.
    """

    event: Literal["message", "log", "error"] = "message"
    id: str | None = None
    data: Annotated[LogRecord | StreamProblem, _Text()] | None = None
    retry: int | None = None
