"""An engine on local adapters, driven by hand: no worker, no HTTP, a clock that stands still."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import (
    Commit,
    CommitOutcome,
    CommitResult,
    LoadRequest,
    LoadResponse,
    PollRequest,
    RegisterRequest,
    TaskQueue,
)
from levante_core.services.access.capabilities import AttemptGrant, RunGrant
from levante_core.services.activities.reports import GrantedReport
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.sender import TIMERS_QUEUE, queue_name
from levante_core.services.engine import Engine, build_engine
from levante_core.services.executions.start import StartRequest
from levante_core.services.history.commits import GrantedCommit
from levante_local.change_watch import LocalChangeWatch
from levante_local.payload_files import PayloadFiles
from levante_local.queues.queues import InProcessQueues
from levante_local.sqlite.store import SqliteItemStore
from tests.fakes import FakeClock
from tests.support.races import RacingStore

SPACE = Workspace("s")
DEPLOYMENT = DeploymentName("d")
POOL = WorkerPool(DEPLOYMENT)
HOUR = timedelta(hours=1)
RETENTION = timedelta(days=30)


@dataclass
class Place:
    """An engine, and what it stands on. The fast path is on, so that no feed has to be pumped.

    store: of the items; racing: the same, as the engine sees it.
    """

    engine: Engine
    store: SqliteItemStore
    racing: RacingStore
    queues: InProcessQueues
    clock: FakeClock
    payloads: PayloadFiles
    conflicts: Conflicts

    def start(self, timeout: timedelta = HOUR, **given: Any) -> RunKey:
        """Start an execution of a workflow with this timeout."""
        spec = WorkflowSpec(name="w", task_queue="d", input_schema={}, execution_timeout=timeout)
        request = RegisterRequest(definitions=(spec,), deployment_name=DEPLOYMENT, worker_name="w")
        self.engine.catalogue.register(SPACE, request)
        return self.engine.executions.start(SPACE, "w", StartRequest(**given)).key

    def commit(
        self, run: RunKey, index: int, *events: Any, commit_id: str = "c", taken_until: int = 0, **more: Any
    ) -> CommitOutcome:
        """Commit a batch. more: further fields of the commit."""
        return self.commit_result(run, index, *events, commit_id=commit_id, taken_until=taken_until, **more).outcome

    def commit_result(
        self, run: RunKey, index: int, *events: Any, commit_id: str = "c", taken_until: int = 0, **more: Any
    ) -> CommitResult:
        """Commit a batch. more: further fields of the commit."""
        batch = HistoryBatch(index=index, commit_id=commit_id, events=events)
        commit = Commit(token="not read here", batch=batch, mail_taken=taken_until, **more)
        (result,) = self.engine.commits.append([GrantedCommit(self.grant(run, index), commit)])
        return result

    def grant(self, run: RunKey, next_index: int = 0) -> RunGrant:
        """Return what a worker is granted that was given the run."""
        return RunGrant(run, POOL, next_index)

    def load(self, run: RunKey, **wanted: Any) -> LoadResponse:
        """Load a run, as a worker with every token could."""
        request = LoadRequest(token="not read here", **wanted)
        return self.engine.tasks.load(self.grant(run, request.after_index + 1), request)

    def attempt(self, run: RunKey, attempt: int = 1, seq: int = 1, scheduled_in: int = 1) -> AttemptGrant:
        """Return what a worker is granted that was given the attempt."""
        return AttemptGrant(run, POOL, seq, scheduled_in, attempt)

    def report(
        self,
        run: RunKey,
        attempt: int = 1,
        *,
        seq: int = 1,
        failure: Failure | None = None,
        result: Any = None,
        is_derived: bool = False,
    ) -> bool:
        """Report how an attempt ended. Tells whether that changed anything."""
        grant = replace(self.attempt(run, attempt, seq), is_derived=is_derived)
        (answer,) = self.engine.activities.report([GrantedReport(grant, result, failure)])
        return not answer.stale

    def tasks(self, queue: TaskQueue) -> list[Any]:
        """Take the tasks that are waiting."""
        request = PollRequest(deployment_name=POOL, worker_id="w", queue=queue, limit=100, wait_seconds=0)
        return [delivered.task for delivered in self.engine.tasks.poll(SPACE, request, key_id="k")]

    def due(self) -> list[str]:
        """Take the messages of the timers queue."""
        return self._emptied(TIMERS_QUEUE)

    def status(self, run: RunKey) -> str:
        """Return the status of the execution."""
        return self.engine.executions.get(SPACE, run.execution_id).status

    def kinds(self, run: RunKey) -> list[str]:
        """Return the kinds of the events in history."""
        return [event["kind"] for event in self.engine.histories.show(SPACE, run.execution_id).events()]

    def lose_messages(self) -> None:
        """Lose every message of the deployment and of the timers."""
        for queue in TaskQueue:
            self.emptied(queue)
        self.due()

    def emptied(self, queue: TaskQueue) -> list[str]:
        """Take the messages of a queue of the deployment for good."""
        return self._emptied(queue_name(SPACE, POOL, queue))

    def _emptied(self, queue: str) -> list[str]:
        self.queues.ensure(queue)
        found = self.queues.receive(queue, limit=100, wait_seconds=0, visibility_seconds=30)
        self.queues.delete(queue, [message.receipt for message in found])
        return [message.body for message in found]


@contextmanager
def new_place(directory: Path) -> Iterator[Place]:
    """Build an engine on new local adapters."""
    clock = FakeClock()
    with closing(SqliteItemStore(directory / "items.sqlite", "NORMAL")) as store:
        queues = InProcessQueues(clock)
        payloads = PayloadFiles(directory / "payloads")
        items = RacingStore(store, payloads)
        engine = build_engine(items, queues, clock, RandomIds(), LocalChangeWatch(), fast_path=True, retention=RETENTION)
        yield Place(engine, store, items, queues, clock, payloads, Conflicts(clock, RandomIds()))
