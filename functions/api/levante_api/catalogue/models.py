"""Workflows, registrations and deployments as clients see them. Every nullable key is always written: clients insist on it.

What only Mistral's platform has (sharing, chat assistants, hardened and managed deployments) is shown as absent.
Source: the REST contract, §10 (docs/reference; read 2026-11-23).
"""

from typing import Literal

from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.protocol.specs import HandlerSpec, JsonSchema, WorkflowSpec
from levante_core.protocol.workers import ActivitySlots, DeploymentLocation, TaskQueue
from levante_core.storage import catalogue as records


class WorkflowMetadata(Frozen):
    """Where a shared workflow comes from; none is shared here."""

    shared_namespace: str | None = None
    """Always null: nothing is shared here."""


class WorkflowBasicDefinition(Frozen):
    """A workflow as listings show it."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    display_name: str
    """Its name for people."""
    archived: bool
    """Whether it is put away."""
    description: str | None
    """What it does, for people."""
    metadata: WorkflowMetadata = WorkflowMetadata()
    """Where it comes from."""
    tags: tuple[str, ...]
    """Texts that people sort workflows by."""


class WorkflowListResponse(Frozen):
    """A page of workflows."""

    workflows: tuple[WorkflowBasicDefinition, ...]
    """The workflows of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


class Workflow(Frozen):
    """A workflow, whichever deployments serve it."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    display_name: str
    """Its name for people."""
    type: Literal["code"] = "code"
    customer_id: str
    """Id of the workspace."""
    workspace_id: str
    """Id of the workspace of the key."""
    description: str | None
    """What it does, for people."""
    shared_namespace: str | None = None
    """Always null: nothing is shared here."""
    available_in_chat_assistant: bool = False
    """Always false: there is no chat assistant here."""
    is_technical: bool
    """Whether it serves other workflows rather than people."""
    archived: bool
    """Whether it is put away."""
    tags: tuple[str, ...]
    """Texts that people sort workflows by."""


class WorkflowWithWorkerStatus(Workflow):
    """A workflow, and whether anybody serves it."""

    active: bool
    """Whether a live worker serves it."""


class WorkflowGetResponse(Frozen):
    """One workflow."""

    workflow: WorkflowWithWorkerStatus
    """The workflow."""


class WorkflowCodeDefinition(Frozen):
    """What a worker said of a workflow."""

    input_schema: JsonSchema
    """JSON schema of the input."""
    output_schema: JsonSchema | None
    """JSON schema of the result; null where nothing is known."""
    signals: tuple[HandlerSpec, ...]
    """The signals that it takes."""
    queries: tuple[HandlerSpec, ...]
    """The queries that it answers."""
    updates: tuple[HandlerSpec, ...]
    """The updates that it takes."""
    enforce_determinism: bool
    """Whether calls that differ on replay are refused in its code."""
    on_behalf_of: bool
    """Whether it acts for the user who started it."""
    execution_timeout: float
    """How long an execution may take, in seconds."""
    plugin_metadata: Json
    """JSON that the code's own tools added."""


class WorkflowRegistration(Frozen):
    """What one deployment registered of a workflow."""

    id: str
    """Its id."""
    definition: WorkflowCodeDefinition
    """What the worker said of the workflow."""
    workflow_id: str
    """Id of the workflow."""
    deployment_id: str | None
    """Id of the deployment."""
    task_queue: str | None
    """Name of the deployment that serves it."""
    workflow: Workflow | None
    """The workflow, where the call shows it."""
    deployment_name: str | None
    """Name of the deployment."""
    compatible_with_chat_assistant: bool = False
    """Always false: there is no chat assistant here."""


