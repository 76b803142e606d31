"""Endpoints of stream events: lists of them, what others publish, and the way to where they are streamed."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.access.concerns import of_event, of_events
from levante_api.http.endpoints import READERS, WORKERS, Endpoint, workspace_of
from levante_api.http.paging import cursors
from levante_api.streams.models import EventBody, EventResponse, EventsBody, EventsResponse, outside_events
from levante_api.streams.redirects import LAST_EVENT_ID, StreamRedirects, led_there
from levante_core.domain.frozen import Cursor, Frozen, Limit, Parameters
from levante_core.domain.streams.events import StreamEvent
from levante_core.errors import InvalidInput
from levante_core.protocol.stream_messages import EventFrame, EventStreamQuery, ExecutionStreamQuery
from levante_core.protocol.streams import EVENTS_STREAM, EXECUTION_STREAM
from levante_core.services.engine import Engine
from levante_core.services.history.loading import PAGE_BYTES
from levante_core.services.paging import Budget
from levante_core.services.streams.publish import Sequenced


class EventsQuery(Parameters):
    """Which events. One of the three ids has to be named."""

    root_workflow_exec_id: str | None = None
    """Events of this execution and all below it."""
    workflow_exec_id: str | None = None
    """Events of this execution."""
    workflow_run_id: str | None = None
    """Events of this run."""
    limit: Limit = 100
    """Events on a page; it has fewer where they are large."""
    cursor: Cursor | None = None
    """From the page before."""


class EventListResponse(Frozen):
    """Events in the order of the stream."""

    events: tuple[StreamEvent, ...]
    """The events, in the order of the stream."""
    next_cursor: str | None
    """For what follows; null after the last one there is so far."""


@dataclass(frozen=True)
class EventEndpoints:
    """streams: the way to the program that streams; None if callers reach that by themselves."""

    engine: Engine
    streams: StreamRedirects | None

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        streamed = partial(Endpoint, "GET", roles=READERS, errors=(404,), headers=(LAST_EVENT_ID,), frames=EventFrame)
        published = partial(Endpoint, "POST", roles=WORKERS, errors=(404, 409))
        return [
            Endpoint("GET", "/v1/workflows/events/list", self.get_workflow_events, READERS, errors=(404,)),
            published("/v1/workflows/events", self.post_workflow_event, concern=of_event),
            published("/v1/workflows/events/batch", self.post_workflow_events, concern=of_events),
            streamed(EVENTS_STREAM, self.get_stream_events, errors=(400, 404)),
            streamed(EXECUTION_STREAM, self.stream),
        ]

    def get_workflow_events(self, request: Request, query: Annotated[EventsQuery, Query()]) -> EventListResponse:
        """List stream events, oldest first.

        A page before the last one is full, unless the events are large, or 5,000 were read for it.
        """
        workspace = workspace_of(request)
        execution_id = query.root_workflow_exec_id or query.workflow_exec_id
        if execution_id is None and query.workflow_run_id:
            execution_id = self.engine.executions.execution_of_run(workspace, query.workflow_run_id)
        if execution_id is None:
            problem = "name what to list the events of: root_workflow_exec_id, workflow_exec_id or workflow_run_id"
            raise InvalidInput.at(("query", "workflow_exec_id"), problem, "missing")
        root = self.engine.streams.root_of(workspace, execution_id)
        pages = cursors(self.engine.capabilities, request, "events", query)
        first = pages.position(query.cursor) or 1
        is_all_published = self.engine.streams.publish_some(workspace, root)
        page, following = _page(self.engine.streams.read(workspace, root, first), query)
        if following is None and not is_all_published:
            following = self.engine.streams.next(workspace, root)
        return EventListResponse(events=tuple(event.update.event for event in page), next_cursor=pages.cursor(following))

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


def _page(events: Iterator[Sequenced], query: EventsQuery) -> tuple[list[Sequenced], int | None]:
    """Take a page. The second value is where the next one begins; None where nothing follows."""
    page: list[Sequenced] = []
    room, budget = PAGE_BYTES, Budget()
    for event in events:
        if budget.is_spent:
            return page, event.sequence
        budget.spend()
        if not _is_wanted(event, query):
            continue
        if len(page) == query.limit or room <= 0:
            return page, event.sequence
        page.append(event)
        room -= event.size_bytes
    return page, None


def _is_wanted(sequenced: Sequenced, query: EventsQuery) -> bool:
    event = sequenced.update.event
    return (
        query.root_workflow_exec_id in (None, event.root_workflow_exec_id)
        and query.workflow_exec_id in (None, event.workflow_exec_id)
        and query.workflow_run_id in (None, event.workflow_run_id)
    )
