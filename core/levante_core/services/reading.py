"""Reading a run's history from the item store."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from levante_core.domain.events import ActivityHandedOver
from levante_core.domain.execution import RunKey
from levante_core.domain.history import HistoryBatch, fold
from levante_core.domain.names import DeploymentName
from levante_core.domain.plan import AttemptEnded, OpenWork
from levante_core.domain.tasks import Fact
from levante_core.errors import InconsistentHistory
from levante_core.ports.item_store import AFTER_ALL, Item, ItemStore
from levante_core.records import keys
from levante_core.records.runs import attempt_of, batch_of, fact_of, recorded_of


@dataclass(frozen=True, slots=True)
class History:
    """Batches in order, facts by key, taken or not, and when each of them was recorded."""

    batches: tuple[HistoryBatch, ...]
    recorded_at: tuple[datetime, ...]
    facts: tuple[Fact, ...]
    facts_recorded_at: tuple[datetime, ...]


def read_history(store: ItemStore, run: RunKey, *, after_index: int = 0, open_from: int = 0) -> History:
    """Read the batches after an index, and the facts about commands from a seq on.

    Raises: InconsistentHistory if a batch is missing. Cost: two queries, or more for large histories.
    """
    partition = keys.history(run.workspace, run.run_id)
    batch_items = list(read_all(store, partition, keys.batch(run, after_index + 1).sort, keys.prefixed(keys.BATCH)[1]))
    facts_from = keys.fact(run, keys.outcome_fact(open_from)).sort
    fact_items = list(read_all(store, partition, facts_from, keys.prefixed(keys.FACT)[1]))
    batches = [batch_of(item) for item in batch_items]
    for expected, batch in enumerate(batches, after_index + 1):
        if batch.index != expected:
            raise InconsistentHistory(f"run {run.run_id} has batch {batch.index} where batch {expected} should be")
    return History(
        batches=tuple(batches),
        recorded_at=_times(batch_items),
        facts=tuple(fact_of(item) for item in fact_items),
        facts_recorded_at=_times(fact_items),
    )


def _times(items: list[Item]) -> tuple[datetime, ...]:
    return tuple(recorded_of(item).at for item in items)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """The open work of a run, and when something was last recorded of it; None if nothing was."""

    work: OpenWork
    last_recorded_at: datetime | None


def read_open_run(store: ItemStore, run: RunKey, deployment: DeploymentName) -> OpenRun:
    """Read what an open run waits for. Raises: InconsistentHistory. Cost: three queries, or more for large histories."""
    history = read_history(store, run)
    state = fold(history.batches, {fact.key: fact.outcome for fact in history.facts})
    untaken = [fact for fact in history.facts if fact.key not in state.taken]
    partition = keys.history(run.workspace, run.run_id)
    later = [attempt_of(item) for item in read_all(store, partition, *keys.prefixed(keys.ATTEMPT))]
    retries = {retry.seq: retry for retry in [*_handed_over(history, run, deployment), *later]}
    last = max([*history.recorded_at, *history.facts_recorded_at, *(retry.recorded_at for retry in later)], default=None)
    return OpenRun(OpenWork(state, untaken, retries), last)


def _handed_over(history: History, run: RunKey, deployment: DeploymentName) -> Iterator[AttemptEnded]:
    """Yield the attempts that follow what an owner gave up. An attempt item, if there is one, is of a later attempt."""
    for batch, recorded_at in zip(history.batches, history.recorded_at, strict=True):
        for event in batch.events:
            if isinstance(event, ActivityHandedOver):
                yield AttemptEnded(
                    run=run,
                    deployment_name=deployment,
                    recorded_at=recorded_at,
                    due_at=recorded_at + timedelta(seconds=event.delay_seconds),
                    seq=event.activity,
                    scheduled_in=event.scheduled_in,
                    attempt=event.attempt,
                )


def read_all(store: ItemStore, partition: str, first: str = "", last: str = AFTER_ALL) -> Iterator[Item]:
    """Read all items of a partition between two sort keys, page by page."""
    after: str | None = None
    while True:
        page = store.query(partition, first=first, last=last, after=after)
        yield from page.items
        after = page.next
        if after is None:
            return
