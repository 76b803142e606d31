"""The messages between a worker and the API. All of them are JSON bodies; every call may be repeated."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from pydantic_core import from_json

from levante_core.domain.dispatch.tasks import ActivityTask, Fact, WorkflowTask
from levante_core.domain.executions.execution import RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.search_keys import SearchKeys
from levante_core.domain.frozen import Frozen, Json
from levante_core.domain.history.state import HistoryBatch, HistorySize
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.limits import MOST_PLACES
from levante_core.domain.names import described
from levante_core.domain.numbers import Number
from levante_core.protocol.names import Deployment, Pool, WorkerName
from levante_core.protocol.specs import WorkflowSpec

LEASE_SECONDS = 30
"""How long a received task stays with a worker that does not extend it."""
MOST_DEFINITIONS = 1_000
"""Workflows that one worker registers."""
MOST_RECEIPTS = 1_000
"""In one request about leases."""
MAX_POLL_SECONDS = 20
"""Longest wait of a poll. Source: SQS quotas, long polling (read 2026-11-23)."""

CatalogueId: TypeAlias = Annotated[str, Field(max_length=64)]
BuildText: TypeAlias = Annotated[str, Field(json_schema_extra={"pattern": f"{described('build_id')['pattern']}|^$"})]
"""A build as workers send it; the service checks its form. An empty one is none."""
Token: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096)]
"""A capability of this installation: what the API gave for a task, a load or a commit, as it was."""


class TaskQueue(StrEnum):
    """The two queues of a deployment."""

    WORKFLOW = "workflow"
    ACTIVITY = "activity"


# --- registration -----------------------------------------------------------------------------------------------------


class WhoAmI(Frozen):
    """Who the key belongs to."""

    scheduler_url: str
    """Address that workers take tasks from."""
    namespace: str
    """Workspace of the key."""
    tls: bool = False
    """Whether that address wants TLS."""
    features: Mapping[str, Json] = Field(default_factory=dict)
    """What the installation offers. `presence`: the host watches the worker's connection. `queues`: workers may take tasks
    from the queues themselves. `slots`: heartbeats may say how many are in use. `role`: what the key may do."""


class DeploymentLocation(Frozen):
    """Where a worker runs."""

    location_type: Annotated[str, Field(pattern="^(local|k8s|managed)$")] = "local"
    """What kind of place it is."""
    k8s_cluster: str | None = None
    """Name of the Kubernetes cluster, if it is one."""
    k8s_namespace: str | None = None
    """Namespace in that cluster."""


class RegisterRequest(Frozen):
    """What a worker serves."""

    definitions: Annotated[tuple[WorkflowSpec, ...], Field(min_length=1, max_length=MOST_DEFINITIONS)]
    """The workflows that the worker serves."""
    deployment_name: Deployment
    """Name of the deployment."""
    worker_name: WorkerName
    """Name of the worker."""
    build_id: BuildText | None = None
    """What the worker was built from: pins the executions that it starts with to workers of the same build."""
    session: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]{1,256}$")] | None = None
    """Session for activities that are to run in this worker, as long as it lives."""
    deployment_location: DeploymentLocation | None = None
    """Where the worker runs."""


class RegistrationRef(Frozen):
    """One registration, as a worker refers to it."""

    workflow_id: CatalogueId
    """Id of the workflow."""
    workflow_registration_id: CatalogueId
    """Id of the registration."""
    workflow_version_id: CatalogueId | None = None
    """The same id, by its older name."""


class RegisterResponse(Frozen):
    """What was registered."""

    has_conflicts: bool
    """Whether other active deployments serve one of the workflows too."""
    workflow_registration_ids: tuple[str, ...]
    """Ids of the registrations, in the order of the definitions."""
    workflow_registration_refs: tuple[RegistrationRef, ...]
    """The registrations, in the order of the definitions."""
    warnings: tuple[str, ...] = ()
    """Names of workflows that other active deployments serve too."""


class ActivitySlots(Frozen):
    """How many activity attempts a worker runs at a time."""

    total: Annotated[int, Field(ge=0, le=1_000_000)]
    """How many it can run at a time."""
    in_use: Annotated[int, Field(ge=0, le=1_000_000)]
    """How many it runs, or has waiting for a slot."""


class HeartbeatRequest(Frozen):
    """Sent every 10 s; a worker counts as active for 50 s after it."""

    workflow_registration_refs: Annotated[tuple[RegistrationRef, ...], Field(max_length=MOST_DEFINITIONS)]
    """What the worker has registered."""
    deployment_name: Deployment
    """Name of the deployment."""
    worker_name: WorkerName
    """Name of the worker."""
    build_id: BuildText | None = None
    """Build of the worker."""
    activity_slots: ActivitySlots | None = None
    """Its slots for activities; only for installations that offer `slots`, as others refuse what they do not know."""

    @model_serializer(mode="wrap")
    def _without_slots_that_are_not_said(self, write: SerializerFunctionWrapHandler) -> dict[str, Json]:
        written: dict[str, Json] = write(self)
        return {name: value for name, value in written.items() if name != "activity_slots" or value is not None}


class HeartbeatResponse(Frozen):
    """Whether the service knows what the worker serves."""

    all_active: bool
    """False asks the worker to register again."""


class LeaveRequest(HeartbeatRequest):
    """Sent by a worker that stops, once it has nothing left to do: it is active no longer."""


class LeaveResponse(Frozen):
    """The worker is no longer active."""


# --- tasks and leases -------------------------------------------------------------------------------------------------


class PollRequest(Frozen):
    """Ask for tasks, waiting up to wait_seconds for the first."""

    deployment_name: Pool
    """Name of the deployment."""
    worker_id: Annotated[str, Field(min_length=1, max_length=128)]
    """Id of the worker: one for each start of its process."""
    queue: TaskQueue
    """Which of the two queues."""
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    """How many tasks, at most."""
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_POLL_SECONDS)] = MAX_POLL_SECONDS
    """How long to wait for the first task."""


class DeliveredTask(Frozen):
    """A task on lease."""

    receipt: str
    """For the calls that keep or end the lease. The token in the task is for what is done about it."""
    receive_count: int
    """How often it was delivered: above 1 when an earlier lease ended without the task being dealt with."""
    task: Annotated[WorkflowTask | ActivityTask, Field(discriminator="kind")]
    """The task."""


def delivered(body: str, receipt: str, receive_count: int) -> DeliveredTask:
    """Read a message of one of a deployment's two queues."""
    return DeliveredTask.model_validate({"receipt": receipt, "receive_count": receive_count, "task": from_json(body)})


