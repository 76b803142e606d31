"""An installation that is driven by hand, in which stored items and messages are damaged on their way."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from levante_core.adapters.dynamodb.images import stream_record
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import ExecutionCompleted
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import ChangeFeed, Item, ItemStore, Key, Put
from levante_core.protocol.specs import HandlerSpec, WorkflowSpec
from levante_core.protocol.workers import Commit, CommitOutcome, DeliveredTask, PollRequest, RegisterRequest, TaskQueue
from levante_core.services.access.capabilities import RunGrant
from levante_core.services.dispatch.sender import TIMERS_QUEUE, queue_name
from levante_core.services.engine import build_engine
from levante_core.services.executions.start import StartRequest
from levante_core.services.history.commits import GrantedCommit
from levante_core.services.history.loading import last_index
from levante_core.storage import keys
from levante_core.storage.changes import concerns_dispatcher
from levante_core.storage.parked import Parked
from levante_dispatcher.handlers import build_handlers
from levante_local.change_watch import LocalChangeWatch
from levante_local.payload_files import PayloadFiles
from levante_local.queues.queues import InProcessQueues
from tests.fakes import FakeClock

HOME, AWAY = Workspace("home"), Workspace("away")
NEIGHBOURS = ((HOME, DeploymentName("own")), (HOME, DeploymentName("other")), (AWAY, DeploymentName("own")))
"""Whose executions have to complete whatever one of the first is like."""
VICTIM = "victim"
MISSING = {"payload_sha256": "0" * 64}


class StoreWithFeed(ItemStore, ChangeFeed, Protocol):
    """A store that reports its changes."""


def _with(document: str, **more: Any) -> str:
    return json.dumps({**json.loads(document), **more})


DAMAGES: Mapping[str, Callable[[str], Any]] = {
    "payload gone": lambda _: MISSING,
    "no JSON": lambda _: "{",
    "wrong type": lambda _: "[7]",
    "unknown kind": lambda document: _with(document, kind="of_a_later_version"),
    "unknown field": lambda document: _with(document, of_a_later_version=1),
    "too large": lambda document: _with(document, seq="x" * 300_000),
    "empty": lambda _: "",
    "null": lambda _: None,
}
"""What a document may be instead of what it was."""


def damaged(item: Item, document: str, how: str) -> Item:
    """Return an item with one document damaged; `missing` leaves it out."""
    others = {name: value for name, value in item.documents.items() if name != document}
    if how == "missing":
        return replace(item, documents=others)
    return replace(item, documents={**others, document: DAMAGES[how](item.documents[document])})


class Plant:
    """The services on a store, and the loops that AWS or the host run beside them."""

    def __init__(self, store: StoreWithFeed, directory: Path, clock: FakeClock | None = None) -> None:
        """clock: goes on from where a plant was left, with a copy of its data."""
        self.raw = store
        self.clock = clock or FakeClock()
        self._payloads = PayloadFiles(directory / "payloads")
        self._seen: str | None = None
        self.replaced: dict[Key, Item] = {}
        """Items that are not delivered by the feed as they were written, but like this."""
        self.restart()

    def restart(self, whose: Sequence[tuple[Workspace, DeploymentName]] = NEIGHBOURS) -> None:
        """Build everything anew on the same data, as a host does at its start: queues are empty, and it redrives.

        whose: workers are there again.
        """
        self.queues = InProcessQueues(self.clock)
        self.queues.ensure(TIMERS_QUEUE)
        self.items = OffloadingStore(self.raw, self._payloads)
        self.engine = build_engine(self.items, self.queues, self.clock, RandomIds(), LocalChangeWatch(), fast_path=False)
        self.handlers = build_handlers(self.engine, self.items.resolved)
        self._workers = whose
        for workspace, deployment in whose:
            self._register(workspace, deployment)
        self.engine.redrive.redrive()

    def start(self, workspace: Workspace, deployment: DeploymentName, execution_id: str, **given: Any) -> RunKey:
        """Start an execution."""
        request = StartRequest(execution_id=execution_id, deployment_name=deployment, **given)
        return self.engine.executions.start(workspace, f"w-{deployment}", request).key

    def start_neighbours(self, name: str, count: int) -> list[RunKey]:
        """Start executions of everybody."""
        return [self.start(*whose, f"{name}-{whose[1]}-{number}") for number in range(count) for whose in NEIGHBOURS]

    def commit(self, run: RunKey, deployment: DeploymentName, *events: Any, index: int | None = None) -> CommitOutcome:
        """Append a batch."""
        place = last_index(self.items, run) + 1 if index is None else index
        batch = HistoryBatch(index=place, commit_id=f"{run.run_id}-{place}", events=events)
        granted = GrantedCommit(RunGrant(run, WorkerPool(deployment), place), Commit(token="not read here", batch=batch))
        (result,) = self.engine.commits.append([granted])
        return result.outcome

    def damage(self, key: Key, document: str, how: str) -> Callable[[], None]:
        """Damage a stored item, and its record in the feed. Returns what mends it."""
        good = self.raw.get(key)
        assert good, key
        self.replaced[key] = damaged(good, document, how)
        self.raw.write(Put(self.replaced[key]))

        def mend() -> None:
            del self.replaced[key]
            self.raw.write(Put(good))

        return mend

    # --- loops --------------------------------------------------------------------------------------------------------

    def round(self) -> None:
        """Let everything run that runs by itself: the feed, the timers, and workers that complete what they get."""
        for _ in range(3):
            self.pump()
            self.fire()
            for workspace, deployment in self._workers:
                self._work(workspace, deployment)
        self.pump()

    def minute(self) -> None:
        """Let a minute pass, with its sweep."""
        self.clock.advance(60)
        self.handlers.sweep({}, None)
        self.round()

    def pump(self) -> None:
        """Hand all changes to the stream's handler, a batch at a time. It may not raise: that would stop everybody."""
        while changes := self.raw.read_changes(self._seen, 100):
            self._seen = changes[-1].sequence
            problems = [
                replace(one, new=self.replaced.get(one.key, one.new)) if one.old is None else one
                for one in changes
                if concerns_dispatcher(one.old.attributes if one.old else None, one.new.attributes if one.new else None)
            ]
            if problems:
                answer = self.handlers.stream({"Records": [stream_record(one) for one in problems]}, None)
                assert answer == {"batchItemFailures": []}

    def fire(self) -> None:
        """Hand the messages that are due to the handler of timers."""
        while messages := self.queues.receive(TIMERS_QUEUE, limit=10, wait_seconds=0, visibility_seconds=60):
            records = [{"messageId": one.receipt, "body": one.body} for one in messages]
            assert self.handlers.timers({"Records": records}, None) == {"batchItemFailures": []}
            self.queues.delete(TIMERS_QUEUE, [one.receipt for one in messages])

    def poll(self, workspace: Workspace, deployment: DeploymentName, queue: TaskQueue) -> list[DeliveredTask]:
        """Take the tasks that are waiting."""
        request = PollRequest(deployment_name=WorkerPool(deployment), worker_id="w", queue=queue, limit=100, wait_seconds=0)
        return self.engine.tasks.poll(workspace, request, key_id="k")

    def lose_tasks(self) -> None:
        """Lose the workflow tasks of everybody."""
        for workspace, deployment in NEIGHBOURS:
            taken = [one.receipt for one in self.poll(workspace, deployment, TaskQueue.WORKFLOW)]
            self.queues.delete(queue_name(workspace, WorkerPool(deployment), TaskQueue.WORKFLOW), taken)

    def rewind(self) -> None:
        """Let the feed deliver again what it has delivered."""
        self._seen = None

    def skip_feed(self) -> None:
        """Lose what the feed has not delivered yet."""
        while changes := self.raw.read_changes(self._seen, 1000):
            self._seen = changes[-1].sequence

    def _work(self, workspace: Workspace, deployment: DeploymentName) -> None:
        while tasks := self.poll(workspace, deployment, TaskQueue.WORKFLOW):
            for one in tasks:
                with suppress(Exception):  # a worker cannot advance what cannot be read
                    run = RunKey(one.task.workspace, one.task.execution_id, one.task.run_id)
                    if run.execution_id != VICTIM or self.completes_victim:
                        self.commit(run, deployment, ExecutionCompleted(seq=99, result=None))
            self.queues.delete(
                queue_name(workspace, WorkerPool(deployment), TaskQueue.WORKFLOW), [one.receipt for one in tasks]
            )

    completes_victim = False
    """Whether workers complete the execution that is damaged, too."""

    def _register(self, workspace: Workspace, deployment: DeploymentName) -> None:
        spec = WorkflowSpec(
            name=f"w-{deployment}", task_queue=deployment, input_schema={}, signals=(HandlerSpec(name="s", input_schema={}),)
        )
        request = RegisterRequest(definitions=(spec,), deployment_name=deployment, worker_name="w")
        self.engine.catalogue.register(workspace, request)

    # --- looks --------------------------------------------------------------------------------------------------------

    def is_open(self, run: RunKey) -> bool:
        """Whether an execution goes on, whatever its documents are like."""
        status, _ = self.engine.executions.status(run.workspace, run.execution_id)
        return status.is_open

    def assert_complete(self, runs: Sequence[RunKey]) -> None:
        """See that executions have completed."""
        statuses = [self.engine.executions.status(run.workspace, run.execution_id)[0].status for run in runs]
        assert statuses == [ExecutionStatus.COMPLETED] * len(runs)

    def parked(self) -> list[Parked]:
        """Return what an admin of the home workspace sees."""
        return list(self.engine.parking.list(HOME, 100, None).items)

    def retry_all(self) -> None:
        """Let everything be tried again, as `levante parked retry --all` does."""
        after: str | None = None
        while True:
            after = self.engine.parking.retry_page(HOME, after)
            if after is None:
                return


def batch_key(run: RunKey) -> Key:
    """Key of the first batch of a run."""
    return keys.batch(run, 1)
