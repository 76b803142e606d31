"""The messages between a worker and the API. All of them are JSON bodies; every call may be repeated."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, TypeAlias

from pydantic import Field
from pydantic_core import from_json

from levante_core.domain.dispatch.tasks import ActivityTask, Fact, WorkflowTask
from levante_core.domain.executions.execution import RunStart
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.search_keys import SearchKeys
from levante_core.domain.frozen import Frozen, Json, Time
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
    """Who the key belongs to.

    features.presence: the host watches the worker's connection. features.queues: workers may take tasks from the queues
    themselves.
    """

    scheduler_url: str
    namespace: str
    tls: bool = False
    features: Mapping[str, Json] = Field(default_factory=dict)


class DeploymentLocation(Frozen):
    """Where a worker runs."""

    location_type: Annotated[str, Field(pattern="^(local|k8s|managed)$")] = "local"
    k8s_cluster: str | None = None
    k8s_namespace: str | None = None


class RegisterRequest(Frozen):
    """What a worker serves. build_id: pins the executions that it starts with to workers of the same build.

    session: for activities that are to run in this worker, as long as it lives.
    """

    definitions: Annotated[tuple[WorkflowSpec, ...], Field(min_length=1, max_length=MOST_DEFINITIONS)]
    deployment_name: Deployment
    worker_name: WorkerName
    build_id: BuildText | None = None
    session: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]{1,256}$")] | None = None
    deployment_location: DeploymentLocation | None = None


class RegistrationRef(Frozen):
    """One registration, as a worker refers to it."""

    workflow_id: CatalogueId
    workflow_registration_id: CatalogueId
    workflow_version_id: CatalogueId | None = None


class RegisterResponse(Frozen):
    """The refs are in the order of the definitions. warnings: workflows that other active deployments serve too."""

    has_conflicts: bool
    workflow_registration_ids: tuple[str, ...]
    workflow_registration_refs: tuple[RegistrationRef, ...]
    warnings: tuple[str, ...] = ()


class HeartbeatRequest(Frozen):
    """Sent every 10 s; a worker counts as active for 50 s after it."""

    workflow_registration_refs: Annotated[tuple[RegistrationRef, ...], Field(max_length=MOST_DEFINITIONS)]
    deployment_name: Deployment
    worker_name: WorkerName
    build_id: BuildText | None = None


class HeartbeatResponse(Frozen):
    """all_active: False asks the worker to register again."""

    all_active: bool


# --- tasks and leases -------------------------------------------------------------------------------------------------


class PollRequest(Frozen):
    """Ask for tasks, waiting up to wait_seconds for the first. worker_id: one for each start of a worker process."""

    deployment_name: Pool
    worker_id: Annotated[str, Field(min_length=1, max_length=128)]
    queue: TaskQueue
    limit: Annotated[int, Field(ge=1, le=100)] = 10
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_POLL_SECONDS)] = MAX_POLL_SECONDS


class DeliveredTask(Frozen):
    """A task on lease. receive_count: above 1 when an earlier lease ended without the task being dealt with.

    receipt: for the calls that keep or end the lease. The token in the task is for what is done about it.
    """

    receipt: str
    receive_count: int
    task: Annotated[WorkflowTask | ActivityTask, Field(discriminator="kind")]


def delivered(body: str, receipt: str, receive_count: int) -> DeliveredTask:
    """Read a message of one of a deployment's two queues."""
    return DeliveredTask.model_validate({"receipt": receipt, "receive_count": receive_count, "task": from_json(body)})


class PollResponse(Frozen):
    """Tasks that are on lease to the caller for LEASE_SECONDS from now."""

    tasks: tuple[DeliveredTask, ...]


class HandBack(Frozen):
    """A task that its worker gives back on purpose; it does not count as lost. token: of the task."""

    receipt: str
    token: Token


class LeasesRequest(Frozen):
    """Extend leases to LEASE_SECONDS from now, end them because the work is done, or hand the tasks back."""

    deployment_name: Pool
    queue: TaskQueue
    extend: Annotated[tuple[str, ...], Field(max_length=MOST_RECEIPTS)] = ()
    done: Annotated[tuple[str, ...], Field(max_length=MOST_RECEIPTS)] = ()
    hand_back: Annotated[tuple[HandBack, ...], Field(max_length=MOST_RECEIPTS)] = ()


