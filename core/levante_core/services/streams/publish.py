"""Streams of events: made of what is recorded when somebody asks for them, and kept from then on.

Histories are the source; a stream is what was projected of them, in one sequence for an execution without parent and
all below it. Nobody pays for events that nobody reads (docs/decisions/0015).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from pydantic_core import to_json

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.events import FactTaken
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.domain.streams.events import StreamUpdate
from levante_core.domain.streams.projection import StreamCursor, StreamProjection, in_order
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Matches, Put, Query
from levante_core.services.conflicts import Conflicts
from levante_core.services.executions.lookup import find_summary, summary_if_any
from levante_core.services.history.loading import read_all
from levante_core.storage import keys, streams
from levante_core.storage.attempts import failed_attempts, task_failure_of
from levante_core.storage.large_documents import document_bytes
from levante_core.storage.runs import (
    batch_of,
    execution_of,
    fact_of,
    recorded_of,
    run_id_of,
    summary_of,
)
from levante_core.storage.streams import StreamHead

BATCHES_AT_ONCE = 100
WRITE_BYTES = 1024 * 1024
"""So much is published in one write, but for one batch: a transaction takes 4 MB (DynamoDB quotas, 2026-11-23)."""
ITEM_BYTES = 48 * 1024
"""Events of one item, unless a single one is larger: below what is kept as a payload."""
SHARES = 30
"""Of more than SHARES items, each gets such a share of the whole instead, and so may become a payload: at most twice as many
are made, and one, which a transaction takes even if each of them is just not a payload."""
ITEMS_AT_ONCE = 50
"""Items asked for at a time: most have few events, and some a payload elsewhere."""
MOST_WRITES = 10
"""With which one listing of events adds to the stream; the next page goes on."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Sequenced:
    """An event and its place in the stream, from 1 on. size_bytes: its share of the item that it is kept in."""

    sequence: int
    update: StreamUpdate
    size_bytes: int

    def __hash__(self) -> int:
        return hash((self.sequence, self.update.event.event_id))


