"""A whole installation in one process without HTTP: real services, real local adapters, real workers."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from levante.definitions import ActivityDefinition, get_activity_definition, get_workflow_definition
from levante.worker.activities import ActivityRunner
from levante.worker.batching import Batcher
from levante.worker.settings import WorkerSettings
from levante.worker.tasks import ApiTasks
from levante.worker.worker import Worker, send_commits, send_reports
from levante.worker.world import World
from levante_core.adapters.system import RandomIds, SystemClock
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.stream_events import PublishedTask
from levante_core.errors import NotFound
from levante_core.ports.item_store import Change
from levante_core.protocol.activities import (
    ActivityHeartbeatRequest,
    ActivityHeartbeatResponse,
    ActivityReportsRequest,
    ActivityReportsResponse,
    CheckRequest,
    CheckResponse,
    PermitRequest,
    PermitResponse,
    TaskEventsRequest,
    TaskEventsResponse,
)
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
    RegisterRequest,
    RegisterResponse,
    TaskQueue,
    WhoAmI,
    WorkflowTaskFailedRequest,
    WorkflowTaskFailedResponse,
)
from levante_core.records import keys
from levante_core.records.offloading import OffloadingStore
from levante_core.records.runs import concerns_dispatcher
from levante_core.services.engine import Engine, build_engine
from levante_core.services.executions import StartRequest
from levante_core.services.tasks import consumer_name
from levante_dispatcher.handlers import build_handlers
from levante_local.change_watch import LocalChangeWatch
from levante_local.payload_files import PayloadFiles
from levante_local.pumps import ChangePump, pump_timers
from levante_local.queues import InProcessQueues
from levante_local.sqlite_store import SqliteItemStore
from levante_local.waiting import call

WORKSPACE = Workspace("test")


class DirectApi:
    """What `levante.worker.api.Api` does, on services instead of HTTP. calls: how often each was called."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.calls: Counter[str] = Counter()

    async def whoami(self) -> WhoAmI:
        return WhoAmI(scheduler_url="", namespace=WORKSPACE)

    async def register(self, request: RegisterRequest) -> RegisterResponse:
        return await call(self.engine.catalogue.register, WORKSPACE, request)

    async def heartbeat(self, request: HeartbeatRequest) -> HeartbeatResponse:
        return HeartbeatResponse(all_active=await call(self.engine.catalogue.heartbeat, WORKSPACE, request))

    async def poll(self, request: PollRequest) -> PollResponse:
        return PollResponse(tasks=tuple(await call(self.engine.tasks.poll, WORKSPACE, request)))

    async def load(self, request: LoadRequest) -> LoadResponse:
        self.calls["load"] += 1
        return await call(self.engine.tasks.load, WORKSPACE, request)

    async def check(self, request: CheckRequest) -> CheckResponse:
        self.calls["check"] += 1
        return CheckResponse(task=await call(self.engine.activities.check, WORKSPACE, request.task, request.receive_count))

    async def answer_queries(self, request: QueryAnswersRequest) -> QueryAnswersResponse:
        self.calls["answer_queries"] += 1
        await call(self.engine.queries.take, WORKSPACE, request.answers)
        return QueryAnswersResponse()

    async def activity_heartbeat(self, request: ActivityHeartbeatRequest) -> ActivityHeartbeatResponse:
        self.calls["activity_heartbeat"] += 1
        return ActivityHeartbeatResponse(is_wanted=await call(self.engine.activities.heartbeat, WORKSPACE, request))

    async def rate_permit(self, request: PermitRequest) -> PermitResponse:
        self.calls["rate_permit"] += 1
        wait = await call(self.engine.rate_limits.permit, WORKSPACE, request)
        return PermitResponse(wait_seconds=wait.total_seconds())

    async def publish_task_events(self, request: TaskEventsRequest) -> TaskEventsResponse:
        self.calls["publish_task_events"] += 1
        told = [
            PublishedTask(request.publisher, request.seq, request.activity_name, one.number, one.at, one.event)
            for one in request.events
        ]
        append = self.engine.streams.append
        last = await call(append, WORKSPACE, request.execution_id, request.run_id, told, request.after)
        return TaskEventsResponse(last_sequence=last)

    async def leases(self, request: LeasesRequest) -> LeasesResponse:
        self.calls["leases"] += 1
        return LeasesResponse(lost=tuple(await call(self.engine.tasks.lease, WORKSPACE, request)))

    async def workflow_task_failed(self, request: WorkflowTaskFailedRequest) -> WorkflowTaskFailedResponse:
        self.calls["workflow_task_failed"] += 1
        seconds = await call(self.engine.tasks.workflow_task_failed, WORKSPACE, request)
        return WorkflowTaskFailedResponse(retry_in_seconds=seconds)

    async def post_raw(self, path: str, body: bytes) -> bytes:
        self.calls[path] += 1
        if path == "/workers/commits":
            commits = CommitsRequest.model_validate_json(body).commits
            outcomes = await call(self.engine.commits.append, WORKSPACE, commits)
            for commit, outcome in zip(commits, outcomes, strict=True):
                if outcome is CommitOutcome.RECORDED:
                    self.engine.tasks.done(WORKSPACE, commit.deployment_name, TaskQueue.WORKFLOW, commit.done)
            return CommitsResponse(outcomes=tuple(outcomes)).model_dump_json().encode()
        reports = ActivityReportsRequest.model_validate_json(body).reports
        results = await call(self.engine.activities.report, WORKSPACE, reports)
        for report in reports:
            if report.receipt:
                self.engine.tasks.done(WORKSPACE, report.deployment_name, TaskQueue.ACTIVITY, [report.receipt])
        return ActivityReportsResponse(results=tuple(results)).model_dump_json().encode()


