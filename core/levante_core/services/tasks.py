"""Handing tasks to workers and taking them back."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from levante_core.domain.execution import RunKey
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.plan import SendTask, task_id
from levante_core.domain.tasks import ActivityTask
from levante_core.errors import InconsistentHistory, NotFound
from levante_core.ports.item_store import Item, ItemStore, Put
from levante_core.ports.queues import Queues, ReceivedMessage
from levante_core.ports.surroundings import Clock, Ids
from levante_core.ports.task_access import TaskAccess
from levante_core.protocol.workers import (
    LEASE_SECONDS,
    DeliveredTask,
    HandBack,
    LeasesRequest,
    LoadRequest,
    LoadResponse,
    PollRequest,
    QueueAccess,
    TaskQueue,
    WorkflowTaskFailedRequest,
    delivered,
)
from levante_core.records import keys
from levante_core.records.parked import Owner, ParkedKind, owner_of_text
from levante_core.records.runs import Recorded, execution_of
from levante_core.services.containment import each_by_itself
from levante_core.services.dispatch import Dispatch, queue_name
from levante_core.services.parking import Parking
from levante_core.services.reading import read_page

MAX_TASK_RETRY_SECONDS = 60


def consumer_name(workspace: Workspace, worker_id: str) -> str:
    """Name a worker process as the queues know it."""
    return f"{workspace}/{worker_id}"


class TaskService:
    """Polls, leases, loads, and failures of workflow tasks, on behalf of workers."""

    def __init__(
        self,
        store: ItemStore,
        queues: Queues,
        clock: Clock,
        ids: Ids,
        *,
        dispatch: Dispatch,
        parking: Parking,
        access: TaskAccess | None,
    ) -> None:
        self._store = store
        self._queues = queues
        self._clock = clock
        self._ids = ids
        self._dispatch = dispatch
        self._parking = parking
        self._access = access

    def poll(self, workspace: Workspace, request: PollRequest) -> list[DeliveredTask]:
        """Lease tasks to a worker, waiting for the first as long as the request says. What cannot be read is parked."""
        queue = queue_name(workspace, request.deployment_name, request.queue)
        receive = partial(
            self._queues.receive,
            queue,
            limit=request.limit,
            wait_seconds=request.wait_seconds,
            visibility_seconds=LEASE_SECONDS,
            consumer=consumer_name(workspace, request.worker_id),
        )
        try:
            messages = receive()
        except NotFound:
            self._queues.ensure(queue)
            messages = receive()
        tasks: list[DeliveredTask] = []
        unread: list[str] = []

        def read(message: ReceivedMessage) -> None:
            tasks.append(delivered(message.body, message.receipt, message.receive_count))

        def park(message: ReceivedMessage, error: Exception) -> None:
            owner = owner_of_text(message.body, workspace, request.deployment_name)
            self._parking.park(ParkedKind.TASK, owner, message.body, error)
            unread.append(message.receipt)

        each_by_itself(messages, read, park)
        self._deleted(queue, unread)
        return tasks

    def send_again(self, owner: Owner, body: str) -> None:
        """Send a task whose message could not be read, to the deployment in whose queue it was. Raises: ValidationError."""
        if owner.deployment_name is None:
            raise InconsistentHistory("a parked task does not say which deployment it is for: drop it")
        task = delivered(body, "-", 1).task
        own = {"workspace": owner.workspace, "deployment_name": owner.deployment_name, "verify": True}
        name = task_id(task) if isinstance(task, ActivityTask) else f"{task.run_id}:advance"
        self._dispatch.carry_out([SendTask(task.model_copy(update=own), name)], salt=f":{self._ids.uuid()}")

    def access(self, workspace: Workspace, deployment: DeploymentName) -> QueueAccess | None:
        """Give workers of a deployment access to its queues, which are there from then on; None where there is none."""
        if self._access is None:
            return None
        names = [queue_name(workspace, deployment, queue) for queue in (TaskQueue.WORKFLOW, TaskQueue.ACTIVITY)]
        for name in names:
            self._queues.ensure(name)
        return self._access.grant(*names)

    def lease(self, workspace: Workspace, request: LeasesRequest) -> list[str]:
        """Extend, end and hand back leases. Returns the receipts that could not be extended: they are lost."""
        queue = queue_name(workspace, request.deployment_name, request.queue)
        lost = self._extended(queue, request.extend, LEASE_SECONDS)
        if request.hand_back:
            self._hand_back(workspace, request.deployment_name, request.hand_back)
        done = [*request.done, *(returned.receipt for returned in request.hand_back)]
        self._deleted(queue, done)
        return lost

    def done(self, workspace: Workspace, deployment: DeploymentName, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """End leases because the work is recorded."""
        self._deleted(queue_name(workspace, deployment, queue), receipts)

    def load(self, workspace: Workspace, request: LoadRequest) -> LoadResponse:
        """Read a run's history after an index, or a part of it. Raises: NotFound; InvalidInput; InconsistentHistory."""
        run = RunKey(workspace, request.execution_id, request.run_id)
        execution = execution_of(self._run_item(run))
        page = read_page(self._store, run, request)
        return LoadResponse(
            status=execution.status,
            start=execution.start,
            batches=page.batches,
            facts=page.facts,
            queries=page.queries,
            next=page.next,
        )

    def workflow_task_failed(self, workspace: Workspace, request: WorkflowTaskFailedRequest) -> float:
        """Record why a run cannot be advanced, and let the task come again later, to any worker.

        Returns the seconds until then: 1, doubled by each attempt, at most a minute.
        """
        run = RunKey(workspace, request.execution_id, request.run_id)
        recorded = Recorded(run, request.deployment_name, self._clock.now())
        attributes = {**recorded.attributes(), "attempt": request.attempt}
        self._store.write(Put(Item(keys.task_failure(run), attributes, {"failure": request.failure.model_dump_json()})))
        delay = float(min(2 ** min(request.attempt - 1, 10), MAX_TASK_RETRY_SECONDS))
        queue = queue_name(workspace, request.deployment_name, TaskQueue.WORKFLOW)
        self._extended(queue, [request.receipt], delay)
        return delay

    def _extended(self, queue: str, receipts: Sequence[str], seconds: float) -> list[str]:
        """Extend; the messages of a queue that is gone are lost."""
        try:
            return self._queues.extend(queue, receipts, seconds) if receipts else []
        except NotFound:
            return list(receipts)

    def _deleted(self, queue: str, receipts: Sequence[str]) -> None:
        with suppress(NotFound):
            if receipts:
                self._queues.delete(queue, receipts)

    def _hand_back(self, workspace: Workspace, deployment: DeploymentName, returned: Sequence[HandBack]) -> None:
        """Send a copy of each task: a message that is only made visible again would count as lost."""
        salt = f":{self._ids.uuid()}"
        copies = []
        for one in returned:
            own = {"workspace": workspace, "deployment_name": deployment, "verify": True}
            task = one.task.model_copy(update=own)
            copies.append(SendTask(task, task_id(task) if isinstance(task, ActivityTask) else f"{task.run_id}:advance"))
        self._dispatch.carry_out(copies, salt=salt)

    def _run_item(self, run: RunKey) -> Item:
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        if item and item.attributes["run_id"] != run.run_id:
            item = self._store.get(keys.earlier_run(run))
        if item is None:
            raise NotFound(f"execution {run.execution_id!r} has no run {run.run_id!r}")
        return item
