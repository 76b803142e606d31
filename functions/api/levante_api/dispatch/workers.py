"""Endpoints of workers: who they are, what they serve, and the work itself."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from aws_lambda_powertools.event_handler import Request

from levante_api.access import concerns
from levante_api.http.endpoints import READERS, WORKERS, Endpoint, key_of, user_of, workspace_of
from levante_core.domain.frozen import Json
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.schedules.spec import check_id
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InvalidCapability
from levante_core.protocol.activities import (
    ActivityHeartbeatRequest,
    ActivityHeartbeatResponse,
    ActivityReportResult,
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
from levante_core.protocol.queue_access import QueueAccessRequest, QueueAccessResponse
from levante_core.protocol.workers import (
    Commit,
    CommitOutcome,
    CommitResult,
    CommitsRequest,
    CommitsResponse,
    HeartbeatRequest,
    HeartbeatResponse,
    LeasesRequest,
    LeasesResponse,
    LeaveRequest,
    LeaveResponse,
    LoadRequest,
    LoadResponse,
    PollRequest,
    PollResponse,
    QueryAnswersRequest,
    QueryAnswersResponse,
    RegisterRequest,
    RegisterResponse,
    TaskQueue,
    WhoAmI,
    WorkflowTaskFailedRequest,
    WorkflowTaskFailedResponse,
)
from levante_core.services.access.capabilities import AttemptGrant, RunGrant
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.engine import Engine
from levante_core.services.history.commits import GrantedCommit
from levante_core.services.streams.activity_events import GrantedPublication


@dataclass(frozen=True)
class WorkerEndpoints:
    """features: what `whoami` tells workers of this installation."""

    engine: Engine
    features: Mapping[str, Json]

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        base = "/v1/workflows/workers"
        worked = partial(Endpoint, "POST", roles=WORKERS)
        return [
            Endpoint("GET", f"{base}/whoami", self.whoami, READERS, concern=concerns.of_nothing),
            worked("/v1/workflows/register", self.register, errors=(409,), concern=concerns.of_deployment),
            worked(f"{base}/heartbeat", self.heartbeat, concern=concerns.of_deployment),
            worked(f"{base}/leave", self.leave, concern=concerns.of_deployment),
            worked(f"{base}/queue-access", self.queue_access, errors=(404,), concern=concerns.of_pool),
            worked(f"{base}/poll", self.poll, errors=(404,), concern=concerns.of_pool),
            worked(f"{base}/load", self.load, errors=(404,), concern=concerns.of_token),
            worked(f"{base}/commits", self.commits, concern=concerns.of_commits),
            worked(f"{base}/activity-checks", self.activity_checks, errors=(404,), concern=concerns.of_check),
            worked(f"{base}/activity-reports", self.activity_reports, errors=(404,), concern=concerns.of_reports),
            worked(f"{base}/activity-heartbeats", self.activity_heartbeats, concern=concerns.of_token),
            worked(f"{base}/activity-deferrals", self.activity_deferrals, errors=(404,), concern=concerns.of_token),
            worked(f"{base}/rate-permits", self.rate_permits, concern=concerns.of_pool),
            worked(f"{base}/query-answers", self.query_answers, concern=concerns.of_token),
            worked(f"{base}/task-events", self.task_events, concern=concerns.of_publications),
            worked(f"{base}/logs", self.logs, concern=concerns.of_deployment),
            worked(f"{base}/leases", self.leases, errors=(404,), concern=concerns.of_leases),
            worked(
                f"{base}/workflow-task-failures",
                self.workflow_task_failures,
                errors=(404,),
                concern=concerns.of_token,
            ),
        ]

    def whoami(self, request: Request) -> WhoAmI:
        """Tell whose key this is. There is no scheduler to connect to: all work comes through this API."""
        role = {"role": key_of(request).role}
        queues = {"queues": True} if self.engine.tasks.lends_access else {}
        features = {**self.features, "slots": True, **role, **queues}
        return WhoAmI(scheduler_url="", namespace=workspace_of(request), features=features)

    def register(self, request: Request, body: RegisterRequest) -> RegisterResponse:
        """Record what a worker serves, and the schedules that its code declares. A repeat is harmless."""
        workspace = workspace_of(request)
        for place, definition in enumerate(body.definitions):
            for number, schedule in enumerate(definition.schedules):
                check_id(schedule, ("body", "definitions", place, "schedules", number, "schedule_id"))
        declared = self.engine.declared_schedules
        self.engine.catalogue.check_registration(workspace, body)
        changes = declared.changes(workspace, DeploymentName(body.deployment_name), body.definitions)
        registered = self.engine.catalogue.register(workspace, body)
        declared.carry_out(changes)
        return registered

    def heartbeat(self, request: Request, body: HeartbeatRequest) -> HeartbeatResponse:
        """Record that a worker is alive."""
        return HeartbeatResponse(all_active=self.engine.catalogue.heartbeat(workspace_of(request), body))

    def leave(self, request: Request, body: LeaveRequest) -> LeaveResponse:
        """Record that a worker stops, so that nobody counts on it any more. A repeat is harmless."""
        self.engine.catalogue.leave(workspace_of(request), body)
        return LeaveResponse()

    def queue_access(self, request: Request, body: QueueAccessRequest) -> QueueAccessResponse:
        """Let workers of a deployment reach its queues themselves, where the installation offers that."""
        return QueueAccessResponse(access=self.engine.tasks.access(workspace_of(request), body.deployment_name))

    def poll(self, request: Request, body: PollRequest) -> PollResponse:
        """Lease tasks to a worker, waiting up to 20 s for the first."""
        return PollResponse(tasks=tuple(self.engine.tasks.poll(workspace_of(request), body, key_id=user_of(request))))

    def load(self, request: Request, body: LoadRequest) -> LoadResponse:
        """Read a run's history after an index."""
        return self.engine.tasks.load(self._run(request, body.token), body)

    def commits(self, request: Request, body: CommitsRequest) -> CommitsResponse:
        """Append history batches of different runs; ends the leases that recorded ones name. A repeat is harmless."""
        granted = [self._granted(request, commit) for commit in body.commits]
        recorded = iter(self.engine.commits.append([granted_commit for granted_commit in granted if granted_commit]))
        results = [
            next(recorded) if granted_commit else CommitResult(outcome=CommitOutcome.REFUSED) for granted_commit in granted
        ]
        self._end_leases(
            TaskQueue.WORKFLOW,
            (
                (granted_commit.grant, granted_commit.commit.done)
                for granted_commit, result in zip(granted, results, strict=True)
                if granted_commit and result.outcome is CommitOutcome.RECORDED
            ),
        )
        return CommitsResponse(results=tuple(results))

    def activity_checks(self, request: Request, body: CheckRequest) -> CheckResponse:
        """Tell whether an activity task is still wanted, and what it is by now."""
        grant = self._attempt(request, body.task.token)
        return CheckResponse(task=self.engine.activities.check(grant, body.task, body.receive_count))

    def activity_heartbeats(self, request: Request, body: ActivityHeartbeatRequest) -> ActivityHeartbeatResponse:
        """Take in that an attempt is at work, and tell whether it is wanted still."""
        grant = self._attempt(request, body.token)
        return ActivityHeartbeatResponse(is_wanted=self.engine.activities.heartbeat(grant, body.details))

    def activity_deferrals(self, request: Request, body: DeferRequest) -> DeferResponse:
        """Let an attempt go on elsewhere, until somebody ends it with its token."""
        grant, timeout = self._attempt(request, body.token), timedelta(seconds=body.timeout_seconds)
        return DeferResponse(is_wanted=self.engine.activities.defer(grant, timeout, body.heartbeat_seconds))

    def rate_permits(self, request: Request, body: PermitRequest) -> PermitResponse:
        """Give an attempt of a rate-limited activity its place in time."""
        seconds = self.engine.rate_limits.permit(workspace_of(request), body).total_seconds()
        return PermitResponse(wait_seconds=seconds, is_taken=body.takes(seconds))

    def activity_reports(self, request: Request, body: ActivityReportsRequest) -> ActivityReportsResponse:
        """Record how activity attempts ended, and end their leases. A repeat is answered as stale."""
        grants = [self._attempt_if_any(request, report.token) for report in body.reports]
        granted = [
            GrantedReport(grant, report.result, report.failure)
            for grant, report in zip(grants, body.reports, strict=True)
            if grant
        ]
        recorded = iter(self.engine.activities.report(granted))
        results = [next(recorded) if grant else ActivityReportResult(stale=True) for grant in grants]
        received = zip(grants, body.reports, strict=True)
        ended = ((grant, [report.receipt]) for grant, report in received if grant and report.receipt)
        self._end_leases(TaskQueue.ACTIVITY, ended)
        return ActivityReportsResponse(results=tuple(results))

    def query_answers(self, request: Request, body: QueryAnswersRequest) -> QueryAnswersResponse:
        """Take answers to queries; those that nobody waits for any more are dropped."""
        self.engine.queries.take(self._run(request, body.token).run, body.answers)
        return QueryAnswersResponse()

    def task_events(self, request: Request, body: TaskEventsRequest) -> TaskEventsResponse:
        """Add events of custom tasks to their streams. A repeat is harmless."""
        grants = [self._attempt_if_any(request, publication.token) for publication in body.publications]
        granted = [
            GrantedPublication(grant, publication)
            for grant, publication in zip(grants, body.publications, strict=True)
            if grant
        ]
        lasts = iter(self.engine.task_events.append(workspace_of(request), granted))
        results = [PublicationResult(last_sequence=next(lasts) if grant else None) for grant in grants]
        return TaskEventsResponse(results=tuple(results))

    def logs(self, request: Request, body: LogsRequest) -> LogsResponse:
        """Keep what a worker has logged, for two weeks. A repeat is harmless."""
        self.engine.logs.append(workspace_of(request), body)
        return LogsResponse()

    def leases(self, request: Request, body: LeasesRequest) -> LeasesResponse:
        """Extend leases, end them, or hand their tasks back."""
        return LeasesResponse(lost=tuple(self.engine.tasks.lease(workspace_of(request), body)))

    def workflow_task_failures(self, request: Request, body: WorkflowTaskFailedRequest) -> WorkflowTaskFailedResponse:
        """Record why a run cannot be advanced; its task comes again."""
        seconds = self.engine.tasks.workflow_task_failed(self._run(request, body.token), body)
        return WorkflowTaskFailedResponse(retry_in_seconds=seconds)

    def _run(self, request: Request, token: str) -> RunGrant:
        """Return what a token grants. Raises: InvalidCapability."""
        return self.engine.capabilities.run(workspace_of(request), token)

    def _attempt(self, request: Request, token: str) -> AttemptGrant:
        """Return what a token grants. Raises: InvalidCapability."""
        return self.engine.capabilities.attempt(workspace_of(request), token)

    def _attempt_if_any(self, request: Request, token: str) -> AttemptGrant | None:
        with suppress(InvalidCapability):
            return self._attempt(request, token)
        return None

    def _granted(self, request: Request, commit: Commit) -> GrantedCommit | None:
        """Return the commit if its token is for the batch that it has."""
        with suppress(InvalidCapability):
            grant = self._run(request, commit.token)
            return GrantedCommit(grant, commit) if grant.next_index == commit.batch.index else None
        return None

    def _end_leases(self, queue: TaskQueue, ended: Iterable[tuple[RunGrant | AttemptGrant, Sequence[str]]]) -> None:
        receipts: defaultdict[tuple[Workspace, WorkerPool], list[str]] = defaultdict(list)
        for grant, some in ended:
            receipts[grant.run.workspace, grant.pool] += some
        for (workspace, pool), together in receipts.items():
            self.engine.tasks.done(workspace, pool, queue, together)
