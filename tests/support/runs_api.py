"""The API as a worker of one run sees it, and a source of tasks, in memory: they keep what was said, and fail to order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel

from levante.worker.transport.api import Api
from levante_core.domain.dispatch.tasks import ActivityTask, ActivityWork, Fact, WorkflowTask
from levante_core.domain.executions.execution import RunStart
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import CLOSINGS, HistoryBatch, HistoryEvent, Input
from levante_core.protocol.activities import (
    ActivityReport,
    ActivityReportResult,
    ActivityReportsRequest,
    ActivityReportsResponse,
    CheckRequest,
    CheckResponse,
    DeferRequest,
    DeferResponse,
)
from levante_core.protocol.capabilities import Capability, Statement
from levante_core.protocol.workers import (
    Commit,
    CommitOutcome,
    CommitResult,
    CommitsRequest,
    CommitsResponse,
    DeliveredTask,
    HandBack,
    HeartbeatRequest,
    HeartbeatResponse,
    LeaveRequest,
    LeaveResponse,
    LoadRequest,
    LoadResponse,
    QueryAnswer,
    QueryAnswersRequest,
    QueryAnswersResponse,
    QueryRequest,
    RegisterRequest,
    RegisterResponse,
    RegistrationRef,
    TaskQueue,
    WhoAmI,
    WorkflowTaskFailedRequest,
    WorkflowTaskFailedResponse,
)

EXECUTION, RUN, POOL = ExecutionId("e"), RunId("r"), WorkerPool.parse("d")
RECORDED = CommitOutcome.RECORDED


def token_of(index: int) -> str:
    """Return the token that lets commit the batch with this index."""
    return str(Capability.signed(1, b"key", Statement.of("run", (index,))))


def run_start(workflow: str, at: datetime, value: Any = None) -> RunStart:
    """Return batch 0 of a run."""
    return RunStart(
        workflow_name=WorkflowName(workflow),
        input={} if value is None else value,
        started_at=at,
        deadline_at=at + timedelta(hours=1),
    )


class RunsApi(Api):
    """Keeps the history of one run: a batch is recorded if its index is free and its token is for that index.

    trouble: by path, what calls raise instead, first come first served. verdicts: what becomes of the next commits instead
    of that; whoever has written in between is in `batches` by then. may_record: commits are answered once this is set.
    said: requests that came, by path.
    """

    def __init__(self, start: RunStart) -> None:
        self.start = start
        self.status = ExecutionStatus.RUNNING
        self.batches: list[HistoryBatch] = []
        self.facts: list[Fact] = []
        self.queries: list[QueryRequest] = []
        self.wanted: ActivityTask | None = None
        self.is_active = True
        self.features: dict[str, bool] = {}
        self.warnings: tuple[str, ...] = ()
        self.trouble: defaultdict[str, list[Exception]] = defaultdict(list)
        self.verdicts: list[CommitResult] = []
        self.may_record = asyncio.Event()
        self.may_record.set()
        self.said: defaultdict[str, list[Any]] = defaultdict(list)

    @property
    def events(self) -> list[HistoryEvent]:
        """The events of the history."""
        return [event for batch in self.batches for event in batch.events]

    @property
    def kinds(self) -> list[list[str]]:
        """The kinds of the events of each batch."""
        return [[event.kind for event in batch.events] for batch in self.batches]

    @property
    def commits(self) -> list[Commit]:
        """The commits that came."""
        return [commit for request in self.said["/workers/commits"] for commit in request.commits]

    @property
    def loads(self) -> list[LoadRequest]:
        """The loads that were asked for."""
        return self.said["/workers/load"]

    @property
    def reports(self) -> list[ActivityReport]:
        """The reports of attempts that came."""
        return [report for request in self.said["/workers/activity-reports"] for report in request.reports]

    @property
    def answers(self) -> list[QueryAnswer]:
        """The answers to queries that came."""
        return [answer for request in self.said["/workers/query-answers"] for answer in request.answers]

    @property
    def failures(self) -> list[WorkflowTaskFailedRequest]:
        """The reports that code could not be advanced."""
        return self.said["/workers/workflow-task-failures"]

    def record(self, *events: HistoryEvent) -> None:
        """Record a batch as another writer."""
        self.batches.append(HistoryBatch(index=len(self.batches) + 1, commit_id="another writer's", events=events))

    def fact(self, key: str, input_of_fact: Input) -> Fact:
        """Record a fact, and return it."""
        self.facts.append(Fact(key=key, input=input_of_fact))
        return self.facts[-1]

    async def _call(self, method: str, path: str, body: bytes | None) -> bytes:
        del method
        trouble = self.trouble[path]
        if trouble:
            raise trouble.pop(0)
        answers: dict[str, tuple[type[BaseModel], Any]] = {
            "/register": (RegisterRequest, self._register),
            "/workers/heartbeat": (HeartbeatRequest, lambda _: HeartbeatResponse(all_active=self.is_active)),
            "/workers/leave": (LeaveRequest, lambda _: LeaveResponse()),
            "/workers/commits": (CommitsRequest, self._commit),
            "/workers/load": (LoadRequest, self._load),
            "/workers/activity-reports": (ActivityReportsRequest, _report),
            "/workers/activity-checks": (CheckRequest, lambda _: CheckResponse(task=self.wanted)),
            "/workers/activity-deferrals": (DeferRequest, lambda _: DeferResponse(is_wanted=True)),
            "/workers/query-answers": (QueryAnswersRequest, self._answer),
            "/workers/workflow-task-failures": (
                WorkflowTaskFailedRequest,
                lambda _: WorkflowTaskFailedResponse(retry_in_seconds=1),
            ),
        }
        if body is None:
            self.said[path].append(None)
            return WhoAmI(scheduler_url="", namespace="s", features=self.features).model_dump_json().encode()
        kind, answer = answers[path]
        request = kind.model_validate_json(body)
        self.said[path].append(request)
        if path == "/workers/commits":
            await self.may_record.wait()
        answered: BaseModel = answer(request)
        return answered.model_dump_json().encode()

    def _register(self, request: RegisterRequest) -> RegisterResponse:
        refs = tuple(
            RegistrationRef(workflow_id=spec.name, workflow_registration_id=f"{spec.name}-1") for spec in request.definitions
        )
        return RegisterResponse(
            has_conflicts=False, workflow_registration_ids=(), workflow_registration_refs=refs, warnings=self.warnings
        )

    def _commit(self, request: CommitsRequest) -> CommitsResponse:
        return CommitsResponse(results=tuple(map(self._recorded, request.commits)))

    def _recorded(self, commit: Commit) -> CommitResult:
        if self.verdicts:
            return self.verdicts.pop(0)
        index = len(self.batches) + 1
        if commit.token != token_of(commit.batch.index):
            return CommitResult(outcome=CommitOutcome.REFUSED)
        if commit.batch.index != index or self.status is not ExecutionStatus.RUNNING:
            return CommitResult(outcome=CommitOutcome.CONFLICT)
        self.batches.append(commit.batch)
        if isinstance(commit.batch.events[-1], CLOSINGS):
            self.status = ExecutionStatus.COMPLETED
            return CommitResult(outcome=RECORDED)
        return CommitResult(outcome=RECORDED, token=token_of(index + 1))

    def _load(self, request: LoadRequest) -> LoadResponse:
        queries, self.queries = self.queries, []
        is_open = self.status is ExecutionStatus.RUNNING
        return LoadResponse(
            status=self.status,
            start=self.start,
            batches=tuple(self.batches[request.after_index :]),
            facts=tuple(fact for fact in self.facts if _is_of_interest(fact.input, request)),
            queries=tuple(queries),
            token=token_of(len(self.batches) + 1) if is_open else None,
        )

    def _answer(self, _: QueryAnswersRequest) -> QueryAnswersResponse:
        return QueryAnswersResponse()


def _is_of_interest(input_of_fact: Input, request: LoadRequest) -> bool:
    number = getattr(input_of_fact, "number", None)
    return getattr(input_of_fact, "seq", 0) >= request.open_from if number is None else number >= request.mail_from


def _report(request: ActivityReportsRequest) -> ActivityReportsResponse:
    return ActivityReportsResponse(results=tuple(ActivityReportResult(stale=False) for _ in request.reports))


class TasksInMemory:
    """A source of tasks. lost: receipts that are somebody else's. refusal: what every call about leases raises.

    polls: how many tasks each poll asked for. extended: receipts, call by call.
    """

    def __init__(self) -> None:
        self.waiting: dict[TaskQueue, asyncio.Queue[Sequence[DeliveredTask] | Exception]] = {
            queue: asyncio.Queue() for queue in TaskQueue
        }
        self.polls: list[tuple[TaskQueue, int]] = []
        self.extended: list[tuple[TaskQueue, tuple[str, ...]]] = []
        self.ended: list[tuple[TaskQueue, str]] = []
        self.handed_back: list[tuple[TaskQueue, HandBack]] = []
        self.lost: set[str] = set()
        self.refusal: Exception | None = None
        self.is_closed = False

    def give(self, queue: TaskQueue, *tasks: DeliveredTask) -> None:
        """Let the next poll have these tasks."""
        self.waiting[queue].put_nowait(tasks)

    async def poll(self, queue: TaskQueue, limit: int) -> Sequence[DeliveredTask]:
        """See TaskSource."""
        self.polls.append((queue, limit))
        tasks = await self.waiting[queue].get()
        if isinstance(tasks, Exception):
            raise tasks
        return tasks

    async def extend(self, queue: TaskQueue, receipts: Sequence[str]) -> Sequence[str]:
        """See TaskSource."""
        self.extended.append((queue, tuple(receipts)))
        self._refuse()
        return [receipt for receipt in receipts if receipt in self.lost]

    async def done(self, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """See TaskSource."""
        self._refuse()
        self.ended += [(queue, receipt) for receipt in receipts]

    async def hand_back(self, queue: TaskQueue, returned: Sequence[HandBack]) -> None:
        """See TaskSource."""
        self._refuse()
        self.handed_back += [(queue, one) for one in returned]

    async def close(self) -> None:
        """See TaskSource."""
        self.is_closed = True

    def _refuse(self) -> None:
        if self.refusal:
            raise self.refusal


def workflow_task(at: datetime, *, execution_id: str = EXECUTION, run_id: str = RUN, **more: Any) -> WorkflowTask:
    """Return the message that the run is to be advanced. more: further fields of it."""
    return WorkflowTask(
        workspace=Workspace("s"),
        execution_id=ExecutionId(execution_id),
        run_id=RunId(run_id),
        deployment_name=POOL,
        fresh_at=at,
        token=more.pop("token", token_of(1)),
        **more,
    )


def activity_task(at: datetime, work: ActivityWork | None, *, attempt: int = 1, **more: Any) -> ActivityTask:
    """Return the message that an attempt is to be made. more: further fields of it."""
    return ActivityTask(
        workspace=Workspace("s"),
        execution_id=EXECUTION,
        run_id=RUN,
        deployment_name=POOL,
        fresh_at=at,
        token="attempt",
        seq=1,
        scheduled_in=1,
        attempt=attempt,
        work=work,
        **more,
    )


def delivered(task: WorkflowTask | ActivityTask, receipt: str = "receipt", receive_count: int = 1) -> DeliveredTask:
    """Return a task on lease."""
    return DeliveredTask(receipt=receipt, receive_count=receive_count, task=task)