class PollResponse(Frozen):
    """Tasks that are on lease to the caller for LEASE_SECONDS from now."""

    tasks: tuple[DeliveredTask, ...]
    """The tasks, on lease for LEASE_SECONDS from now."""


class HandBack(Frozen):
    """A task that its worker gives back on purpose; it does not count as lost."""

    receipt: str
    """Receipt of the task."""
    token: Token
    """Capability of the task."""


class LeasesRequest(Frozen):
    """Extend leases to LEASE_SECONDS from now, end them because the work is done, or hand the tasks back."""

    deployment_name: Pool
    """Name of the deployment."""
    queue: TaskQueue
    """Which of the two queues."""
    extend: Annotated[tuple[str, ...], Field(max_length=MOST_RECEIPTS)] = ()
    """Receipts of the leases to extend."""
    done: Annotated[tuple[str, ...], Field(max_length=MOST_RECEIPTS)] = ()
    """Receipts of the tasks that are dealt with."""
    hand_back: Annotated[tuple[HandBack, ...], Field(max_length=MOST_RECEIPTS)] = ()
    """The tasks to give back."""


class LeasesResponse(Frozen):
    """What became of leases."""

    lost: tuple[str, ...] = ()
    """Receipts of `extend` that are no longer the caller's."""


class WorkflowTaskFailedRequest(Frozen):
    """The code of a workflow could not be advanced; the run stays open, and the task comes again after a while."""

    token: Token
    """Capability of the task."""
    receipt: str
    """Receipt of the task."""
    attempt: Number
    """How often it was tried."""
    failure: Failure
    """What went wrong."""


