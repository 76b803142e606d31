"""The way to the program that streams, for what this one cannot answer."""

from dataclasses import dataclass
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import Request, Response

from levante_api.endpoints import workspace_of
from levante_core.protocol.streams import STREAM_TICKET, TICKET_PARAMETER
from levante_core.services.tickets import TicketService


@dataclass(frozen=True)
class Elsewhere:
    """address: of the program that streams."""

    tickets: TicketService
    address: str

    def redirect(self, request: Request) -> Response[None]:
        """Send the caller on with a ticket, because clients do not send their key to another host."""
        event = request.resolved_event
        ticket = self.tickets.issue(workspace_of(request), STREAM_TICKET)
        query = "&".join(
            part for part in (str(event.raw_event.get("rawQueryString", "")), urlencode({TICKET_PARAMETER: ticket})) if part
        )
        location = f"{self.address.rstrip('/')}{event.path}?{query}"
        return Response(307, body="", headers={"Location": location, "Cache-Control": "no-store"})  # type: ignore[arg-type]
