"""Endpoints of traces. Source of the models: the REST contract, §10 (read 2026-11-24)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.executions.models import WorkflowExecutionResponse, execution_response
from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_core.domain.executions.execution import Execution
from levante_core.domain.frozen import Frozen, Json, Parameters
from levante_core.domain.observability.spans import SpanTree, Value, tree
from levante_core.domain.streams.events import StreamEvent, StreamEventType, nanoseconds
from levante_core.services.engine import Engine
from levante_core.services.observability.otlp import resource_of, span_of

MOST = 5000
"""Spans or events in one answer; what an execution did after them is left out, and `data_source` says so."""
NANOSECONDS = 1_000_000

Attributes = Mapping[str, Value]
PROGRESS: Mapping[StreamEventType, Literal["RUNNING", "COMPLETED", "FAILED"]] = {
    StreamEventType.ACTIVITY_TASK_STARTED: "RUNNING",
    StreamEventType.ACTIVITY_TASK_RETRYING: "RUNNING",
    StreamEventType.ACTIVITY_TASK_COMPLETED: "COMPLETED",
    StreamEventType.ACTIVITY_TASK_FAILED: "FAILED",
    StreamEventType.CUSTOM_TASK_STARTED: "RUNNING",
    StreamEventType.CUSTOM_TASK_IN_PROGRESS: "RUNNING",
    StreamEventType.CUSTOM_TASK_COMPLETED: "COMPLETED",
    StreamEventType.CUSTOM_TASK_FAILED: "FAILED",
    StreamEventType.CUSTOM_TASK_TIMED_OUT: "FAILED",
    StreamEventType.CUSTOM_TASK_CANCELED: "FAILED",
}


class ExecutionTraceInfoResponse(Frozen):
    """Which trace an execution belongs to."""

    otel_trace_id: str | None
    """Id of the trace; null if there is none."""
    has_trace_data: bool
    """Whether there are spans to show."""


class TempoTraceBatch(Frozen):
    """The spans of one resource, in the JSON of OTLP but for enumerations, which are names."""

    resource: dict[str, Json]
    """Where the spans come from."""
    scopeSpans: tuple[dict[str, Json], ...]  # noqa: N815 - the contract's name
    """The spans, by what made them."""


class TempoGetTraceResponse(Frozen):
    """A trace."""

    batches: tuple[TempoTraceBatch, ...]
    """The spans, by where they come from."""


class WorkflowExecutionTraceOTelResponse(WorkflowExecutionResponse):
    """An execution and the spans of its latest run."""

    data_source: str
    """What the spans are made of."""
    otel_trace_id: str | None
    """Id of the trace; null if there is none."""
    otel_trace_data: TempoGetTraceResponse | None
    """The trace; null if there is none."""


class WorkflowExecutionTraceEvent(Frozen):
    """Something that happened."""

    type: Literal["EVENT", "EVENT_PROGRESS"] = "EVENT"
    """Which kind it is."""
    name: str
    """Its name."""
    id: str
    """Its id."""
    timestamp_unix_nano: int
    """When it happened, in nanoseconds since 1970."""
    attributes: Attributes
    """What there is to say of it, by name."""
    internal: bool = False
    """Whether it shows others of means rather than of ends."""


class WorkflowExecutionProgressTraceEvent(WorkflowExecutionTraceEvent):
    """How far an activity or a custom task has come."""

    type: Literal["EVENT", "EVENT_PROGRESS"] = "EVENT_PROGRESS"
    """Which kind it is."""
    status: Literal["RUNNING", "COMPLETED", "FAILED"]
    """How far it has come."""
    start_time_unix_ms: int
    """When it started, in milliseconds since 1970."""
    end_time_unix_ms: int | None
    """When it ended, in milliseconds since 1970; null while it lasts."""
    error: str | None
    """Why it failed; null if it did not."""


class WorkflowExecutionTraceSummarySpan(Frozen):
    """A span, and those below it."""

    span_id: str
    """Id of the span."""
    name: str
    """Its name."""
    start_time_unix_nano: int
    """When it started, in nanoseconds since 1970."""
    end_time_unix_nano: int | None
    """When it ended, in nanoseconds since 1970; null while it lasts."""
    attributes: Attributes
    """What there is to say of it, by name."""
    events: tuple[WorkflowExecutionTraceEvent, ...]
    """What happened while it lasted."""
    children: "tuple[WorkflowExecutionTraceSummarySpan, ...]"
    """The spans below it."""


class WorkflowExecutionTraceSummaryResponse(WorkflowExecutionResponse):
    """An execution and the spans of its latest run, as a tree."""

    span_tree: WorkflowExecutionTraceSummarySpan | None
    """The span of the run, with those below it; null if there is none."""


class WorkflowExecutionTraceEventsResponse(WorkflowExecutionResponse):
    """An execution and what happened in it."""

    events: tuple[WorkflowExecutionTraceEvent | WorkflowExecutionProgressTraceEvent, ...]
    """What happened, oldest first."""


class TraceEventsQuery(Parameters):
    """How to show events."""

    merge_same_id_events: bool = False
    """One event for each activity and custom task, as it stands."""
    include_internal_events: bool = False
    """Those that show of means to others, too."""


@dataclass(frozen=True)
class TraceEndpoints:
    """Shows what is recorded of executions as traces. Nothing is kept for that: they are made when somebody asks."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        trace = "/v1/workflows/executions/<execution_id>/trace"
        return [
            Endpoint("GET", f"{trace}/info", self.get_workflow_execution_trace_info, READERS, errors=(404,)),
            Endpoint("GET", f"{trace}/otel", self.get_workflow_execution_trace_otel, READERS, errors=(404,)),
            Endpoint("GET", f"{trace}/summary", self.get_workflow_execution_trace_summary, READERS, errors=(404,)),
            Endpoint("GET", f"{trace}/events", self.get_workflow_execution_trace_events, READERS, errors=(404,)),
        ]

    def get_workflow_execution_trace_info(self, request: Request, execution_id: str) -> ExecutionTraceInfoResponse:
        """Get the id of the trace that an execution belongs to."""
        execution = self.engine.executions.get(workspace_of(request), execution_id)
        return ExecutionTraceInfoResponse(otel_trace_id=self.engine.traces.trace_id(execution), has_trace_data=True)

    def get_workflow_execution_trace_otel(self, request: Request, execution_id: str) -> WorkflowExecutionTraceOTelResponse:
        """Get the spans of an execution's latest run. One that lasts ends when it was asked for, and is called open."""
        trace = self.engine.traces.of(workspace_of(request), execution_id)
        now = self.engine.clock.now()
        spans = [span_of(trace.trace_id, span, now) for span in trace.spans[:MOST]]
        batch = TempoTraceBatch(
            resource=resource_of(trace.execution), scopeSpans=({"scope": {"name": "levante"}, "spans": spans},)
        )
        return WorkflowExecutionTraceOTelResponse(
            **_shown(trace.execution),
            data_source="history" if len(spans) == len(trace.spans) else f"the first {MOST} spans of the history",
            otel_trace_id=trace.trace_id,
            otel_trace_data=TempoGetTraceResponse(batches=(batch,)),
        )

    def get_workflow_execution_trace_summary(
        self, request: Request, execution_id: str
    ) -> WorkflowExecutionTraceSummaryResponse:
        """Get the spans of an execution's latest run, as a tree."""
        trace = self.engine.traces.of(workspace_of(request), execution_id)
        return WorkflowExecutionTraceSummaryResponse(**_shown(trace.execution), span_tree=_summary(tree(trace.spans[:MOST])))

    def get_workflow_execution_trace_events(
        self, request: Request, execution_id: str, query: Annotated[TraceEventsQuery, Query()]
    ) -> WorkflowExecutionTraceEventsResponse:
        """Get what happened in an execution, all its runs: the events of its stream, without payloads.

        Of a stream of more than 5,000 events, these are the first; `events/list` has all.
        """
        workspace = workspace_of(request)
        execution = self.engine.executions.get(workspace, execution_id)
        self.engine.streams.publish_some(workspace, execution.root_execution_id)
        stream = islice(self.engine.streams.read(workspace, execution.root_execution_id, 1), MOST)
        stream_events = (event.update.event for event in stream if event.update.event.workflow_exec_id == execution_id)
        events = [event for event in _events(stream_events) if query.include_internal_events or not event.internal]
        if query.merge_same_id_events:
            events = list({event.id: event for event in events}.values())
        return WorkflowExecutionTraceEventsResponse(**_shown(execution), events=tuple(events))


