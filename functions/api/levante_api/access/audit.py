"""Endpoint of the audit trail."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.http.endpoints import VIEWERS, Endpoint, user_named, workspace_of
from levante_api.http.paging import cursors
from levante_core.domain.frozen import Cursor, Frozen, Limit, Parameters, Time
from levante_core.services.access.audit import AuditEntry, AuditFilter
from levante_core.services.engine import Engine
from levante_core.storage.catalogue import Role


class AuditQuery(Parameters):
    """Which changes."""

    since: Time | None = None
    """Asked for at this time or later."""
    until: Time | None = None
    """Asked for before this time."""
    key_id: str | None = None
    """With this key; `current` is the caller's own."""
    operation: str | None = None
    """Of this kind: an `operationId` of the API, such as `terminate_workflow_execution`."""
    limit: Limit = 50
    """Changes on a page, at most."""
    cursor: Cursor | None = None
    """From the page before."""


class AuditEntryResponse(Frozen):
    """A change that was asked for."""

    audit_id: str
    """Id of the entry."""
    at: Time
    """When it was asked for."""
    key_id: str
    """Id of the key that it was asked for with."""
    key_name: str
    """Name of that key."""
    role: Role
    """Role of that key."""
    operation: str
    """`operationId` of the API, such as `terminate_workflow_execution`."""
    target: dict[str, str]
    """What the path named, such as `execution_id`."""
    details: dict[str, str]
    """What else says what was asked for, such as `reason`; a long one is cut. No payload is ever kept."""
    refused_with: Annotated[int, Field(ge=400, le=599)] | None
    """Status of the answer if nothing was changed; null if it was, or if the process ended before it had answered."""


class AuditResponse(Frozen):
    """A page of changes, the newest first, which may have less than its limit."""

    entries: tuple[AuditEntryResponse, ...]
    """The changes of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


@dataclass(frozen=True)
class AuditEndpoints:
    """Lists what was changed by hand in the caller's workspace."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [Endpoint("GET", "/v1/audit", self.list_audit_entries, VIEWERS)]

    def list_audit_entries(self, request: Request, query: Annotated[AuditQuery, Query()]) -> AuditResponse:
        """List which key changed what, the newest first.

        Kept for 400 days are terminations, cancellations, resets, repairs, batch jobs, and all changes of schedules,
        workflows, keys and parked items. What starts an execution and the messages to it are in its history.
        """
        pages = cursors(self.engine.capabilities, request, "audit", query)
        wanted = AuditFilter(query.since, query.until, user_named(request, query.key_id), query.operation)
        position = pages.position(query.cursor)
        entries, rest = self.engine.audit.list(workspace_of(request), wanted, query.limit, position)
        return AuditResponse(entries=tuple(map(_shown, entries)), next_cursor=pages.cursor(rest))


def _shown(entry: AuditEntry) -> AuditEntryResponse:
    return AuditEntryResponse(
        audit_id=entry.audit_id,
        at=entry.at,
        key_id=entry.key_id,
        key_name=entry.key_name,
        role=entry.role,
        operation=entry.operation,
        target=dict(entry.target),
        details=dict(entry.details),
        refused_with=entry.refused_with,
    )
