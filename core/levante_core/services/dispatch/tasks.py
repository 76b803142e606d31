"""Handing tasks to workers and taking them back."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from levante_core.domain.activities.retry import task_retry_delay
from levante_core.domain.dispatch.plan import SendTask, task_id
from levante_core.domain.dispatch.tasks import ActivityTask, WorkflowTask
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InconsistentHistory, InvalidCapability, InvalidInput, NotFound
from levante_core.ports.item_store import Item, ItemStore, Put
from levante_core.ports.queues import HeldMessage, Queues, ReceivedMessage
from levante_core.ports.surroundings import Clock, Ids
from levante_core.ports.task_access import TaskAccess
from levante_core.protocol.queue_access import QueueAccess
from levante_core.protocol.workers import (
    LEASE_SECONDS,
    DeliveredTask,
    LeasesRequest,
    LoadRequest,
    LoadResponse,
    PollRequest,
    TaskQueue,
    WorkflowTaskFailedRequest,
    delivered,
)
from levante_core.services.access.capabilities import Capabilities, ReceiptGrant, RunGrant
from levante_core.services.catalogue.builds import BuildService
from levante_core.services.dispatch.containment import each_by_itself
from levante_core.services.dispatch.parking import Parking
from levante_core.services.dispatch.sender import Dispatch, queue_name
from levante_core.services.executions.lookup import find_deployment
from levante_core.services.history.loading import Position, read_page
from levante_core.storage import keys
from levante_core.storage.attempts import task_failure_item
from levante_core.storage.parked import Owner, ParkedKind, owner_of_text
from levante_core.storage.runs import Recorded, execution_of, run_id_of

PART = "part"
"""The kind of capability that leads on in a history that takes several answers."""


def consumer_name(workspace: Workspace, key_id: str, worker_id: str) -> str:
    """Name a worker process as the queues know it: a key can speak for those only that have polled with it."""
    return f"{workspace}/{key_id}/{worker_id}"


class TaskService:
    """Polls, leases, loads, and failures of workflow tasks, on behalf of workers."""

    def __init__(  # noqa: PLR0913 - each is an outside of its own
        self,
        store: ItemStore,
        queues: Queues,
        clock: Clock,
        ids: Ids,
        *,
        dispatch: Dispatch,
        capabilities: Capabilities,
        builds: BuildService,
        parking: Parking,
        access: TaskAccess | None,
    ) -> None:
        self._store = store
        self._capabilities = capabilities
        self._queues = queues
        self._clock = clock
        self._ids = ids
        self._dispatch = dispatch
        self._parking = parking
        self._access = access
        self._builds = builds

    def poll(self, workspace: Workspace, request: PollRequest, *, key_id: str) -> list[DeliveredTask]:
        """Lease tasks to a worker, waiting for the first as long as the request says. What cannot be read is parked.

        key_id: of the key that it has. Raises: NotFound for a deployment that no worker has registered.
        Cost: a read, where the queue is not there yet.
        """
        queue = queue_name(workspace, request.deployment_name, request.queue)
        consumer = consumer_name(workspace, key_id, request.worker_id)
        receive = partial(
            self._queues.receive,
            queue,
            limit=request.limit,
            wait_seconds=request.wait_seconds,
            visibility_seconds=LEASE_SECONDS,
            consumer=consumer,
        )
        try:
            messages = receive()
        except NotFound:
            self._ensure(workspace, request.deployment_name, queue)
            messages = receive()
        tasks: list[DeliveredTask] = []
        unread: list[str] = []

        def read(message: ReceivedMessage) -> None:
            tasks.append(self._delivered(queue, message, consumer))

        def park(message: ReceivedMessage, error: Exception) -> None:
            owner = owner_of_text(message.body, workspace, request.deployment_name)
            self._parking.park(ParkedKind.TASK, owner, message.body, error)
            unread.append(message.receipt)

        each_by_itself(messages, read, park)
        if unread:
            self._queues.delete(queue, unread)
        return tasks

    def send_again(self, owner: Owner, body: str) -> None:
        """Send a task whose message could not be read, to the deployment in whose queue it was. Raises: ValidationError."""
        if owner.pool is None:
            raise InconsistentHistory("a parked task does not say which deployment it is for: drop it")
        task = delivered(body, "-", 1).task
        own = {"workspace": owner.workspace, "deployment_name": owner.pool, "verify": True}
        self._dispatch.carry_out([_copy(task.model_copy(update=own))], salt=f":{self._ids.uuid()}")

    @property
    def lends_access(self) -> bool:
        """Whether workers may take tasks from the queues themselves."""
        return self._access is not None

    def access(self, workspace: Workspace, pool: WorkerPool) -> QueueAccess | None:
        """Give the workers of a pool access to its queues, which are there from then on; None where there is none."""
        if self._access is None:
            return None
        names = [queue_name(workspace, pool, queue) for queue in (TaskQueue.WORKFLOW, TaskQueue.ACTIVITY)]
        self._ensure(workspace, pool, *names)
        return self._access.grant(*names)

    def lease(self, workspace: Workspace, request: LeasesRequest) -> list[str]:
        """Extend, end and hand back leases. Returns the receipts that could not be extended: they are lost.

        Raises: InvalidInput for a task to be handed back that is none of this deployment.
        """
        queue = queue_name(workspace, request.deployment_name, request.queue)
        copies = [self._handed_back(workspace, request, position) for position in range(len(request.hand_back))]
        lost = self._extended_or_restored(workspace, queue, request.extend)
        if copies:
            self._dispatch.carry_out(copies, salt=f":{self._ids.uuid()}")
        done = [*request.done, *(returned.receipt for returned in request.hand_back)]
        self._deleted(queue, done)
        return lost

    def done(self, workspace: Workspace, pool: WorkerPool, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """End leases because the work is recorded."""
        self._deleted(queue_name(workspace, pool, queue), receipts)

    def load(self, grant: RunGrant, request: LoadRequest) -> LoadResponse:
        """Read a run's history after an index, or a part of it. Raises: NotFound; InvalidInput; InconsistentHistory."""
        run = grant.run
        if request.after_index and request.after_index >= grant.next_index:
            where = ("body", "after_index")
            raise InvalidInput.at(where, f"the token is for batch {grant.next_index}: ask for what follows one before it")
        after = None if request.after is None else self._position(run, request.after)
        execution = execution_of(self._run_item(run))
        page = read_page(self._store, run, request, after)
        may_commit = execution.is_open and page.next is None
        return LoadResponse(
            status=execution.status,
            token=self._capabilities.run_token(replace(grant, next_index=page.last_index + 1)) if may_commit else None,
            start=execution.start,
            batches=page.batches,
            facts=page.facts,
            queries=page.queries,
            next=self._capabilities.sign(PART, (run.run_id, page.next.sort, page.next.last_index)) if page.next else None,
        )

    def workflow_task_failed(self, grant: RunGrant, request: WorkflowTaskFailedRequest) -> float:
        """Record why a run cannot be advanced, and let the task come again later, to any worker.

        Returns the seconds until then.
        """
        recorded = Recorded(grant.run, grant.pool, self._clock.now())
        self._store.write(Put(task_failure_item(recorded, request.attempt, request.failure)))
        delay = task_retry_delay(request.attempt).total_seconds()
        queue = queue_name(grant.run.workspace, grant.pool, TaskQueue.WORKFLOW)
        self._extended(queue, list(self._own(queue, [request.receipt]).values()), delay)
        return delay

    def _delivered(self, queue: str, message: ReceivedMessage, consumer: str) -> DeliveredTask:
        """Wrap the receipt. What came due before the queues forgot what they had may be a repeat, and has to be checked."""
        task_delivered = delivered(message.body, message.receipt, message.receive_count)
        task, forgot_before = task_delivered.task, self._queues.forgot_before
        if forgot_before and task.fresh_at < forgot_before:
            task = task.model_copy(update={"verify": True})
        grant = ReceiptGrant(queue, message.receipt, message.group, consumer, task.token)
        return task_delivered.model_copy(update={"task": task, "receipt": self._capabilities.receipt(grant)})

    def _extended_or_restored(self, workspace: Workspace, queue: str, receipts: Sequence[str]) -> list[str]:
        """Extend leases. Those of queues that were lost with their process stand again, if nobody else has the task.

        Returns the receipts of those that are lost.
        """
        own = self._own(queue, receipts)
        gone = set(self._extended(queue, list(own.values()), LEASE_SECONDS))
        lost = [receipt for receipt in receipts if receipt not in own or own[receipt] in gone]
        held = [grant for receipt in lost if (grant := self._granted(queue, receipt))]
        messages = [self._message(workspace, grant) for grant in held]
        restored = self._queues.restore(queue, messages, LEASE_SECONDS) if messages else ()
        return [receipt for receipt in lost if own.get(receipt) not in restored]

    def _message(self, workspace: Workspace, grant: ReceiptGrant) -> HeldMessage:
        """Make a message anew that a worker holds: whoever else gets it has to check what it asks for."""
        task = self._capabilities.granted(self._capabilities.task(workspace, grant.token))
        return HeldMessage(task.model_dump_json(), grant.receipt, grant.group, grant.consumer)

    def _handed_back(self, workspace: Workspace, request: LeasesRequest, position: int) -> SendTask:
        """Make a copy of a task: a message that is only made visible again would count as lost."""
        task = self._capabilities.task(workspace, request.hand_back[position].token)
        kind = WorkflowTask if request.queue is TaskQueue.WORKFLOW else ActivityTask
        if task.deployment_name != request.deployment_name or not isinstance(task, kind):
            where = ("body", "hand_back", position, "token")
            raise InvalidInput.at(where, "the task is none of this queue: hand back what was delivered from it")
        return _copy(task)

    def _ensure(self, workspace: Workspace, pool: WorkerPool, *queues: str) -> None:
        """Make queues of a deployment, a build and a session that there are. Raises: NotFound."""
        deployment, build, session = pool.deployment, pool.build_id, pool.session
        find_deployment(self._store, workspace, deployment)
        if build and self._store.get(keys.build(workspace, deployment, build)) is None:
            raise NotFound(f"deployment {deployment!r} has no build {build!r}: register before polling")
        if session and session not in self._builds.live_sessions(workspace, deployment):
            raise NotFound(f"deployment {deployment!r} has no live session {session!r}: register before polling")
        for queue in queues:
            self._queues.ensure(queue)

    def _extended(self, queue: str, receipts: Sequence[str], seconds: float) -> list[str]:
        """Extend; the messages of a queue that is gone are lost."""
        try:
            return self._queues.extend(queue, receipts, seconds) if receipts else []
        except NotFound:
            return list(receipts)

    def _deleted(self, queue: str, receipts: Sequence[str]) -> None:
        with suppress(NotFound):
            if own := list(self._own(queue, receipts).values()):
                self._queues.delete(queue, own)

    def _position(self, run: RunKey, text: str) -> Position:
        """Read where a part of the history of this run ended. Raises: InvalidInput."""
        with suppress(InvalidCapability):
            run_id, sort, last_index = self._capabilities.read(PART, text)
            if run_id == run.run_id:
                return Position(sort, last_index)
        where = ("body", "after")
        raise InvalidInput.at(
            where, "not where a part of this history ends: take `next` from the answer before", "invalid_token"
        )

    def _own(self, queue: str, receipts: Iterable[str]) -> dict[str, str]:
        """Return the queue's own receipts by those that workers name, if they are of this queue.

        A worker that takes messages from the queue itself names them as the queue does.
        """
        own = {}
        for receipt in receipts:
            if granted := self._granted(queue, receipt):
                own[receipt] = granted.receipt
            elif self._access is not None:
                own[receipt] = receipt
        return own

    def _granted(self, queue: str, receipt: str) -> ReceiptGrant | None:
        with suppress(InvalidCapability):
            granted = self._capabilities.received(receipt)
            return granted if granted.queue == queue else None
        return None

    def _run_item(self, run: RunKey) -> Item:
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        if item and run_id_of(item) != run.run_id:
            item = self._store.get(keys.earlier_run(run))
        if item is None:
            raise NotFound(f"execution {run.execution_id!r} has no run {run.run_id!r}")
        return item


def _copy(task: WorkflowTask | ActivityTask) -> SendTask:
    """Send a task once more."""
    return SendTask(task, task_id(task) if isinstance(task, ActivityTask) else f"{task.run_id}:advance")
