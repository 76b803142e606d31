"""Endpoints that change what users say of workflows."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from pydantic import Field

from levante_api.catalogue.models import Workflow, workflow_response
from levante_api.executions.batches import said_of
from levante_api.http.endpoints import CLIENTS, Endpoint, no_content, workspace_of
from levante_core.domain.frozen import Frozen
from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput, LevanteError
from levante_core.services.catalogue.edits import MOST_TAGS, Edit
from levante_core.services.engine import Engine

Ids = Annotated[tuple[Annotated[str, Field(max_length=512)], ...], Field(min_length=1, max_length=100)]


class WorkflowUpdateRequest(Frozen):
    """What changes; what is left out stays."""

    display_name: Annotated[str | None, Field(max_length=128, pattern=r"\S")] = None
    """Null brings back what the code says."""
    description: Annotated[str | None, Field(max_length=4096)] = None
    """Null brings back what the code says."""
    available_in_chat_assistant: bool | None = None
    """True is refused, as there is no chat assistant here."""
    tags: Annotated[tuple[str, ...] | None, Field(max_length=MOST_TAGS)] = None
    """Instead of those there are; each has up to 100 characters, and is trimmed."""


class WorkflowUpdateResponse(Frozen):
    """The workflow as it is now."""

    workflow: Workflow
    """The workflow."""


class WorkflowTagsAddRequest(Frozen):
    """Tags to add."""

    tags: Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_TAGS)]
    """Each has up to 100 characters, and is trimmed; a workflow has 500 at most."""


class WorkflowBulkRequest(Frozen):
    """Which workflows."""

    workflow_ids: Ids
    """Up to 100 ids or names of workflows."""


class WorkflowBulkError(Frozen):
    """Why nothing was done about one of them."""

    workflow_id: str
    """The id or name that was sent."""
    message: str
    """Why nothing was done about it."""
    workflow: Workflow | None
    """The workflow, if there is one."""


class WorkflowBulkArchiveResponse(Frozen):
    """Those that are put away now, and those that are not."""

    archived: tuple[Workflow, ...]
    """Those that are put away now."""
    errored: tuple[WorkflowBulkError, ...]
    """Those of which nothing was done, and why."""


class WorkflowBulkUnarchiveResponse(Frozen):
    """Those that are taken out again, and those that are not."""

    unarchived: tuple[Workflow, ...]
    """Those that are taken out again."""
    errored: tuple[WorkflowBulkError, ...]
    """Those of which nothing was done, and why."""


@dataclass(frozen=True)
class WorkflowEditEndpoints:
    """Names, describes, tags and archives workflows. An archived one works as before; listings can leave it out."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows"
        workflow = f"{path}/<workflow_identifier>"
        change = partial(Endpoint, roles=CLIENTS, errors=(404,))
        return [
            Endpoint("PUT", f"{path}/archive", self.bulk_archive_workflows, CLIENTS, audits=("workflow_ids",)),
            Endpoint("PUT", f"{path}/unarchive", self.bulk_unarchive_workflows, CLIENTS, audits=("workflow_ids",)),
            change("PUT", workflow, self.update_workflow, audits=("display_name", "description", "tags")),
            change("POST", f"{workflow}/tags", self.add_workflow_tags, status=204, audits=("tags",)),
            change("PUT", f"{workflow}/archive", self.archive_workflow, audits=()),
            change("PUT", f"{workflow}/unarchive", self.unarchive_workflow, audits=()),
        ]

    def update_workflow(
        self, request: Request, workflow_identifier: str, body: WorkflowUpdateRequest
    ) -> WorkflowUpdateResponse:
        """Change what is shown of a workflow; what is not set stays."""
        if body.available_in_chat_assistant:
            raise InvalidInput.at(("body", "available_in_chat_assistant"), "there is no chat assistant here: leave it out")
        fields = body.model_dump(include=body.model_fields_set & {"display_name", "description"})
        workspace = workspace_of(request)
        edited = self.engine.workflow_edits.edit(workspace, workflow_identifier, Edit(fields, body.tags))
        return WorkflowUpdateResponse(workflow=workflow_response(edited))

    def add_workflow_tags(self, request: Request, workflow_identifier: str, body: WorkflowTagsAddRequest) -> Response[None]:
        """Add tags to those that a workflow has."""
        self.engine.workflow_edits.add_tags(workspace_of(request), workflow_identifier, body.tags)
        return no_content()

    def archive_workflow(self, request: Request, workflow_identifier: str) -> WorkflowUpdateResponse:
        """Put a workflow away."""
        return self._archive(workspace_of(request), workflow_identifier, is_archived=True)

    def unarchive_workflow(self, request: Request, workflow_identifier: str) -> WorkflowUpdateResponse:
        """Take a workflow out again."""
        return self._archive(workspace_of(request), workflow_identifier, is_archived=False)

    def bulk_archive_workflows(self, request: Request, body: WorkflowBulkRequest) -> WorkflowBulkArchiveResponse:
        """Put up to 100 workflows away, each on its own."""
        done, errored = self._each(workspace_of(request), body, is_archived=True)
        return WorkflowBulkArchiveResponse(archived=done, errored=errored)

    def bulk_unarchive_workflows(self, request: Request, body: WorkflowBulkRequest) -> WorkflowBulkUnarchiveResponse:
        """Take up to 100 workflows out again, each on its own."""
        done, errored = self._each(workspace_of(request), body, is_archived=False)
        return WorkflowBulkUnarchiveResponse(unarchived=done, errored=errored)

    def _archive(self, workspace: Workspace, identifier: str, *, is_archived: bool) -> WorkflowUpdateResponse:
        edited = self.engine.workflow_edits.archive(workspace, identifier, is_archived=is_archived)
        return WorkflowUpdateResponse(workflow=workflow_response(edited))

    def _each(
        self, workspace: Workspace, body: WorkflowBulkRequest, *, is_archived: bool
    ) -> tuple[tuple[Workflow, ...], tuple[WorkflowBulkError, ...]]:
        done: list[Workflow] = []
        errored: list[WorkflowBulkError] = []
        for workflow_id in dict.fromkeys(body.workflow_ids):
            try:
                done.append(self._archive(workspace, workflow_id, is_archived=is_archived).workflow)
            except LevanteError as error:
                errored.append(WorkflowBulkError(workflow_id=workflow_id, message=said_of(error), workflow=None))
        return tuple(done), tuple(errored)
