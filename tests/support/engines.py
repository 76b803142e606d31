"""Other processes of an installation: engines on the items of a place, whose outsides fail or are watched."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.dispatch.plan import plan
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.queues import Queues
from levante_core.ports.task_access import TaskAccess
from levante_core.protocol.workers import DeliveredTask, PollRequest, TaskQueue
from levante_core.services.engine import Engine, build_engine
from levante_core.storage.changes import records_of
from levante_local.change_watch import LocalChangeWatch
from tests.support.faults import NO_FAULTS, Fate, Faults, FaultyQueues, FaultyStore, Operations
from tests.support.place import DEPLOYMENT, RETENTION, SPACE, Place

SEND, RECEIVE, READ, WRITE = "other.send", "other.receive", "other.read", "other.write"
"""The operations of another process, as `Faults` know them."""


@dataclass
class Log:
    """Faults that let everything pass and note what is done, in order. before: called before each operation."""

    before: Callable[[str], object] = lambda _: None
    operations: list[str] = field(default_factory=list)

    def fate(self, operation: str) -> Fate:
        """See Faults."""
        self.before(operation)
        self.operations.append(operation)
        return Fate.DONE


def another(
    place: Place,
    faults: Faults = NO_FAULTS,
    *,
    queues: Queues | None = None,
    fast_path: bool = True,
    access: TaskAccess | None = None,
) -> Engine:
    """Build the engine of another process. queues: in place of those of the place."""
    operations = Operations("other", faults)
    items = OffloadingStore(FaultyStore(place.store, operations), place.payloads)
    return build_engine(
        items,
        FaultyQueues(queues or place.queues, operations, Counter()),
        place.clock,
        RandomIds(),
        LocalChangeWatch(),
        fast_path=fast_path,
        access=access,
        retention=RETENTION,
    )


def poll(
    engine: Engine, queue: TaskQueue, deployment: str = DEPLOYMENT, *, worker: str = "w", key: str = "k"
) -> list[DeliveredTask]:
    """Take the tasks that are waiting, with their leases."""
    request = PollRequest(
        deployment_name=WorkerPool.parse(deployment), worker_id=worker, queue=queue, limit=100, wait_seconds=0
    )
    return engine.tasks.poll(SPACE, request, key_id=key)


def carry_out_changes(place: Place, engine: Engine, after: str | None = None) -> str | None:
    """Do what the change feed asks for from a position on, as the dispatcher does. Returns the position to go on from."""
    changes = place.store.read_changes(after, 1000)
    items: OffloadingStore = OffloadingStore(place.store, place.payloads)
    for change in changes:
        resolved = type(change)(
            change.sequence, change.key, *(one and items.resolved(one) for one in (change.old, change.new))
        )
        for record in records_of(resolved):
            engine.effects.carry_out(plan(record))
    return changes[-1].sequence if changes else after


def seqs(tasks: Sequence[DeliveredTask]) -> list[int]:
    """Return which activities these tasks are of."""
    return [task.task.seq for task in tasks if task.task.kind == "activity_task"]
