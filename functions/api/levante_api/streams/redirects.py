"""The way to the program that streams, for what this one cannot answer: streams, and histories that are too large."""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Request, Response

from levante_api.http.endpoints import key_of
from levante_api.http.problems import unknown_route
from levante_api.http.resolver import written
from levante_core.domain.frozen import Parameters
from levante_core.protocol.streams import TICKET_PARAMETER, ticket_purpose
from levante_core.services.access.tickets import TicketService
from levante_core.services.history.showing import ShownHistory

LAST_EVENT_ID = "last-event-id"
"""Header with which readers of streams come again."""
LARGEST_ANSWER = 6 * 1024 * 1024 - 64 * 1024
"""Bytes of a body within the JSON that a Lambda function answers with; the rest is for headers. Source: Lambda quotas."""


class HistoryQuery(Parameters):
    """How to show a history."""

    decode_payloads: bool = True
    """Accepted; payloads come as they were sent."""


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


def shown_or_redirected(history: ShownHistory, request: Request, streams: StreamRedirects | None) -> Response[Any]:
    """Answer with a history, or lead to where one is sent that is too large for this program."""
    body = written(history.whole())
    if streams is not None and _is_too_large(body):
        return streams.redirect(request)
    return Response(200, content_type="application/json", body=body)


def _is_too_large(body: str) -> bool:
    """Tell whether a body does not fit into the JSON that a Lambda function answers with, where quotes are escaped."""
    return len(json.dumps(body)) > LARGEST_ANSWER