class WorkflowRegistrationListResponse(Frozen):
    """A page of registrations."""

    workflow_registrations: tuple[WorkflowRegistration, ...]
    """The registrations of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""
    workflow_versions: tuple[WorkflowRegistration, ...]
    """The same list, by its older name."""


class WorkflowRegistrationWithWorkerStatus(WorkflowRegistration):
    """A registration, and whether anybody serves it."""

    active: bool
    """Whether a live worker serves it."""


class WorkflowRegistrationGetResponse(Frozen):
    """One registration."""

    workflow_registration: WorkflowRegistrationWithWorkerStatus
    """The registration."""
    workflow_version: WorkflowRegistrationWithWorkerStatus
    """The same, by its older name."""


class DeploymentResponse(Frozen):
    """A deployment as listings show it."""

    id: str
    """Its id."""
    name: str
    """Its name."""
    is_active: bool
    """Whether a live worker is there."""
    created_at: Time
    """When its first worker registered."""
    last_heartbeat: Time
    """When a worker was last heard of."""
    updated_at: Time
    """When it was last heard of."""
    is_hardened: bool = False
    """Always false: no deployment is hardened here."""
    owner: str | None = None
    """Always null: deployments have no owner here."""
    location: DeploymentLocation | None
    """Where the worker runs that was last heard of."""
    worker_count: int
    """How many workers are known, gone ones too."""
    active_worker_count: int
    """How many of its workers are alive."""
    locations: tuple[str, ...]
    """The kinds of places where its workers run."""
    managed: None = None
    """Always null: no deployment is managed here."""


class DeploymentListResponse(Frozen):
    """A page of deployments."""

    deployments: tuple[DeploymentResponse, ...]
    """The deployments of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""
    workspace_id: str
    """Id of the workspace of the key."""


class DeploymentBuildResponse(Frozen):
    """A build of a deployment."""

    build_id: str
    """Id of the build."""
    registered_at: Time
    """When a worker of it first registered."""
    is_current: bool
    """Whether new executions go there."""
    active_worker_count: int
    """How many of its workers are alive."""
    open_executions: int
    """How many open executions are pinned to it."""
    is_drained: bool
    """Whether its workers can be stopped."""


class DeploymentBuildsResponse(Frozen):
    """Builds, the newest first."""

    builds: tuple[DeploymentBuildResponse, ...]
    """The builds, the newest first."""
    open_executions_without_build: int
    """Open executions that any worker without a build advances."""
    is_partial: bool
    """More executions are open than are counted; there are as many as it says at least, and no build is drained."""


class DeploymentWorkerResponse(Frozen):
    """A worker, gone ones too."""

    name: str
    """Its name."""
    created_at: Time
    """When it first registered."""
    last_heartbeat: Time
    """When it was last heard of."""
    updated_at: Time
    """When it was last heard of."""
    is_active: bool
    """Whether it is alive."""
    location: DeploymentLocation | None
    """Where it runs, as far as the worker says."""
    activity_slots: ActivitySlots | None
    """Its slots for activities at its last heartbeat; null until it has said so; not part of Mistral's API."""


class DeploymentDetailResponse(DeploymentResponse):
    """A deployment with its workers."""

    workers: tuple[DeploymentWorkerResponse, ...]
    """The workers, gone ones too."""


class DeploymentWorkerListResponse(Frozen):
    """A page of workers."""

    workers: tuple[DeploymentWorkerResponse, ...]
    """The workers, gone ones too."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


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


class QueueBacklogResponse(Frozen):
    """How much waits in one queue of a deployment."""

    queue: TaskQueue
    """Which of the two queues: of workflow tasks, or of activity tasks."""
    build_id: str | None
    """Build of the workers that take from it; null for those that have no build."""
    waiting: int
    """Tasks that a worker may take."""
    in_flight: int
    """Tasks that workers have."""
    delayed: int
    """Tasks that nobody may take yet."""
    oldest_waiting_since: Time | None
    """Since when the oldest task waits; null if none does, and on AWS, where CloudWatch knows."""
    oldest_waiting_seconds: float | None
    """The same, as seconds until now."""


class DeploymentBacklogResponse(Frozen):
    """How much waits for the workers of a deployment."""

    deployment_name: str
    """Name of the deployment."""
    queues: tuple[QueueBacklogResponse, ...]
    """Its queues, of the workers without a build and of the 20 newest builds; those of sticky sessions are left out."""
    waiting: int
    """Tasks that a worker may take, in all of them; approximately on AWS."""
    in_flight: int
    """Tasks that workers have, in all of them; approximately on AWS."""