class StreamService:
    """The streams of all executions."""

    def __init__(self, store: ItemStore, conflicts: Conflicts) -> None:
        self._store = store
        self._conflicts = conflicts

    def root_of(self, workspace: Workspace, execution_id: str) -> ExecutionId:
        """Return the execution whose stream has the events of this one. Raises: NotFound. Cost: one read."""
        return find_summary(self._store, workspace, execution_id).root_execution_id

    def publish(self, workspace: Workspace, root: ExecutionId) -> StreamHead:
        """Add to the stream what was recorded and is not in it yet. Several at once do no harm: one wins each place.

        Returns how far the stream has come. Raises: Unavailable. Cost: where nothing is new, a read for the stream and three
        for each open execution; else three more reads and a transaction for every BATCHES_AT_ONCE.
        """
        while True:
            head, is_new = self._publish_next(workspace, root)
            if not is_new:
                return head

    def publish_some(self, workspace: Workspace, root: ExecutionId) -> bool:
        """Add to the stream some of what was recorded. Returns whether that was all. Cost: MOST_WRITES times that of one."""
        return not all(self._publish_next(workspace, root)[1] for _ in range(MOST_WRITES + 1))

    def is_read(self, workspace: Workspace, root: ExecutionId) -> bool:
        """Whether anybody has ever asked for this stream. Cost: one read."""
        return self._store.get(keys.stream_head(workspace, root)) is not None

    def goes_on_below(self, workspace: Workspace, root: ExecutionId) -> bool:
        """Whether an execution below the root is open, as far as the stream follows them. Cost: a read for each."""
        below = self.head(workspace, root).following[1:]
        executions = (summary_if_any(self._store, workspace, cursor.execution_id) for cursor in below)
        return any(execution and execution.is_open for execution in executions)

    def read(self, workspace: Workspace, root: ExecutionId, first: int) -> Iterator[Sequenced]:
        """Read the stream from a sequence number on, as far as it has come.

        Cost: a query where an item begins with this number, else two or three; more for long streams.
        """
        partition = keys.stream(workspace, root)
        lowest, highest = keys.prefixed(keys.STREAM_EVENTS)
        start = keys.stream_events(workspace, root, first).sort
        following = read_all(self._store, Query(partition, first=start, last=highest, limit=ITEMS_AT_ONCE))
        item = next(following, None)
        if item is None or item.key.sort != start:
            page = self._store.query(Query(partition, first=lowest, last=start, limit=1, descending=True))
            inside = [events_item for events_item in page.items if streams.after(events_item) > first]
            if inside:  # what comes then is asked for again, as more may have come meanwhile
                item = inside[0]
                following = read_all(
                    self._store, Query(partition, first=item.key.sort + "\0", last=highest, limit=ITEMS_AT_ONCE)
                )
        for events_item in chain([item] if item else [], following):
            share = streams.size_bytes(events_item) // (streams.after(events_item) - streams.first_of(events_item))
            for sequence, update in enumerate(streams.events_of(events_item), streams.first_of(events_item)):
                if sequence >= first:
                    yield Sequenced(sequence, update, share)

    def head(self, workspace: Workspace, root: ExecutionId) -> StreamHead:
        """Return how far the stream has come. Cost: one read."""
        item = self._store.get(keys.stream_head(workspace, root))
        return streams.head_of(item) if item else StreamHead(0, (StreamCursor(execution_id=root),))

    def _publish_next(self, workspace: Workspace, root: ExecutionId) -> tuple[StreamHead, bool]:
        """Add as much as one write takes. Returns how far the stream has come, and whether anything was added."""
        for _ in self._conflicts.attempts():
            head = self.head(workspace, root)
            projections = self._project_all(workspace, root, head)
            following = _next_cursors(projections)
            if following == list(head.following):
                return head, False
            next_head = StreamHead(head.version + 1, tuple(following))
            if self._append(workspace, root, in_order(projections), (head, next_head)):
                return next_head, True
        raise Unavailable(f"the events of execution {root!r} come too fast to be published: try again")

    def _append(
        self, workspace: Workspace, root: ExecutionId, updates: Sequence[StreamUpdate], moved: tuple[StreamHead, StreamHead]
    ) -> bool:
        """Write events at the next places, and how far they come. Returns whether no other publisher was first."""
        before, head = moved
        first = self.next(workspace, root)
        unchanged = Matches({"version": before.version}) if before.version else Absent()
        writes = [Put(streams.head_item(workspace, root, head), unchanged)]
        for part in _parts(updates):
            writes.append(Put(streams.events_item(workspace, root, first, part), Absent()))
            first += len(part)
        try:
            self._store.write(*writes)
        except ConditionFailed:
            return False
        return True

    def next(self, workspace: Workspace, root: ExecutionId) -> int:
        """Return the sequence number of the event that will be added next. Cost: one query."""
        first, last = keys.prefixed(keys.STREAM_EVENTS)
        page = self._store.query(Query(keys.stream(workspace, root), first=first, last=last, limit=1, descending=True))
        return streams.after(page.items[0]) if page.items else 1

    # --- projecting ---------------------------------------------------------------------------------------------------

    def _project_all(self, workspace: Workspace, root: ExecutionId, head: StreamHead) -> list[StreamProjection]:
        """Project what is new of every execution that is followed, until that is enough for one write."""
        projections = [StreamProjection(root, cursor) for cursor in head.following]
        room = WRITE_BYTES
        for projection in projections:
            cursor = projection.cursor
            if cursor.run_id and not cursor.is_closed:
                room -= self._project_run(RunKey(workspace, cursor.execution_id, cursor.run_id), projection, room)
            if projection.cursor.run_id is None or projection.cursor.is_closed:
                self._project_next_run(workspace, projection)
            if room <= 0:
                break
        return projections

    def _project_next_run(self, workspace: Workspace, projection: StreamProjection) -> None:
        """Begin with the run that follows, if there is one."""
        cursor = projection.cursor
        item = self._store.get(keys.execution(workspace, cursor.execution_id))
        if item is None and cursor.has_ended:
            projection.give_up()
        if item is None or run_id_of(item) == cursor.run_id:
            return
        if summary_of(item).parent_execution_id != cursor.parent_execution_id:
            return  # somebody else's execution, which had the id first
        partition = keys.execution(workspace, cursor.execution_id).partition
        first, last = keys.prefixed(keys.EARLIER_RUN)
        earlier = map(execution_of, read_all(self._store, Query(partition, first=first, last=last)))
        runs = [*sorted(earlier, key=lambda run: run.start.started_at), execution_of(item)]
        published = [position for position, run in enumerate(runs, 1) if run.key.run_id == cursor.run_id]
        following = runs[max(published, default=0)]
        projection.start(following.key.run_id, following.start)

    def _project_run(self, run: RunKey, projection: StreamProjection, room: int) -> int:
        """Project what is new of a run, as far as there is room. Returns how many bytes that took."""
        size = 0
        batches = self._batches(run, projection.cursor.index)
        failed = self._store.get(keys.task_failure(run))
        for item in batches:
            batch, at = batch_of(item), recorded_of(item).at
            if failed and recorded_of(failed).at < at:
                _project_task_failure(failed, projection)
            taken = self._facts(run, [event.fact for event in batch.events if isinstance(event, FactTaken)])
            if taken:
                self._project_retries(run, projection)
            projection.append(batch, at, {fact.key: fact.input for fact in map(fact_of, taken)})
            size += sum(map(document_bytes, (item, *taken)))
            if size >= room:
                return size
        if not projection.cursor.is_closed:
            self._project_retries(run, projection)
            if failed:
                _project_task_failure(failed, projection)
        return size

    def _batches(self, run: RunKey, index: int) -> Sequence[Item]:
        """Read the batches that follow an index, without a gap: a page of them."""
        first, last = keys.batch(run, index + 1), keys.prefixed(keys.BATCH)[1]
        page = self._store.query(Query(first.partition, first=first.sort, last=last, limit=BATCHES_AT_ONCE))
        expected = (keys.batch(run, number).sort for number in range(index + 1, index + 1 + len(page.items)))
        return [
            item for item, _ in takewhile(lambda pair: pair[0].key.sort == pair[1], zip(page.items, expected, strict=True))
        ]

    def _facts(self, run: RunKey, names: Sequence[str]) -> list[Item]:
        """Read some facts, and those that lie between them."""
        if not names:
            return []
        first, last = keys.fact(run, min(names)), keys.fact(run, max(names))
        return list(read_all(self._store, Query(first.partition, first=first.sort, last=last.sort)))

    def _project_retries(self, run: RunKey, projection: StreamProjection) -> None:
        """Project the failed attempts of open activities; those of others no longer matter."""
        unresolved = projection.cursor.open
        if unresolved:
            first, last = keys.attempt(run, min(unresolved)), keys.attempt(run, max(unresolved))
            for item in read_all(self._store, Query(first.partition, first=first.sort, last=last.sort)):
                for failed in failed_attempts(item):
                    projection.retry(failed.seq, failed.attempt, failed.at, failed.failure)


