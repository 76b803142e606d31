"""Histories as they are shown: one flat list of events, whole."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.history.events import FactTaken, HistoryEvent, Input, MessagesTaken
from levante_core.domain.history.run_messages import RunMessage, message_key
from levante_core.domain.history.state import fact_in, messages_in
from levante_core.domain.names import Workspace
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.services.executions.lookup import find_execution, find_run
from levante_core.services.history.loading import History, given_by_hand, last_batch, read_all
from levante_core.storage import keys
from levante_core.storage.attempts import task_failure_of
from levante_core.storage.decoding import missing_batch
from levante_core.storage.runs import batch_of, fact_of, recorded_of

BATCHES_AT_ONCE = 10
"""So much of a history is in memory while it is shown; each may be of 2 MB."""


@dataclass(frozen=True, slots=True)
class ShownHistory:
    """A history to show. head: all but its events, which are read when they are asked for, a piece at a time."""

    head: Mapping[str, Json]
    _execution: Execution
    _store: ItemStore

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events, numbered, facts in the places where they were taken.

        `taken_until` is the same number for all messages that were taken at once; `by_hand` says of an outcome who has given
        it by hand. Raises: InconsistentHistory.
        """
        return events_after(self._store, self._execution)

    def whole(self) -> dict[str, Json]:
        """Return all of it as JSON."""
        return {**self.head, "events": list(self.events())}


class HistoryService:
    """The histories of all executions."""

    def __init__(self, store: ItemStore) -> None:
        self._store = store

    def find(self, workspace: Workspace, execution_id: str) -> Execution:
        """Return an execution with its latest run. Raises: NotFound."""
        return find_execution(self._store, workspace, execution_id)

    def find_run(self, workspace: Workspace, run_id: str) -> Execution:
        """Return an execution as one of its runs stands. Raises: NotFound."""
        return find_run(self._store, workspace, run_id)

    def show(self, workspace: Workspace, execution_id: str) -> ShownHistory:
        """Read the latest run's history. Raises: NotFound."""
        return self.of(self.find(workspace, execution_id))

    def show_run(self, workspace: Workspace, run_id: str) -> ShownHistory:
        """Read the history of one run. Raises: NotFound."""
        return self.of(self.find_run(workspace, run_id))

    def of(self, execution: Execution) -> ShownHistory:
        """Read a history. `workflow_task_failure` says why the run cannot be advanced at present, if it cannot."""
        last = last_batch(self._store, execution.key)
        advanced_at = recorded_of(last).at if last else execution.start.started_at
        head: Mapping[str, Json] = {
            "execution_id": execution.key.execution_id,
            "run_id": execution.key.run_id,
            "status": execution.status.value,
            "workflow_task_failure": self._task_failure(execution, advanced_at),
            "next_after": None,
        }
        return ShownHistory(head, execution, self._store)

    def _task_failure(self, execution: Execution, advanced_at: datetime) -> Json:
        """Return why the run cannot be advanced; what failed before it was last advanced no longer counts."""
        item = self._store.get(keys.task_failure(execution.key)) if execution.is_open else None
        if item is None:
            return None
        attempt, recorded_at, failure = task_failure_of(item)
        if recorded_at < advanced_at:
            return None
        return {"attempt": attempt, "recorded_at": wire_time(recorded_at), "failure": failure.model_dump(mode="json")}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a history can be read from: event_id is that of the last event up to the end of the batch with this index.

    taken: number of the last message that was taken up to there. Histories are only added to, so it stays good for ever.
    """

    event_id: int = 0
    index: int = 0
    taken: int = 0


def events_after(
    store: ItemStore,
    execution: Execution,
    start: Checkpoint = Checkpoint(),
    note: Callable[[Checkpoint], None] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Yield the events of a run from a checkpoint on, as they are shown. note: takes each further checkpoint."""
    event_id, taken = start.event_id, start.taken
    if event_id == 0:
        begun = execution.start
        event_id, recorded_at = 1, wire_time(begun.started_at)
        began = {"kind": "execution_started", **begun.model_dump(mode="json"), "recorded_at": recorded_at}
        yield {**began, "event_id": event_id}
    for piece in _pieces(store, execution.key, start):
        for entry in _entries([piece], taken):
            event_id += 1
            yield {**_written(entry), "event_id": event_id}
        events = (event for batch in piece.batches for event in batch.events)
        taken = max((event.until for event in events if isinstance(event, MessagesTaken)), default=taken)
        if piece.batches:
            note(Checkpoint(event_id, piece.batches[-1].index, taken))


