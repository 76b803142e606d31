"""Reading a run's history from the item store."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import islice

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.dispatch.plan import AttemptEnded, OpenWork
from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.run_messages import message_key
from levante_core.domain.history.state import HistoryBatch, fold
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.protocol.workers import LoadRequest, QueryRequest
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of, by_hand_of, is_by_hand
from levante_core.storage.decoding import missing_batch
from levante_core.storage.large_documents import document_bytes
from levante_core.storage.queries import query_of
from levante_core.storage.runs import batch_of, fact_of, recorded_of

PAGE_BYTES = 3 * 1024 * 1024
"""Documents in one part of a history, or a single larger one: an answer of a Lambda function holds 6 MB, quotes escaped.

Source: Lambda quotas (read 2026-11-23).
"""
COUNTED_AT_ONCE = 500
PAGE_ITEMS = 100
"""Items asked for at a time, as each may have a document of 2 MB elsewhere."""


@dataclass(frozen=True, slots=True)
class History:
    """Batches in order, facts by key, taken or not, and when each of them was recorded.

    by_hand: who has given facts by hand, by the key of the fact.
    """

    batches: tuple[HistoryBatch, ...]
    recorded_at: tuple[datetime, ...]
    facts: tuple[Fact, ...]
    facts_recorded_at: tuple[datetime, ...]
    by_hand: Mapping[str, ByHand] = field(default_factory=dict)


def read_history(store: ItemStore, run: RunKey, *, after_index: int = 0, open_from: int = 0) -> History:
    """Read the batches after an index, and the facts about commands from a seq on.

    Raises: InconsistentHistory if a batch is missing. Cost: two queries, or more for large histories.
    """
    partition = keys.history(run.workspace, run.run_id)
    batch_items = list(
        read_all(store, Query(partition, first=keys.batch(run, after_index + 1).sort, last=keys.prefixed(keys.BATCH)[1]))
    )
    facts_from = keys.fact(run, keys.outcome_fact(open_from)).sort
    fact_items = list(read_all(store, Query(partition, first=facts_from, last=keys.prefixed(keys.FACT)[1])))
    batches = [batch_of(item) for item in batch_items]
    for expected, batch in enumerate(batches, after_index + 1):
        if batch.index != expected:
            raise missing_batch(run, expected, batch.index)
    return History(
        batches=tuple(batches),
        recorded_at=_times(batch_items),
        facts=tuple(fact_of(item) for item in fact_items),
        facts_recorded_at=_times(fact_items),
        by_hand=given_by_hand(fact_items),
    )


def given_by_hand(facts: Iterable[Item]) -> dict[str, ByHand]:
    """Return who has given facts by hand, by the key of the fact."""
    given = ((fact_of(item).key, by_hand_of(item)) for item in facts if is_by_hand(item))
    return {key: by_hand for key, by_hand in given if by_hand}


@dataclass(frozen=True, slots=True)
class Position:
    """Where a part of a history ends. sort: key of its last item. last_index: of its last batch, or of those before it."""

    sort: str
    last_index: int


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """A part of a history, and queries. last_index: of the last batch up to here.

    next: where the following part begins; None means that this was the last one.
    """

    batches: tuple[HistoryBatch, ...]
    facts: tuple[Fact, ...]
    queries: tuple[QueryRequest, ...]
    last_index: int
    next: Position | None


def read_page(store: ItemStore, run: RunKey, request: LoadRequest, after: Position | None) -> HistoryPage:
    """Read what a worker asks for in parts of PAGE_BYTES: batches first, then facts, then the queries that wait.

    after: the `next` of the part before. Raises: InconsistentHistory if a batch is missing.
    """
    batches: list[HistoryBatch] = []
    facts: list[Fact] = []
    queries: list[QueryRequest] = []
    size, place = 0, after or Position("", request.after_index)
    for item in _items(store, run, request, after):
        size += document_bytes(item)
        if size > PAGE_BYTES and (batches or facts or queries):
            return HistoryPage(tuple(batches), tuple(facts), tuple(queries), place.last_index, place)
        place = Position(item.key.sort, place.last_index)
        if place.sort.startswith(keys.FACT):
            facts.append(fact_of(item))
        elif place.sort.startswith(keys.QUERY):
            queries.append(query_of(item))
        else:
            batch, expected = batch_of(item), place.last_index + 1
            if batch.index != expected:
                raise missing_batch(run, expected, batch.index)
            place = Position(item.key.sort, expected)
            batches.append(batch)
    return HistoryPage(tuple(batches), tuple(facts), tuple(queries), place.last_index, None)


def _items(store: ItemStore, run: RunKey, request: LoadRequest, position: Position | None) -> Iterator[Item]:
    """Read batches, then facts and queries, each in order, from where a part ended."""
    partition = keys.history(run.workspace, run.run_id)
    outcomes = keys.fact(run, keys.outcome_fact(request.open_from)).sort
    first_message = keys.fact(run, message_key(request.mail_from)).sort
    end = keys.prefixed(keys.QUERY)[1]
    ranges = [(keys.batch(run, request.after_index + 1).sort, keys.prefixed(keys.BATCH)[1])]
    ranges += [(outcomes, end)] if request.mail_from == 1 else [(outcomes, keys.outcomes_end()), (first_message, end)]
    after = position.sort if position else ""
    while after and ranges and not _is_within(after, ranges[0]):
        del ranges[0]
    for first, last in ranges:
        yield from read_all(
            store, Query(partition, first=max(first, after + "\0") if after else first, last=last, limit=PAGE_ITEMS)
        )
        after = ""


def _is_within(sort: str, bounds: tuple[str, str]) -> bool:
    return bounds[0] <= sort <= bounds[1]


def last_batch(store: ItemStore, run: RunKey) -> Item | None:
    """Return the item of the last batch, if there is one. Cost: one query."""
    first, last = keys.prefixed(keys.BATCH)
    page = store.query(Query(keys.history(run.workspace, run.run_id), first=first, last=last, limit=1, descending=True))
    return next(iter(page.items), None)


def last_index(store: ItemStore, run: RunKey) -> int:
    """Return the index of the last batch; 0 if there is none. Cost: one query."""
    item = last_batch(store, run)
    return int(item.key.sort.removeprefix(keys.BATCH)) if item else 0


def _times(items: list[Item]) -> tuple[datetime, ...]:
    return tuple(recorded_of(item).at for item in items)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """The open work of a run, and when something was last recorded of it; None if nothing was."""

    work: OpenWork
    last_recorded_at: datetime | None


def read_open_run(store: ItemStore, run: RunKey, pool: WorkerPool) -> OpenRun:
    """Read what an open run waits for. Raises: InconsistentHistory. Cost: three queries, or more for large histories."""
    history = read_history(store, run)
    partition = keys.history(run.workspace, run.run_id)
    first, last = keys.prefixed(keys.ATTEMPT)
    later = [attempt_of(item) for item in read_all(store, Query(partition, first=first, last=last))]
    last_at = max([*history.recorded_at, *history.facts_recorded_at, *(retry.recorded_at for retry in later)], default=None)
    return OpenRun(open_work(history, later, run, pool), last_at)


def open_work(history: History, later: Iterable[AttemptEnded], run: RunKey, pool: WorkerPool) -> OpenWork:
    """Return what a run waits for. later: what its attempt items say. Raises: InconsistentHistory."""
    state = fold(history.batches, {fact.key: fact.input for fact in history.facts})
    untaken = [fact for fact in history.facts if fact.key not in state.taken]
    return OpenWork(state, untaken, {retry.seq: retry for retry in [*_handed_over(history, run, pool), *later]})


def failed_in_place(history: History) -> Iterator[FailedAttempt]:
    """Yield how attempts in place ended that the queue follows; what was stopped on purpose has not failed."""
    for batch, at in zip(history.batches, history.recorded_at, strict=True):
        for event in batch.events:
            if isinstance(event, ActivityHandedOver) and (failed := failed_before(event, at)):
                yield failed


def failed_before(event: ActivityHandedOver, at: datetime) -> FailedAttempt | None:
    """Return the attempt in place whose failure led to this; None if it was stopped on purpose, and does not count.

    at: when this was recorded.
    """
    if event.failure is None or event.attempt == 1:
        return None
    return FailedAttempt(seq=event.activity, attempt=event.attempt - 1, at=at, failure=event.failure)


def _handed_over(history: History, run: RunKey, pool: WorkerPool) -> Iterator[AttemptEnded]:
    """Yield the attempts that follow what an owner gave up. An attempt item, if there is one, is of a later attempt."""
    for batch, recorded_at in zip(history.batches, history.recorded_at, strict=True):
        for event in batch.events:
            if isinstance(event, ActivityHandedOver):
                yield AttemptEnded(
                    run=run,
                    pool=pool,
                    recorded_at=recorded_at,
                    due_at=recorded_at + timedelta(seconds=event.delay_seconds),
                    seq=event.activity,
                    scheduled_in=event.scheduled_in,
                    attempt=event.attempt,
                )


def read_all(store: ItemStore, query: Query) -> Iterator[Item]:
    """Read all items of a query, page by page of at most its limit."""
    while True:
        page = store.query(query)
        yield from page.items
        if page.next is None:
            return
        query = replace(query, after=page.next)


def count_index(store: ItemStore, index: str, partition: str, most: int) -> int:
    """Count the items of an index partition, but no more than `most`."""
    return sum(1 for _ in islice(read_all(store, Query(partition, index=index, limit=COUNTED_AT_ONCE)), most))
