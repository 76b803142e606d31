"""Reading a run's history from the item store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from levante_core.domain.execution import RunKey
from levante_core.domain.history import HistoryBatch
from levante_core.domain.plan import AttemptEnded
from levante_core.domain.tasks import Fact
from levante_core.errors import InconsistentHistory
from levante_core.ports.item_store import AFTER_ALL, Item, ItemStore
from levante_core.records import keys
from levante_core.records.runs import attempt_of, batch_of, fact_of, recorded_of


@dataclass(frozen=True, slots=True)
class History:
    """Batches in order, when each was recorded, and facts by key, taken or not."""

    batches: tuple[HistoryBatch, ...]
    recorded_at: tuple[datetime, ...]
    facts: tuple[Fact, ...]


def read_history(store: ItemStore, run: RunKey, *, after_index: int = 0, open_from: int = 0) -> History:
    """Read the batches after an index, and the facts about commands from a seq on.

    Raises: InconsistentHistory if a batch is missing. Cost: two queries, or more for large histories.
    """
    partition = keys.history(run.workspace, run.run_id)
    batch_items = list(read_all(store, partition, keys.batch(run, after_index + 1).sort, keys.prefixed(keys.BATCH)[1]))
    facts_from = keys.fact(run, keys.outcome_fact(open_from)).sort
    facts = [fact_of(item) for item in read_all(store, partition, facts_from, keys.prefixed(keys.FACT)[1])]
    batches = [batch_of(item) for item in batch_items]
    for expected, batch in enumerate(batches, after_index + 1):
        if batch.index != expected:
            raise InconsistentHistory(f"run {run.run_id} has batch {batch.index} where batch {expected} should be")
    return History(tuple(batches), tuple(recorded_of(item).at for item in batch_items), tuple(facts))


def read_retries(store: ItemStore, run: RunKey) -> list[AttemptEnded]:
    """Read which attempts of a run's activities follow others, outcome or not. Cost: one query, or more."""
    partition = keys.history(run.workspace, run.run_id)
    return [attempt_of(item) for item in read_all(store, partition, *keys.prefixed(keys.ATTEMPT))]


def read_all(store: ItemStore, partition: str, first: str = "", last: str = AFTER_ALL) -> Iterator[Item]:
    """Read all items of a partition between two sort keys, page by page."""
    after: str | None = None
    while True:
        page = store.query(partition, first=first, last=last, after=after)
        yield from page.items
        after = page.next
        if after is None:
            return