def shown(history: History) -> Iterator[tuple[HistoryEvent | RunMessage, datetime]]:
    """Yield the events, facts in the places where they were taken, and when each was recorded there."""
    return ((entry.event, entry.recorded_at) for entry in _entries([history]))


@dataclass(frozen=True, slots=True)
class _Entry:
    """An event in its place. taken_until: of messages, the number up to which they were taken at once."""

    event: HistoryEvent | RunMessage
    recorded_at: datetime
    taken_until: int | None
    by_hand: ByHand | None


def _written(entry: _Entry) -> dict[str, Any]:
    together = {"taken_until": entry.taken_until} if entry.taken_until else {}
    by_hand = {"by_hand": entry.by_hand.model_dump(mode="json")} if entry.by_hand else {}
    return {**entry.event.model_dump(mode="json"), **together, **by_hand, "recorded_at": wire_time(entry.recorded_at)}


def _entries(pieces: Iterable[History], taken: int = 0) -> Iterator[_Entry]:
    for piece in pieces:
        facts = {fact.key: fact.input for fact in piece.facts}
        for batch, recorded_at in zip(piece.batches, piece.recorded_at, strict=True):
            for event in batch.events:
                until = event.until if isinstance(event, MessagesTaken) else None
                by_hand = piece.by_hand.get(event.fact) if isinstance(event, FactTaken) else None
                for entry in _resolved(event, facts, taken):
                    yield _Entry(entry, recorded_at, until, by_hand)
                taken = until or taken


def _pieces(store: ItemStore, run: RunKey, start: Checkpoint) -> Iterator[History]:
    """Read a history in pieces of BATCHES_AT_ONCE, each with the facts that it takes. Raises: InconsistentHistory."""
    index, taken = start.index, start.taken
    while True:
        first, last = keys.batch(run, index + 1), keys.prefixed(keys.BATCH)[1]
        page = store.query(Query(first.partition, first=first.sort, last=last, limit=BATCHES_AT_ONCE))
        batches = tuple(map(batch_of, page.items))
        for expected, batch in enumerate(batches, index + 1):
            if batch.index != expected:
                raise missing_batch(run, expected, batch.index)
        events = [event for batch in batches for event in batch.events]
        outcomes = {event.fact for event in events if isinstance(event, FactTaken)}
        until = max((event.until for event in events if isinstance(event, MessagesTaken)), default=taken)
        taken_facts = list(_outcomes(store, run, outcomes))
        facts = (*map(fact_of, taken_facts), *_messages(store, run, taken, until))
        taken = until
        yield History(batches, tuple(recorded_of(item).at for item in page.items), facts, (), given_by_hand(taken_facts))
        index += len(batches)
        if page.next is None:
            return


def _outcomes(store: ItemStore, run: RunKey, names: Collection[str]) -> Iterator[Item]:
    """Read these facts; those that lie between them are left out."""
    if names:
        first, last = keys.fact(run, min(names)), keys.fact(run, max(names))
        for item in read_all(store, Query(first.partition, first=first.sort, last=last.sort, limit=BATCHES_AT_ONCE)):
            if item.key.sort.removeprefix(keys.FACT) in names:
                yield item


def _messages(store: ItemStore, run: RunKey, after: int, until: int) -> Iterator[Fact]:
    """Read the messages that follow a number, up to another."""
    if after < until:
        first, last = keys.fact(run, message_key(after + 1)), keys.fact(run, message_key(until))
        yield from map(
            fact_of, read_all(store, Query(first.partition, first=first.sort, last=last.sort, limit=BATCHES_AT_ONCE))
        )


def _resolved(event: HistoryEvent, facts: dict[str, Input], mail_taken: int) -> Sequence[HistoryEvent | RunMessage]:
    """Return what an event stands for: facts in the places where they were taken."""
    match event:
        case FactTaken():
            return [fact_in(facts, event.fact)]
        case MessagesTaken():
            return messages_in(facts, mail_taken, event.until)
        case _:
            return [event]