class LeasesResponse(Frozen):
    """lost: receipts of `extend` that are no longer the caller's."""

    lost: tuple[str, ...] = ()


class WorkflowTaskFailedRequest(Frozen):
    """The code of a workflow could not be advanced; the run stays open, and the task comes again after a while."""

    token: Token
    receipt: str
    attempt: Number
    failure: Failure


class WorkflowTaskFailedResponse(Frozen):
    """retry_in_seconds: when the task comes again."""

    retry_in_seconds: float


# --- the queues themselves --------------------------------------------------------------------------------------------


class QueueAccessRequest(Frozen):
    """Ask how to reach the queues of a deployment without the API in between."""

    deployment_name: Pool


class QueueCredentials(Frozen):
    """Short-lived AWS credentials for the two queues of one deployment, and nothing else."""

    access_key_id: str
    secret_access_key: Annotated[str, Field(repr=False)]
    session_token: Annotated[str, Field(repr=False)]
    expires_at: Time


class QueueAccess(Frozen):
    """The names of the queues in SQS, and what opens them."""

    region: str
    workflow_queue: str
    activity_queue: str
    credentials: QueueCredentials


class QueueAccessResponse(Frozen):
    """access: None where the queues can be reached through the API alone."""

    access: QueueAccess | None


# --- history ----------------------------------------------------------------------------------------------------------


class LoadRequest(Frozen):
    """Ask for what follows a batch. token: of the run, from a task, a load or a commit. after: `next` of a part.

    after_index: below the index that the token lets commit. open_from: lowest seq whose outcome is still of interest.
    mail_from: lowest number of a message that is.
    """

    token: Token
    after_index: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 0
    open_from: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 0
    mail_from: Number = 1
    after: str | None = None


class QueryRequest(Frozen):
    """A query that waits for an answer."""

    query_id: str
    name: str
    input: Json


class LoadResponse(Frozen):
    """The start, the batches after `after_index`, and the facts from `open_from` and `mail_from` on, taken or not.

    queries: those that wait. next: what does not fit into one answer is asked for with this as `after`. token: lets commit
    the batch that follows; None while there is more to read, and for a run that is closed.
    """

    status: ExecutionStatus
    start: RunStart
    batches: tuple[HistoryBatch, ...]
    facts: tuple[Fact, ...]
    queries: tuple[QueryRequest, ...] = ()
    next: str | None = None
    token: str | None = None


class QueryAnswer(Frozen):
    """What a query handler said. failure: None if it returned."""

    query_id: Annotated[str, Field(min_length=1, max_length=64)]
    result: Json = None
    failure: Failure | None = None


class QueryAnswersRequest(Frozen):
    """Answers to queries of one run. token: of the run."""

    token: Token
    answers: Annotated[tuple[QueryAnswer, ...], Field(min_length=1, max_length=100)]


class QueryAnswersResponse(Frozen):
    """The answers are taken."""


class Commit(Frozen):
    """One batch of one run. token: from the load or commit before, or from the first task; it names the run and the index.

    mail_taken: number of the last message that the history takes in up to here. history: how large it is, about, with this
    batch. search_keys: all of the execution's, where the batch changes them. done: receipts of workflow tasks that are dealt
    with once the batch is recorded.
    """

    token: Token
    batch: HistoryBatch
    mail_taken: Annotated[int, Field(ge=0, le=MOST_PLACES)] = 0
    history: HistorySize = HistorySize()
    search_keys: SearchKeys | None = None
    done: Annotated[tuple[str, ...], Field(max_length=MOST_RECEIPTS)] = ()


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
    """What became of one commit. token: lets commit the next batch, once this one is recorded and the run is open still.

    problem: why it is impossible.
    """

    outcome: CommitOutcome
    token: str | None = None
    problem: str | None = None


class CommitsRequest(Frozen):
    """Commits of different runs; each stands for itself."""

    commits: Annotated[tuple[Commit, ...], Field(min_length=1, max_length=100)]


class CommitsResponse(Frozen):
    """One result per commit, in order."""

    results: tuple[CommitResult, ...]
