"""What executions cost on AWS, estimated from what is recorded of them; nothing is written for that."""

from dataclasses import dataclass

from levante_core.domain.executions.execution import Execution
from levante_core.domain.history.events import ActivityScheduled
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.names import Workspace
from levante_core.domain.observability.costs import CostUnit, estimated
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.services.executions.lookup import find_execution
from levante_core.services.history.loading import read_all
from levante_core.storage import keys
from levante_core.storage.runs import batch_of

ITEMS_AT_ONCE = 100
MOST_ITEMS = 10_000
"""Of a history; what follows them is not counted."""


@dataclass(frozen=True, slots=True)
class ExecutionCost:
    """What the latest run of an execution has cost so far. is_partial: its history has more than MOST_ITEMS items."""

    execution: Execution
    units: dict[CostUnit, float]
    is_partial: bool


class CostService:
    """Estimates costs."""

    def __init__(self, store: ItemStore) -> None:
        self._store = store

    def of(self, workspace: Workspace, execution_id: str) -> ExecutionCost:
        """Estimate what an execution's latest run has cost. Raises: NotFound; InconsistentHistory.

        Cost: a read, and a query for each ITEMS_AT_ONCE items of its history.
        """
        execution = find_execution(self._store, workspace, execution_id)
        item = self._store.get(keys.execution(workspace, execution.key.execution_id))
        batches, facts, attempts, queued, looked_at = list[int](), list[int](), 0, 0, 0
        partition = keys.history(workspace, execution.key.run_id)
        for part in read_all(self._store, Query(partition, limit=ITEMS_AT_ONCE)):
            looked_at += 1
            if looked_at > MOST_ITEMS:
                break
            if part.key.sort.startswith(keys.BATCH):
                batches.append(_bytes(part))
                queued += _queued(part)
            elif part.key.sort.startswith(keys.FACT):
                facts.append(_bytes(part))
            attempts += part.key.sort.startswith(keys.ATTEMPT)
        units = estimated(
            _bytes(item) if item else 0, batches, facts, attempts, queued=queued, is_closed=not execution.is_open
        )
        return ExecutionCost(execution, units, looked_at > MOST_ITEMS)


def _queued(batch: Item) -> int:
    """Count the activities that a batch hands to the activity queue."""
    events = batch_of(batch).events
    return sum(
        isinstance(event, ActivityHandedOver) or (isinstance(event, ActivityScheduled) and event.owner is None)
        for event in events
    )


def _bytes(item: Item) -> int:
    """Return about how large an item is: names and values of its attributes, its documents, its key and its places."""
    texts = [item.key.partition, item.key.sort]
    texts += [f"{name}{value}" for name, value in (*item.attributes.items(), *item.documents.items())]
    texts += [f"{name}{place.partition}{place.sort}" for name, place in item.indexes.items()]
    return sum(len(text.encode()) for text in texts)
