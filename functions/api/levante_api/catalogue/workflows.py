"""Endpoints of workflows."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.catalogue.models import (
    WorkflowBasicDefinition,
    WorkflowGetResponse,
    WorkflowListResponse,
    WorkflowWithWorkerStatus,
    basic_definition,
    workflow_response,
)
from levante_api.catalogue.serving import Serving
from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_api.http.paging import cursors
from levante_core.domain.executions.criteria import Statuses, possible
from levante_core.domain.executions.search import is_found
from levante_core.domain.frozen import MOST_PARAMETER_VALUES, Cursor, Limit, Parameters, Search
from levante_core.domain.names import WorkflowName
from levante_core.ports.item_store import Item
from levante_core.services.engine import Engine
from levante_core.services.paging import Budget, scan
from levante_core.storage.catalogue import Workflow, workflow_of


class WorkflowsQuery(Parameters):
    """Which workflows, in which order."""

    status: Statuses = None
    """Those of whose newest 1,000 runs one, current or earlier, has one of these; RETRYING_AFTER_ERROR is a status that none
    ever has."""
    include_shared: bool = True
    """Makes no difference: nothing is shared here."""
    available_in_chat_assistant: bool | None = None
    """None is, as there is no chat assistant here."""
    deployment_name: Annotated[tuple[str, ...] | None, Field(max_length=MOST_PARAMETER_VALUES)] = None
    """Those that one of these deployments has registered."""
    deployment_status: Literal["active", "inactive"] | None = None
    """Those that a live worker serves, or the others."""
    archived: bool | None = None
    """Those that are put away, or those that are not; all, if left out."""
    tags: Annotated[tuple[str, ...] | None, Field(max_length=MOST_PARAMETER_VALUES)] = None
    """Those that have all of these."""
    sort_by: Literal["display_name"] = "display_name"
    """There is one order."""
    order: Literal["asc", "desc"] = "asc"
    """Ascending or descending."""
    cursor: Cursor | None = None
    """From the page before."""
    limit: Limit = 50
    """Workflows on a page."""
    active_only: bool = False
    """Older way to say deployment_status=active."""
    search: Search | None = None
    """In name, display name, description or id, whatever the case."""


@dataclass(frozen=True)
class WorkflowEndpoints:
    """Lists and shows workflows."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [
            Endpoint("GET", "/v1/workflows", self.get_workflows, READERS),
            Endpoint("GET", "/v1/workflows/<workflow_identifier>", self.get_workflow, READERS, errors=(404,)),
        ]

    def get_workflows(self, request: Request, query: Annotated[WorkflowsQuery, Query()]) -> WorkflowListResponse:
        """List workflows by display name. A page before the last one is full, unless 5,000 items were read for it."""
        workspace, budget = workspace_of(request), Budget()
        serving = Serving(self.engine, workspace, budget)
        pages = cursors(self.engine.capabilities, request, "workflows", query)

        @cache
        def has_run(workflow: WorkflowName) -> bool:
            statuses = possible(query.status)
            return statuses is None or self.engine.executions.has_run(workspace, workflow, statuses, budget)

        def keep(item: Item) -> WorkflowBasicDefinition | None:
            workflow = workflow_of(item)
            is_wanted = _matches(workflow, query) and _is_served(workflow, query, serving) and has_run(workflow.name)
            return basic_definition(workflow) if is_wanted else None

        rows, token = scan(
            lambda limit, after: self.engine.catalogue.list_workflows(
                workspace, limit=limit, descending=query.order == "desc", after=after
            ),
            keep,
            query.limit,
            pages.position(query.cursor),
            budget,
        )
        return WorkflowListResponse(workflows=tuple(rows), next_cursor=pages.cursor(token))

    def get_workflow(self, request: Request, workflow_identifier: str) -> WorkflowGetResponse:
        """Get a workflow by its name or id."""
        workspace = workspace_of(request)
        entry = self.engine.catalogue.get(workspace, workflow_identifier)
        serving = Serving(self.engine, workspace)
        active = any(serving.is_active(registration) for registration in entry.registrations)
        shown = workflow_response(entry.workflow).model_dump()
        return WorkflowGetResponse(workflow=WorkflowWithWorkerStatus(**shown, active=active))


def found_in(workflow: Workflow, search: str) -> bool:
    """Tell whether a search finds a workflow: by name, display name, description or id."""
    texts = (workflow.name, workflow.display_name, workflow.description or "", workflow.workflow_id)
    return is_found(search, texts)


def _matches(workflow: Workflow, query: WorkflowsQuery) -> bool:
    """What the workflow itself can tell."""
    if query.available_in_chat_assistant or (query.archived is not None and query.archived != workflow.is_archived):
        return False
    if query.search and not found_in(workflow, query.search):
        return False
    return set(query.tags or ()) <= set(workflow.tags)


def _is_served(workflow: Workflow, query: WorkflowsQuery, serving: Serving) -> bool:
    """What only its registrations can tell; they are read if the query asks for it."""
    wanted = "active" if query.active_only else query.deployment_status
    if query.deployment_name is None and wanted is None:
        return True
    entry = serving.entry(workflow.name)
    registrations = [
        registration
        for registration in (entry.registrations if entry else ())
        if query.deployment_name is None or registration.deployment_name in query.deployment_name
    ]
    if not registrations or wanted is None:
        return bool(registrations)
    return any(serving.is_active(registration) for registration in registrations) == (wanted == "active")