class Installation:
    """An engine on local adapters in a directory, its pumps, and workers."""

    def __init__(self, data: Path, *, fast_path: bool = False) -> None:
        clock = SystemClock()
        self.store = SqliteItemStore(data / "levante.sqlite", "NORMAL", feeds=concerns_dispatcher, on_loop=True)
        self.queues = InProcessQueues(clock)
        watch = LocalChangeWatch()
        self.store.listen(watch.notify)
        self.heard: list[Change] = []
        self.store.listen(self.heard.extend)
        items = OffloadingStore(self.store, PayloadFiles(data / "payloads"))
        self.engine = build_engine(items, self.queues, clock, RandomIds(), watch, fast_path=fast_path)
        self.api = DirectApi(self.engine)
        self.handlers = build_handlers(self.engine, items.resolved)
        self.runners: list[ActivityRunner] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the pumps inside the block."""
        pump = ChangePump(self.store, self.handlers)
        await call(self.engine.redrive.redrive)
        tasks = [asyncio.create_task(pump.run()), asyncio.create_task(pump_timers(self.queues, self.handlers))]
        try:
            yield
        finally:
            await _cancel(tasks)
            self.store.close()

    @asynccontextmanager
    async def worker(
        self, workflows: Sequence[type], activities: Sequence[Any] = (), **settings: Any
    ) -> AsyncIterator["asyncio.Task[None]"]:
        """Run a worker inside the block. Cancel the task it yields to kill it without a farewell."""
        given = {"api_key": "x" * 20, "deployment_name": "d", "worker_name": "w", **settings}
        chosen = WorkerSettings(**given)
        found: dict[str, ActivityDefinition] = {}
        for function in activities:
            definition = get_activity_definition(function)
            found[definition.name] = definition
        api: Any = self.api
        worker_id = uuid4().hex
        world = World(
            settings=chosen,
            worker_id=worker_id,
            api=api,
            tasks=ApiTasks(api, DeploymentName(chosen.deployment_name), worker_id),
            commits=Batcher(send_commits(api)),
            reports=Batcher(send_reports(api)),
            runner=ActivityRunner(found, chosen.max_concurrent_activities, api, SystemClock().now),
            workflows={get_workflow_definition(cls).name: get_workflow_definition(cls) for cls in workflows},
        )
        self.runners.append(world.runner)
        stop = asyncio.Event()
        task = asyncio.create_task(Worker(world).run(stop), name=worker_id)
        try:
            yield task
        finally:
            stop.set()
            with suppress(asyncio.CancelledError):
                await task

    def believe_long(self, activity: str) -> None:
        """Let all workers take an activity for a long one, which they leave to the queue."""
        for runner in self.runners:
            runner.learn(activity, 3600)

    def has_waiting_retry(self) -> bool:
        """Whether some attempt of an activity waits for its time."""
        return any(change.key.sort.startswith(keys.ATTEMPT) for change in self.heard)

    async def settled(self) -> None:
        """Return when the pumps have nothing left to do."""
        while self.store.read_changes(None, 1):
            await asyncio.sleep(0)

    def kill(self, worker: "asyncio.Task[None]") -> None:
        """End a worker without a farewell, as a host does that sees its connection close."""
        worker.cancel()
        self.queues.release_consumer(consumer_name(WORKSPACE, worker.get_name()))

    async def find(self, execution_id: str) -> Any:
        """Return the execution, or None."""
        with suppress(NotFound):
            return await call(self.engine.executions.get, WORKSPACE, execution_id)
        return None

    async def is_closed(self, execution_id: str) -> bool:
        """Whether the execution has ended."""
        execution = await call(self.engine.executions.get, WORKSPACE, execution_id)
        return not execution.is_open

    async def start(self, workflow: str, input_: Any = None, **given: Any) -> str:
        """Start an execution. Returns its id."""
        while True:
            with suppress(NotFound):
                await call(self.engine.catalogue.get, WORKSPACE, workflow)
                break
            await asyncio.sleep(0)
        execution = await call(self.engine.executions.start, WORKSPACE, workflow, StartRequest(input=input_, **given))
        return str(execution.key.execution_id)

    async def result(self, execution_id: str, seconds: float = 20) -> Any:
        """Wait until the execution is closed; return the execution."""
        return await call(self.engine.executions.wait, WORKSPACE, execution_id, seconds)

    async def history(self, execution_id: str) -> dict[str, Any]:
        """Return the history as the API gives it."""
        found: dict[str, Any] = json.loads(json.dumps(await call(self.engine.executions.history, WORKSPACE, execution_id)))
        return found


async def _cancel(tasks: Sequence["asyncio.Task[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
