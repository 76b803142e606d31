"""Endpoints of registrations: what each deployment said of a workflow."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.catalogue.models import (
    WorkflowRegistration,
    WorkflowRegistrationGetResponse,
    WorkflowRegistrationListResponse,
    WorkflowRegistrationWithWorkerStatus,
    code_definition,
    workflow_response,
)
from levante_api.catalogue.serving import Serving
from levante_api.catalogue.workflows import found_in
from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_api.http.paging import cursors
from levante_core.domain.frozen import Cursor, Limit, Parameters, Search
from levante_core.errors import Unreadable
from levante_core.ports.item_store import Item
from levante_core.services.engine import Engine
from levante_core.services.paging import Budget, scan
from levante_core.storage.catalogue import Registration, Workflow, registration_of


class RegistrationsQuery(Parameters):
    """Which registrations."""

    workflow_id: str | None = None
    """Registrations of the workflow with this id."""
    task_queue: str | None = None
    """Of this task queue."""
    active_only: bool = False
    """Those that a live worker serves."""
    include_shared: bool = True
    """Makes no difference: nothing is shared here."""
    workflow_name: str | None = None
    """Registrations of the workflow with this name."""
    workflow_search: Search | None = None
    """In name, display name, description or id of the workflow, whatever the case."""
    archived: bool | None = None
    """Of workflows that are put away, or of those that are not; all, if left out."""
    with_workflow: bool = False
    """Show the workflow of each."""
    available_in_chat_assistant: bool | None = None
    """None is, as there is no chat assistant here."""
    limit: Limit = 50
    """Registrations on a page."""
    cursor: Cursor | None = None
    """From the page before."""


class RegistrationQuery(Parameters):
    """How to show a registration."""

    with_workflow: bool = False
    """Show its workflow."""
    include_shared: bool = True
    """Makes no difference: nothing is shared here."""


@dataclass(frozen=True)
class RegistrationEndpoints:
    """Lists and shows registrations."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows/registrations"
        return [
            Endpoint("GET", path, self.get_workflow_registrations, READERS),
            Endpoint("GET", f"{path}/<workflow_registration_id>", self.get_workflow_registration, READERS, errors=(404,)),
        ]

    def get_workflow_registrations(
        self, request: Request, query: Annotated[RegistrationsQuery, Query()]
    ) -> WorkflowRegistrationListResponse:
        """List registrations by workflow name. A page before the last one is full, unless 5,000 items were read for it."""
        workspace, budget = workspace_of(request), Budget()
        serving = Serving(self.engine, workspace, budget)
        pages = cursors(self.engine.capabilities, request, "registrations", query)

        def keep(item: Item) -> WorkflowRegistration | None:
            listed = registration_of(item)
            if not _may_match(listed, query):
                return None
            entry = serving.entry(listed.workflow_name)
            same = (
                registration
                for registration in (entry.registrations if entry else ())
                if registration.registration_id == listed.registration_id
            )
            registration = next(same, None)
            if entry is None or registration is None or not _matches(entry.workflow, registration, query, serving):
                return None
            return _shown(entry.workflow, registration, serving, with_workflow=query.with_workflow)

        rows, token = scan(
            lambda limit, after: self.engine.catalogue.list_registrations(workspace, limit=limit, after=after),
            keep,
            query.limit,
            pages.position(query.cursor),
            budget,
        )
        return WorkflowRegistrationListResponse(
            workflow_registrations=tuple(rows), next_cursor=pages.cursor(token), workflow_versions=tuple(rows)
        )

    def get_workflow_registration(
        self,
        request: Request,
        workflow_registration_id: str,
        query: Annotated[RegistrationQuery, Query()],
    ) -> WorkflowRegistrationGetResponse:
        """Get a registration by its id."""
        workspace = workspace_of(request)
        workflow, registration = self.engine.catalogue.get_registration(workspace, workflow_registration_id)
        serving = Serving(self.engine, workspace)
        fields = _shown(workflow, registration, serving, with_workflow=query.with_workflow).model_dump()
        shown = WorkflowRegistrationWithWorkerStatus(**fields, active=serving.is_active(registration))
        return WorkflowRegistrationGetResponse(workflow_registration=shown, workflow_version=shown)


def _may_match(listed: Registration, query: RegistrationsQuery) -> bool:
    """What the listing itself can tell; the rest costs a read per workflow."""
    if query.available_in_chat_assistant:
        return False
    return query.workflow_id in (None, listed.workflow_id) and query.workflow_name in (None, listed.workflow_name)


def _matches(workflow: Workflow, registration: Registration, query: RegistrationsQuery, serving: Serving) -> bool:
    if query.archived is not None and query.archived != workflow.is_archived:
        return False
    if query.workflow_search and not found_in(workflow, query.workflow_search):
        return False
    if query.task_queue is not None and (registration.spec is None or registration.spec.task_queue != query.task_queue):
        return False
    return serving.is_active(registration) if query.active_only else True


def _shown(workflow: Workflow, registration: Registration, serving: Serving, *, with_workflow: bool) -> WorkflowRegistration:
    if registration.spec is None:
        problem = f"the definition of registration {registration.registration_id} is missing"
        raise Unreadable(f"{problem}: let its worker register anew")
    deployment = serving.deployment(registration.deployment_name)
    return WorkflowRegistration(
        id=registration.registration_id,
        definition=code_definition(registration.spec),
        workflow_id=registration.workflow_id,
        deployment_id=deployment.deployment_id if deployment else None,
        task_queue=registration.spec.task_queue,
        workflow=workflow_response(workflow) if with_workflow else None,
        deployment_name=registration.deployment_name,
    )