def _shown(execution: Execution) -> dict[str, Json]:
    return dict(execution_response(execution, with_search_keys=True))


def _summary(below: SpanTree) -> WorkflowExecutionTraceSummarySpan:
    span = below.span
    ended_at = span.ended_at or span.began_at
    failed = WorkflowExecutionTraceEvent(
        name="exception",
        id=f"{span.span_id}-exception",
        timestamp_unix_nano=nanoseconds(ended_at),
        attributes={"exception.message": span.failure or ""},
    )
    return WorkflowExecutionTraceSummarySpan(
        span_id=span.span_id,
        name=span.name,
        start_time_unix_nano=nanoseconds(span.began_at),
        end_time_unix_nano=nanoseconds(span.ended_at) if span.ended_at else None,
        attributes=dict(span.attributes),
        events=(failed,) if span.failure else (),
        children=tuple(map(_summary, below.children)),
    )


def _events(
    stream_events: Iterable[StreamEvent],
) -> Iterator[WorkflowExecutionTraceEvent | WorkflowExecutionProgressTraceEvent]:
    """Yield events of a stream as events of a trace; of activities and custom tasks, how far they have come."""
    began: dict[str, int] = {}
    for event in stream_events:
        attributes: dict[str, Value] = {
            "event_type": event.event_type.value,
            **{key: value for key, value in event.attributes.items() if isinstance(value, str | int | float | bool)},
        }
        status = PROGRESS.get(event.event_type)
        if status is None:
            yield WorkflowExecutionTraceEvent(
                name=event.workflow_name,
                id=event.event_id,
                timestamp_unix_nano=event.event_timestamp,
                attributes=attributes,
            )
            continue
        name = str(event.attributes.get("activity_name") or event.attributes["custom_task_type"])
        task_id = str(event.attributes.get("task_id") or event.attributes["custom_task_id"])
        milliseconds = event.event_timestamp // NANOSECONDS
        yield WorkflowExecutionProgressTraceEvent(
            name=name,
            id=task_id,
            timestamp_unix_nano=event.event_timestamp,
            attributes=attributes,
            internal=name.startswith("__"),
            status=status,
            start_time_unix_ms=began.setdefault(task_id, milliseconds),
            end_time_unix_ms=None if status == "RUNNING" else milliseconds,
            error=_error(event) if status == "FAILED" else None,
        )


def _error(event: StreamEvent) -> str:
    failure = event.attributes.get("failure")
    if isinstance(failure, dict):
        return str(failure["message"])
    return str(event.attributes.get("reason") or event.attributes.get("timeout_type"))
