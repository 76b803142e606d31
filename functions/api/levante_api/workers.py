"""Endpoints of workers: who they are, what they serve, and the work itself."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from aws_lambda_powertools.event_handler import Request

from levante_api.endpoints import READERS, WORKERS, Endpoint, workspace_of
from levante_core.domain.frozen import Json
from levante_core.domain.names import DeploymentName, WorkflowName, Workspace
from levante_core.errors import InvalidInput
from levante_core.protocol.activities import (
    ActivityHeartbeatRequest,
    ActivityHeartbeatResponse,
    ActivityReportsRequest,
    ActivityReportsResponse,
    CheckRequest,
    CheckResponse,
    DeferRequest,
    DeferResponse,
    PermitRequest,
    PermitResponse,
    PublicationResult,
    TaskEventsRequest,
    TaskEventsResponse,
)
from levante_core.protocol.logs import LogsRequest, LogsResponse
from levante_core.protocol.workers import (
    CommitOutcome,
    CommitsRequest,
    CommitsResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    LeasesRequest,
    LeasesResponse,
    LoadRequest,
    LoadResponse,
    PollRequest,
    PollResponse,
    QueryAnswersRequest,
    QueryAnswersResponse,
    QueueAccessRequest,
    QueueAccessResponse,
    RegisterRequest,
    RegisterResponse,
    TaskQueue,
    WhoAmI,
    WorkflowTaskFailedRequest,
    WorkflowTaskFailedResponse,
)
from levante_core.services.engine import Engine


@dataclass(frozen=True)
class WorkerEndpoints:
    """features: what `whoami` tells workers of this installation."""

    engine: Engine
    features: Mapping[str, Json]

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        base = "/v1/workflows/workers"
        return [
            Endpoint("GET", f"{base}/whoami", self.whoami, READERS),
            Endpoint("POST", "/v1/workflows/register", self.register, WORKERS, errors=(409,)),
            Endpoint("POST", f"{base}/heartbeat", self.heartbeat, WORKERS),
            Endpoint("POST", f"{base}/queue-access", self.queue_access, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/poll", self.poll, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/load", self.load, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/commits", self.commits, WORKERS),
            Endpoint("POST", f"{base}/activity-checks", self.activity_checks, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/activity-reports", self.activity_reports, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/activity-heartbeats", self.activity_heartbeats, WORKERS),
            Endpoint("POST", f"{base}/activity-deferrals", self.activity_deferrals, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/rate-permits", self.rate_permits, WORKERS),
            Endpoint("POST", f"{base}/query-answers", self.query_answers, WORKERS),
            Endpoint("POST", f"{base}/task-events", self.task_events, WORKERS),
            Endpoint("POST", f"{base}/logs", self.logs, WORKERS),
            Endpoint("POST", f"{base}/leases", self.leases, WORKERS, errors=(404,)),
            Endpoint("POST", f"{base}/workflow-task-failures", self.workflow_task_failures, WORKERS, errors=(404,)),
        ]

    def whoami(self, request: Request) -> WhoAmI:
        """Tell whose key this is. There is no scheduler to connect to: all work comes through this API."""
        return WhoAmI(scheduler_url="", namespace=workspace_of(request), features=dict(self.features))

    def register(self, request: Request, body: RegisterRequest) -> RegisterResponse:
        """Record what a worker serves, and the schedules that its code declares. A repeat is harmless."""
        workspace = workspace_of(request)
        registered = self.engine.catalogue.register(workspace, body)
        declared = {WorkflowName(one.name): one.schedules for one in body.definitions}
        self.engine.schedules.declare(workspace, DeploymentName(body.deployment_name), declared)
        return registered

    def heartbeat(self, request: Request, body: HeartbeatRequest) -> HeartbeatResponse:
        """Record that a worker is alive."""
        return HeartbeatResponse(all_active=self.engine.catalogue.heartbeat(workspace_of(request), body))

    def queue_access(self, request: Request, body: QueueAccessRequest) -> QueueAccessResponse:
        """Let workers of a deployment reach its queues themselves, where the installation offers that."""
        return QueueAccessResponse(access=self.engine.tasks.access(workspace_of(request), body.deployment_name))

    def poll(self, request: Request, body: PollRequest) -> PollResponse:
        """Lease tasks to a worker, waiting up to 20 s for the first."""
        return PollResponse(tasks=tuple(self.engine.tasks.poll(workspace_of(request), body)))

    def load(self, request: Request, body: LoadRequest) -> LoadResponse:
        """Read a run's history after an index."""
        return self.engine.tasks.load(workspace_of(request), body)

    def commits(self, request: Request, body: CommitsRequest) -> CommitsResponse:
        """Append history batches of different runs; ends the leases that recorded ones name. A repeat is harmless."""
        workspace = workspace_of(request)
        outcomes = self.engine.commits.append(workspace, body.commits)
        receipts: defaultdict[DeploymentName, list[str]] = defaultdict(list)
        for commit, outcome in zip(body.commits, outcomes, strict=True):
            if outcome is CommitOutcome.RECORDED:
                receipts[commit.deployment_name] += commit.done
        self._end_leases(workspace, TaskQueue.WORKFLOW, receipts)
        return CommitsResponse(outcomes=tuple(outcomes))

    def activity_checks(self, request: Request, body: CheckRequest) -> CheckResponse:
        """Tell whether an activity task is still wanted, and what it is by now."""
        return CheckResponse(task=self.engine.activities.check(workspace_of(request), body.task, body.receive_count))

    def activity_heartbeats(self, request: Request, body: ActivityHeartbeatRequest) -> ActivityHeartbeatResponse:
        """Take in that an attempt is at work, and tell whether it is wanted still."""
        return ActivityHeartbeatResponse(is_wanted=self.engine.activities.heartbeat(workspace_of(request), body))

    def activity_deferrals(self, request: Request, body: DeferRequest) -> DeferResponse:
        """Let an attempt go on elsewhere, until somebody ends it with its token."""
        return DeferResponse(is_wanted=self.engine.activities.defer(workspace_of(request), body))

    def rate_permits(self, request: Request, body: PermitRequest) -> PermitResponse:
        """Give an attempt of a rate-limited activity its place in time."""
        wait = self.engine.rate_limits.permit(workspace_of(request), body)
        return PermitResponse(wait_seconds=wait.total_seconds())

    def activity_reports(self, request: Request, body: ActivityReportsRequest) -> ActivityReportsResponse:
        """Record how activity attempts ended, and end their leases. A repeat is answered as stale."""
        workspace = workspace_of(request)
        results = self.engine.activities.report(workspace, body.reports)
        receipts: defaultdict[DeploymentName, list[str]] = defaultdict(list)
        for report in body.reports:
            receipts[report.deployment_name] += [report.receipt] if report.receipt else []
        self._end_leases(workspace, TaskQueue.ACTIVITY, receipts)
        return ActivityReportsResponse(results=tuple(results))

    def query_answers(self, request: Request, body: QueryAnswersRequest) -> QueryAnswersResponse:
        """Take answers to queries; those that nobody waits for any more are dropped."""
        self.engine.queries.take(workspace_of(request), body.answers)
        return QueryAnswersResponse()

    def task_events(self, request: Request, body: TaskEventsRequest) -> TaskEventsResponse:
        """Add events of custom tasks to their streams. A repeat is harmless."""
        lasts = self.engine.task_events.append(workspace_of(request), body.publications)
        return TaskEventsResponse(results=tuple(PublicationResult(last_sequence=last) for last in lasts))

    def logs(self, request: Request, body: LogsRequest) -> LogsResponse:
        """Keep what a worker has logged, for two weeks. A repeat is harmless."""
        self.engine.logs.append(workspace_of(request), body)
        return LogsResponse()

    def leases(self, request: Request, body: LeasesRequest) -> LeasesResponse:
        """Extend leases, end them, or hand their tasks back."""
        workspace = workspace_of(request)
        for position, returned in enumerate(body.hand_back):
            if (returned.task.workspace, returned.task.deployment_name) != (workspace, body.deployment_name):
                where = ("body", "hand_back", position, "task")
                raise InvalidInput.at(where, "the task is none of this deployment: hand back what was delivered from it")
        return LeasesResponse(lost=tuple(self.engine.tasks.lease(workspace, body)))

    def workflow_task_failures(self, request: Request, body: WorkflowTaskFailedRequest) -> WorkflowTaskFailedResponse:
        """Record why a run cannot be advanced; its task comes again."""
        seconds = self.engine.tasks.workflow_task_failed(workspace_of(request), body)
        return WorkflowTaskFailedResponse(retry_in_seconds=seconds)

    def _end_leases(self, workspace: Workspace, queue: TaskQueue, receipts: Mapping[DeploymentName, list[str]]) -> None:
        for deployment, ended in receipts.items():
            self.engine.tasks.done(workspace, deployment, queue, ended)
