"""Workflows, registrations and deployments as clients see them. Every nullable key is always written: clients insist on it.

What only the vendor's platform has (sharing, chat assistants, hardened and managed deployments) is shown as absent.
Source: the REST contract, §10 (docs/reference; read 2026-11-23).
"""

from typing import Literal

from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.protocol.specs import HandlerSpec, JsonSchema, WorkflowSpec
from levante_core.protocol.workers import DeploymentLocation
from levante_core.storage import catalogue as records


class WorkflowMetadata(Frozen):
    """Where a shared workflow comes from; none is shared here."""

    shared_namespace: str | None = None


class WorkflowBasicDefinition(Frozen):
    """A workflow as listings show it."""

    id: str
    name: str
    display_name: str
    archived: bool
    description: str | None
    metadata: WorkflowMetadata = WorkflowMetadata()
    tags: tuple[str, ...]


class WorkflowListResponse(Frozen):
    """A page of workflows; next_cursor is null on the last one."""

    workflows: tuple[WorkflowBasicDefinition, ...]
    next_cursor: str | None


class Workflow(Frozen):
    """A workflow, whichever deployments serve it."""

    id: str
    name: str
    display_name: str
    type: Literal["code"] = "code"
    customer_id: str
    workspace_id: str
    description: str | None
    shared_namespace: str | None = None
    available_in_chat_assistant: bool = False
    is_technical: bool
    archived: bool
    tags: tuple[str, ...]


class WorkflowWithWorkerStatus(Workflow):
    """active: a live worker serves it."""

    active: bool


class WorkflowGetResponse(Frozen):
    """One workflow."""

    workflow: WorkflowWithWorkerStatus


class WorkflowCodeDefinition(Frozen):
    """What a worker said of a workflow. execution_timeout: in seconds."""

    input_schema: JsonSchema
    output_schema: JsonSchema | None
    signals: tuple[HandlerSpec, ...]
    queries: tuple[HandlerSpec, ...]
    updates: tuple[HandlerSpec, ...]
    enforce_determinism: bool
    on_behalf_of: bool
    execution_timeout: float
    plugin_metadata: Json


class WorkflowRegistration(Frozen):
    """What one deployment registered of a workflow."""

    id: str
    definition: WorkflowCodeDefinition
    workflow_id: str
    deployment_id: str | None
    task_queue: str | None
    workflow: Workflow | None
    deployment_name: str | None
    compatible_with_chat_assistant: bool = False


class WorkflowRegistrationListResponse(Frozen):
    """A page of registrations; workflow_versions is the older name of the same list."""

    workflow_registrations: tuple[WorkflowRegistration, ...]
    next_cursor: str | None
    workflow_versions: tuple[WorkflowRegistration, ...]


class WorkflowRegistrationWithWorkerStatus(WorkflowRegistration):
    """active: a live worker serves it."""

    active: bool


class WorkflowRegistrationGetResponse(Frozen):
    """One registration; workflow_version is its older name."""

    workflow_registration: WorkflowRegistrationWithWorkerStatus
    workflow_version: WorkflowRegistrationWithWorkerStatus


class DeploymentResponse(Frozen):
    """A deployment as listings show it. updated_at: when it was last heard of. location: of the worker last heard of."""

    id: str
    name: str
    is_active: bool
    created_at: Time
    last_heartbeat: Time
    updated_at: Time
    is_hardened: bool = False
    owner: str | None = None
    location: DeploymentLocation | None
    worker_count: int
    active_worker_count: int
    locations: tuple[str, ...]
    managed: None = None


class DeploymentListResponse(Frozen):
    """A page of deployments; next_cursor is null on the last one."""

    deployments: tuple[DeploymentResponse, ...]
    next_cursor: str | None
    workspace_id: str


class DeploymentBuildResponse(Frozen):
    """A build of a deployment. is_current: new executions go there. is_drained: its workers can be stopped."""

    build_id: str
    registered_at: Time
    is_current: bool
    active_worker_count: int
    open_executions: int
    is_drained: bool


class DeploymentBuildsResponse(Frozen):
    """Builds, the newest first. open_executions_without_build: those that any worker without a build advances.

    is_partial: more executions are open than are counted; there are as many as it says at least, and no build is drained.
    """

    builds: tuple[DeploymentBuildResponse, ...]
    open_executions_without_build: int
    is_partial: bool


class DeploymentWorkerResponse(Frozen):
    """A worker, gone ones too."""

    name: str
    created_at: Time
    last_heartbeat: Time
    updated_at: Time
    is_active: bool
    location: DeploymentLocation | None


class DeploymentDetailResponse(DeploymentResponse):
    """A deployment with its workers."""

    workers: tuple[DeploymentWorkerResponse, ...]


class DeploymentWorkerListResponse(Frozen):
    """A page of workers; next_cursor is null on the last one."""

    workers: tuple[DeploymentWorkerResponse, ...]
    next_cursor: str | None


def basic_definition(workflow: records.Workflow) -> WorkflowBasicDefinition:
    """Show a workflow in a listing."""
    return WorkflowBasicDefinition(
        id=workflow.workflow_id,
        name=workflow.name,
        display_name=workflow.display_name,
        archived=workflow.is_archived,
        description=workflow.description,
        tags=workflow.tags,
    )


def workflow_response(workflow: records.Workflow) -> Workflow:
    """Show a workflow in full."""
    return Workflow(
        id=workflow.workflow_id,
        name=workflow.name,
        display_name=workflow.display_name,
        customer_id=workflow.workspace,
        workspace_id=workflow.workspace,
        description=workflow.description,
        is_technical=workflow.is_technical,
        archived=workflow.is_archived,
        tags=workflow.tags,
    )


def code_definition(spec: WorkflowSpec) -> WorkflowCodeDefinition:
    """Show what a worker registered."""
    return WorkflowCodeDefinition(
        input_schema=spec.input_schema,
        output_schema=spec.output_schema,
        signals=spec.signals,
        queries=spec.queries,
        updates=spec.updates,
        enforce_determinism=spec.enforce_determinism,
        on_behalf_of=spec.on_behalf_of,
        execution_timeout=spec.execution_timeout.total_seconds(),
        plugin_metadata=spec.plugin_metadata,
    )