class WorkflowTaskFailedResponse(Frozen):
    """What happens to a workflow task that failed."""

    retry_in_seconds: float
    """When the task comes again."""


# --- history ----------------------------------------------------------------------------------------------------------


class LoadRequest(Frozen):
    """Ask for what follows a batch."""

    token: Token
    """Capability of the run, from a task, a load or a commit."""
    after_index: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 0
    """Index of the last batch that is known; below the index that the token lets commit."""
    open_from: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 0
    """Lowest seq whose outcome is still of interest."""
    mail_from: Number = 1
    """Lowest number of a message that is still of interest."""
    after: str | None = None
    """`next` of the answer before; absent at first."""


class QueryRequest(Frozen):
    """A query that waits for an answer."""

    query_id: str
    """Id of the query."""
    name: str
    """Name of the query."""
    input: Json
    """Input of the query, as JSON."""


class LoadResponse(Frozen):
    """The start, the batches after `after_index`, and the facts from `open_from` and `mail_from` on, taken or not."""

    status: ExecutionStatus
    """How the run stands."""
    start: RunStart
    """What the workflow code is started with."""
    batches: tuple[HistoryBatch, ...]
    """The batches after `after_index`."""
    facts: tuple[Fact, ...]
    """The facts from `open_from` and `mail_from` on, taken or not."""
    queries: tuple[QueryRequest, ...] = ()
    """The queries that wait for an answer."""
    next: str | None = None
    """Send it as `after` for what does not fit into one answer; null when that was all."""
    token: str | None = None
    """Lets commit the batch that follows; null while there is more to read, and for a run that is closed."""


class QueryAnswer(Frozen):
    """What a query handler said."""

    query_id: Annotated[str, Field(min_length=1, max_length=64)]
    """Id of the query."""
    result: Json = None
    """What the handler returned, as JSON."""
    failure: Failure | None = None
    """What the handler raised; null if it returned."""


class QueryAnswersRequest(Frozen):
    """Answers to queries of one run."""

    token: Token
    """Capability of the run."""
    answers: Annotated[tuple[QueryAnswer, ...], Field(min_length=1, max_length=100)]
    """The answers."""


class QueryAnswersResponse(Frozen):
    """The answers are taken."""


class Commit(Frozen):
    """One batch of one run."""

    token: Token
    """From the load or commit before, or from the first task; it names the run and the index."""
    batch: HistoryBatch
    """The batch."""
    mail_taken: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 0
    """Number of the last message that the history takes in up to here."""
    history: HistorySize = HistorySize()
    """How large the history is, about, with this batch."""
    search_keys: SearchKeys | None = None
    """All search keys of the execution, where the batch changes them."""
    done: Annotated[tuple[str, ...], Field(max_length=MOST_RECEIPTS)] = ()
    """Receipts of workflow tasks that are dealt with once the batch is recorded."""


class CommitOutcome(StrEnum):
    """What became of a commit."""

    RECORDED = "recorded"
    CONFLICT = "conflict"
    """Another writer was first: reload, and decide again."""
    UNREAD_MESSAGES = "unread_mail"
    """The run cannot close yet: take the messages, and decide again."""
    REFUSED = "refused"
    """The token is not for this index of this run: reload, and decide again."""
    IMPOSSIBLE = "impossible"
    """The batch could never be recorded, by anybody: let the workflow task fail with the problem."""


class CommitResult(Frozen):
    """What became of one commit."""

    outcome: CommitOutcome
    """What became of the commit."""
    token: str | None = None
    """Lets commit the next batch, once this one is recorded and the run is open still."""
    problem: str | None = None
    """Why it is impossible."""


class CommitsRequest(Frozen):
    """Commits of different runs; each stands for itself."""

    commits: Annotated[tuple[Commit, ...], Field(min_length=1, max_length=100)]
    """The commits."""


class CommitsResponse(Frozen):
    """One result per commit, in order."""

    results: tuple[CommitResult, ...]
    """One result per commit, in order."""
