"""The way to the program that streams, for what this one cannot answer: streams, and histories that are too large."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Request, Response
from pydantic import Field

from levante_api.http.endpoints import key_of
from levante_api.http.problems import unknown_route
from levante_api.http.resolver import written
from levante_core.domain.executions.execution import Execution
from levante_core.domain.frozen import MOST_PARAMETER_VALUES, Limit, Parameters
from levante_core.protocol.streams import PAGE_PARAMETERS, TICKET_PARAMETER, ticket_purpose
from levante_core.services.access.tickets import TicketService
from levante_core.services.engine import Engine
from levante_core.services.history.pages import PageRequest

LAST_EVENT_ID = "last-event-id"
"""Header with which readers of streams come again."""
MOST_ON_A_PAGE = 1_000
"""Events on a page of a history, if nobody says how many."""
LARGEST_ANSWER = 6 * 1024 * 1024 - 64 * 1024
"""Bytes of a body within the JSON that a Lambda function answers with; the rest is for headers. Source: Lambda quotas."""


class HistoryQuery(Parameters):
    """How to show a history."""

    decode_payloads: bool = True
    """Accepted; payloads come as they were sent."""
    after: Annotated[int, Field(ge=0)] | None = None
    """Only events behind this one, the `event_id` of the last one seen, in the order that is wanted."""
    limit: Limit | None = None
    """Events on a page; the whole history, if no parameter asks for a page."""
    order: Literal["asc", "desc"] | None = None
    """Ascending, or descending from the newest event."""
    kinds: Annotated[tuple[str, ...] | None, Field(max_length=MOST_PARAMETER_VALUES)] = None
    """Only events of these kinds."""
    include_payloads: bool | None = None
    """False leaves out `input` and `result`."""
    wait_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How long to wait for an event if there is none; 28 s on AWS at most, 300 s on one machine."""

    @property
    def page(self) -> PageRequest | None:
        """The page that is asked for; None for the whole history."""
        if all(getattr(self, name) is None for name in PAGE_PARAMETERS):
            return None
        return PageRequest(
            after=self.after,
            limit=self.limit or MOST_ON_A_PAGE,
            descending=self.order == "desc",
            kinds=self.kinds or (),
            with_payloads=self.include_payloads is not False,
        )


@dataclass(frozen=True)
class StreamRedirects:
    """address: of the program that streams."""

    tickets: TicketService
    address: str

    def redirect(self, request: Request) -> Response[None]:
        """Send the caller on with a ticket, because clients do not send their key to another host."""
        event = request.resolved_event
        asked = str(event.raw_event.get("rawQueryString", ""))
        ticket = self.tickets.issue(key_of(request), ticket_purpose(event.path, asked))
        query = "&".join(part for part in (asked, urlencode({TICKET_PARAMETER: ticket})) if part)
        location = f"{self.address.rstrip('/')}{event.path}?{query}"
        return Response(307, body="", headers={"Location": location, "Cache-Control": "no-store"})  # type: ignore[arg-type]


def led_there(request: Request, streams: StreamRedirects | None) -> Response[None]:
    """Send the caller on to where this is streamed. Raises: Refused where callers reach that by themselves."""
    if streams is None:
        raise unknown_route("GET", request.resolved_event.path)
    return streams.redirect(request)


@dataclass(frozen=True)
class Histories:
    """Answers with histories. streams: the way to where large ones are sent. max_wait_seconds: for what is yet to come."""

    engine: Engine
    streams: StreamRedirects | None
    max_wait_seconds: float

    def answer(self, find: Callable[[], Execution], request: Request, query: HistoryQuery) -> Response[Any]:
        """Answer with the history of the run that `find` returns, or a page of it."""
        page = query.page
        if page is None:
            return self._whole(find(), request)
        wait = min(query.wait_seconds or 0.0, self.max_wait_seconds)
        execution, found = self.engine.history_pages.read(find, page, wait_seconds=wait)
        head = self.engine.histories.of(execution).head
        body = written({**head, "events": found.events, "next_after": found.next_after})
        return Response(200, content_type="application/json", body=body)

    def _whole(self, execution: Execution, request: Request) -> Response[Any]:
        """Answer with a history, or lead to where one is sent that is too large for this program."""
        body = written(self.engine.histories.of(execution).whole())
        if self.streams is not None and _is_too_large(body):
            return self.streams.redirect(request)
        return Response(200, content_type="application/json", body=body)


def _is_too_large(body: str) -> bool:
    """Tell whether a body does not fit into the JSON that a Lambda function answers with, where quotes are escaped."""
    return len(json.dumps(body)) > LARGEST_ANSWER