def _project_task_failure(item: Item, projection: StreamProjection) -> None:
    _, failed_at, failure = task_failure_of(item)
    projection.fail_task(failed_at, failure)


def _next_cursors(projections: Sequence[StreamProjection]) -> list[StreamCursor]:
    """Return what is to be followed from now on: the root; others while they are open; and who was asked for."""
    not_started = {(projection.cursor.execution_id, seq) for projection in projections for seq in projection.not_started}
    ended = {(projection.cursor.execution_id, seq) for projection in projections for seq in projection.ended}
    root, *others = [projection.cursor for projection in projections]
    children = [child for projection in projections for child in projection.children]
    return [
        root,
        *(
            cursor.model_copy(update={"has_ended": True})
            if (cursor.parent_execution_id, cursor.asked_by) in ended
            else cursor
            for cursor in [*others, *children]
            if not cursor.is_closed and (cursor.parent_execution_id, cursor.asked_by) not in not_started
        ),
    ]


def _parts(updates: Sequence[StreamUpdate]) -> Iterator[Sequence[StreamUpdate]]:
    """Cut events into parts that fit an item each, and together a transaction."""
    lengths = [len(to_json(update)) for update in updates]
    most = max(ITEM_BYTES, sum(lengths) // SHARES)
    part: list[StreamUpdate] = []
    size = 0
    for update, length in zip(updates, lengths, strict=True):
        if part and size + length > most:
            yield part
            part, size = [], 0
        part.append(update)
        size += length
    if part:
        yield part
