"""Endpoints of what could not be handled, and waits for another try."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.http.endpoints import ADMINS, VIEWERS, Endpoint, no_content, workspace_of
from levante_api.http.paging import cursors
from levante_core.domain.frozen import Cursor, Frozen, Limit, Parameters, Time
from levante_core.services.engine import Engine
from levante_core.storage.parked import Parked


class ParkedItem(Frozen):
    """Something that could not be handled, without its content."""

    parked_id: str
    """Id for retrying and dropping it."""
    kind: str
    """A change of the table, a timer, a task, a deadline that could not be kept, or a run that could not be looked after."""
    execution_id: str | None
    """Id of the execution whose it is, as far as that could be read."""
    run_id: str | None
    """Id of the run whose it is, as far as that could be read."""
    deployment_name: str | None
    """Name of the deployment whose it is, as far as that could be read."""
    error: str
    """What was wrong."""
    since: Time
    """When it first failed."""
    failed_at: Time
    """When it last failed."""
    count: int
    """How often it has failed."""
    retry_at: Time | None
    """When it is tried again by itself; null if only when somebody asks for it."""


class ParkedQuery(Parameters):
    """Which page."""

    limit: Limit = 50
    """Items on a page, at most."""
    cursor: Cursor | None = None
    """From the page before."""


class ParkedListResponse(Frozen):
    """A page of parked items, which may have less than its limit."""

    parked: tuple[ParkedItem, ...]
    """The parked items of this page."""
    count: int
    """How many there are on all pages."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


class RetryRequest(Frozen):
    """From where to go on."""

    after: Annotated[Cursor, Field(min_length=1)] | None = None
    """`next` of the answer before; absent at first."""


class RetryResponse(Frozen):
    """Where to go on."""

    next: str | None
    """Send it as `after` for the following items; null when that was all."""


@dataclass(frozen=True)
class ParkedEndpoints:
    """Lists, retries and drops the parked items of the admin's own workspace, and those that do not say whose they are."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        item = "/v1/parked/<parked_id>"
        return [
            Endpoint("GET", "/v1/parked", self.list_parked, VIEWERS),
            Endpoint("POST", "/v1/parked/retry", self.retry_all_parked, ADMINS, audits=()),
            Endpoint("POST", f"{item}/retry", self.retry_parked, ADMINS, status=204, errors=(404,), audits=()),
            Endpoint("DELETE", item, self.drop_parked, ADMINS, status=204, errors=(404,), audits=()),
        ]

    def list_parked(self, request: Request, query: Annotated[ParkedQuery, Query()]) -> ParkedListResponse:
        """List what could not be handled, the items of one execution together."""
        pages = cursors(self.engine.capabilities, request, "parked", query)
        page = self.engine.parking.list(workspace_of(request), query.limit, pages.position(query.cursor))
        shown = tuple(map(parked_item, page.items))
        return ParkedListResponse(parked=shown, count=page.count, next_cursor=pages.cursor(page.next))

    def retry_parked(self, request: Request, parked_id: str) -> Response[None]:
        """Try a parked item again within a minute. What goes through is parked no longer. A repeat is harmless."""
        self.engine.parking.retry(workspace_of(request), parked_id)
        return no_content()

    def retry_all_parked(self, request: Request, body: RetryRequest) -> RetryResponse:
        """Try parked items again within a minute, a hundred with each call. A repeat is harmless."""
        pages = cursors(self.engine.capabilities, request, "parked-retry", body, parameter="after", place="body")
        rest = self.engine.parking.retry_page(workspace_of(request), pages.position(body.after))
        return RetryResponse(next=pages.cursor(rest))

    def drop_parked(self, request: Request, parked_id: str) -> Response[None]:
        """Forget a parked item: what it asked for is not done."""
        self.engine.parking.drop(workspace_of(request), parked_id)
        return no_content()


def parked_item(parked: Parked) -> ParkedItem:
    """Show a parked item."""
    owner = parked.owner
    return ParkedItem(
        parked_id=parked.parked_id,
        kind=parked.kind,
        execution_id=owner.execution_id,
        run_id=owner.run_id,
        deployment_name=str(owner.pool) if owner.pool else None,
        error=parked.error,
        since=parked.since,
        failed_at=parked.failed_at,
        count=parked.count,
        retry_at=parked.retry_at,
    )
