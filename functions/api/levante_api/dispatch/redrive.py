"""The endpoint that sends again what queues have lost."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request
from pydantic import Field

from levante_api.http.endpoints import ADMINS, Endpoint, workspace_of
from levante_api.http.paging import cursors
from levante_core.domain.frozen import Cursor, Frozen
from levante_core.services.engine import Engine


class RedriveRequest(Frozen):
    """From where to go on."""

    after: Annotated[Cursor, Field(min_length=1)] | None = None
    """`next` of the answer before; absent at first."""


class RedriveResponse(Frozen):
    """How far redriving has come."""

    executions: int
    """How many open executions were looked at."""
    next: str | None
    """Send it as `after` for the following executions; null when that was all."""


@dataclass(frozen=True)
class RedriveEndpoints:
    """Redrives the open executions of the admin's own workspace."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [Endpoint("POST", "/v1/redrive", self.redrive, ADMINS, audits=())]

    def redrive(self, request: Request, body: RedriveRequest) -> RedriveResponse:
        """Send again, from what is recorded, whatever some of the open executions need to go on. Harmless at any time."""
        pages = cursors(self.engine.capabilities, request, "redrive", body, parameter="after", place="body")
        page = self.engine.redrive.redrive_page(workspace_of(request), pages.position(body.after))
        return RedriveResponse(executions=page.runs, next=pages.cursor(page.next))
