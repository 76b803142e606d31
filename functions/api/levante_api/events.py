"""Endpoints of stream events: lists of them, what others tell, and the way to where they are streamed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.concerns import of_event, of_events
from levante_api.elsewhere import LAST_EVENT_ID, Elsewhere, led_there
from levante_api.endpoints import READERS, WORKERS, Endpoint, workspace_of
from levante_api.event_models import EventBody, EventResponse, EventsBody, EventsResponse, outside_events
from levante_core.domain.frozen import Frozen
from levante_core.domain.stream_events import StreamEvent
from levante_core.errors import InvalidInput
from levante_core.protocol.stream_messages import EventFrame, EventStreamQuery, ExecutionStreamQuery
from levante_core.protocol.streams import EVENTS_STREAM, EXECUTION_STREAM, sequence_in
from levante_core.services.engine import Engine
from levante_core.services.reading import PAGE_BYTES
from levante_core.services.streams import Sequenced


class EventsQuery(Frozen):
    """Which events. One of the three ids has to be named.

    root_workflow_exec_id: of this execution and all below it. workflow_exec_id: of this execution. workflow_run_id: of this
    run. limit: events on a page; it has fewer where they are large. cursor: from the page before.
    """

    root_workflow_exec_id: str | None = None
    workflow_exec_id: str | None = None
    workflow_run_id: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: str | None = None


class EventListResponse(Frozen):
    """Events in the order of the stream. next_cursor: for what follows; null after the last one there is so far."""

    events: tuple[StreamEvent, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class EventEndpoints:
    """streams: the way to the program that streams; None if callers reach that by themselves."""

    engine: Engine
    streams: Elsewhere | None

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        streamed = partial(Endpoint, "GET", roles=READERS, errors=(404,), headers=(LAST_EVENT_ID,), frames=EventFrame)
        told = partial(Endpoint, "POST", roles=WORKERS, errors=(404, 409))
        return [
            Endpoint("GET", "/v1/workflows/events/list", self.get_workflow_events, READERS, errors=(404,)),
            told("/v1/workflows/events", self.post_workflow_event, concern=of_event),
            told("/v1/workflows/events/batch", self.post_workflow_events, concern=of_events),
            streamed(EVENTS_STREAM, self.get_stream_events, errors=(400, 404)),
            streamed(EXECUTION_STREAM, self.stream),
        ]

    def get_workflow_events(self, request: Request, query: Annotated[EventsQuery, Query()]) -> EventListResponse:
        """List stream events, oldest first; pages are full but for the last one, and where the events are large."""
        workspace = workspace_of(request)
        execution_id = query.root_workflow_exec_id or query.workflow_exec_id
        if execution_id is None and query.workflow_run_id:
            execution_id = self.engine.executions.execution_of_run(workspace, query.workflow_run_id)
        if execution_id is None:
            problem = "name what to list the events of: root_workflow_exec_id, workflow_exec_id or workflow_run_id"
            raise InvalidInput.at(("query", "workflow_exec_id"), problem, "missing")
        root = self.engine.streams.root_of(workspace, execution_id)
        self.engine.streams.publish(workspace, root)
        found = _wanted(self.engine.streams.read(workspace, root, _place(query.cursor)), query)
        page: list[Sequenced] = []
        room = PAGE_BYTES
        for one in islice(found, query.limit):
            page.append(one)
            room -= one.size_bytes
            if room <= 0:
                break
        more = next(found, None)
        return EventListResponse(
            events=tuple(one.told.event for one in page), next_cursor=str(page[-1].sequence + 1) if more else None
        )

    def post_workflow_event(self, request: Request, body: EventBody) -> EventResponse:
        """Add an event of a custom task to the stream of an open execution. A repeat, known by its id, is harmless."""
        self.engine.outside_events.append(workspace_of(request), outside_events(body))
        return EventResponse()

    def post_workflow_events(self, request: Request, body: EventsBody) -> EventsResponse:
        """Add events of custom tasks, in order, or none of them. A repeat is harmless."""
        self.engine.outside_events.append(workspace_of(request), outside_events(body))
        return EventsResponse(events_received=len(body.events))

    def get_stream_events(
        self,
        request: Request,
        query: Annotated[EventStreamQuery, Query()],  # noqa: ARG002 - read where it is streamed
    ) -> Response[None]:
        """Stream the events of an execution and of those below it, as they happen."""
        return led_there(request, self.streams)

    def stream(
        self,
        request: Request,
        execution_id: str,
        query: Annotated[ExecutionStreamQuery, Query()],  # noqa: ARG002 - read where it is streamed
    ) -> Response[None]:
        """Stream the events of one execution as they happen; the stream ends with the execution."""
        self.engine.streams.root_of(workspace_of(request), execution_id)
        return led_there(request, self.streams)


def _place(cursor: str | None) -> int:
    if not cursor:
        return 1
    place = sequence_in(cursor)
    if place is None:
        raise InvalidInput.at(("query", "cursor"), "not a cursor of ours: take next_cursor from the page before")
    return place


def _wanted(events: Iterator[Sequenced], query: EventsQuery) -> Iterator[Sequenced]:
    for one in events:
        event = one.told.event
        if query.root_workflow_exec_id not in (None, event.root_workflow_exec_id):
            continue
        if query.workflow_exec_id not in (None, event.workflow_exec_id):
            continue
        if query.workflow_run_id in (None, event.workflow_run_id):
            yield one
