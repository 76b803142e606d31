"""Events of custom tasks that are in no history: added to the streams as they are published."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from levante_core.domain.executions.execution import Execution
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.domain.streams.custom_tasks import TaskPhase
from levante_core.domain.streams.events import PublishedTask, StreamUpdate, update_of_activity
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Absent, Item, ItemStore, Put, Query
from levante_core.protocol.activities import Publication
from levante_core.services.access.capabilities import AttemptGrant
from levante_core.services.conflicts import Conflicts
from levante_core.services.executions.lookup import execution_if_any
from levante_core.services.history.loading import read_all
from levante_core.services.streams.publish import WRITE_BYTES, StreamService
from levante_core.storage import keys, streams
from levante_core.storage.streams import Publisher

FEW = 20
"""Among so many of the last items, a publisher's first call is looked for when it comes again."""


@dataclass(frozen=True, slots=True)
class GrantedPublication:
    """What an activity publishes, and the attempt that publishes it."""

    grant: AttemptGrant
    publication: Publication


@dataclass(slots=True)
class _Adding:
    """A publication on its way into a stream. last: how far the stream has come with it, once it is there.

    is_surprised: whether the stream did not end where its publisher knew it to.
    """

    publication: Publication
    seq: int
    execution: Execution
    last: int | None = None
    is_surprised: bool = False

    @property
    def publisher(self) -> Publisher:
        """Who sends it, and the number of its last event."""
        return Publisher(self.publication.publisher, self.publication.events[-1].number)

    @property
    def starts_a_task(self) -> bool:
        """Whether a task begins with it."""
        return any(entry.event.phase is TaskPhase.STARTED for entry in self.publication.events)

    def fresh(self, seen: Sequence[Item]) -> list[StreamUpdate]:
        """Return the events that are not in the stream yet. seen: the end of it."""
        publishers = filter(None, map(streams.publisher_of, seen))
        known = max((entry.until for entry in publishers if entry.name == self.publication.publisher), default=0)
        publication, name = self.publication, self.publication.publisher
        return [
            update_of_activity(
                self.execution, PublishedTask(name, self.seq, publication.activity_name, entry.number, entry.at, entry.event)
            )
            for entry in publication.events
            if entry.number > known
        ]


class TaskEventService:
    """Adds to streams what activities publish."""

    def __init__(self, store: ItemStore, all_streams: StreamService, conflicts: Conflicts) -> None:
        self._store = store
        self._conflicts = conflicts
        self._streams = all_streams

    def append(self, workspace: Workspace, publications: Sequence[GrantedPublication]) -> list[int | None]:
        """Add what different publishers send, the events of each in order, after what led to them.

        Returns for each how far its stream has come; None when its run is not the latest, and nobody sees them. With
        `after`, a repeat is recognised however late it comes. Raises: Unavailable.
        Cost: a read for each, a write for each stream, a query where that has gone on since `after`, and those of `publish`
        where a task starts.
        """
        adding = [self._begun(addition) for addition in publications]
        for root in {addition.execution.root_execution_id for addition in adding if addition and addition.starts_a_task}:
            self._streams.publish(workspace, root)
        for _ in self._conflicts.attempts():
            is_advancing = True
            while is_advancing:
                waiting = [addition for addition in adding if addition and addition.last is None]
                if not waiting:
                    return [addition.last if addition else None for addition in adding]
                self._add(workspace, waiting)
                is_advancing = any(addition.last is not None for addition in waiting)
        raise Unavailable("events come too fast to be published: try again")

    def _begun(self, granted: GrantedPublication) -> _Adding | None:
        run = granted.grant.run
        execution = execution_if_any(self._store, run.workspace, run.execution_id)
        is_current = execution is not None and execution.key == run
        return _Adding(granted.publication, granted.grant.seq, execution) if execution and is_current else None

    def _add(self, workspace: Workspace, waiting: Sequence[_Adding]) -> None:
        """Try once to put publications at the next places of their streams; those of one stream all together."""
        roots = dict.fromkeys(addition.execution.root_execution_id for addition in waiting)
        groups = [
            list(
                self._placed(
                    workspace, root, [addition for addition in waiting if addition.execution.root_execution_id == root]
                )
            )
            for root in roots
        ]
        written = [group for group in groups if group]
        refusals = self._store.write_each([[put for _, put in group] for group in written])
        for group, refused in zip(written, refusals, strict=True):
            end = streams.after(group[-1][1].item) - 1
            for addition, _ in group:
                addition.last = end if refused is None else None
                addition.is_surprised = refused is not None

    def _placed(self, workspace: Workspace, root: ExecutionId, waiting: Sequence[_Adding]) -> Iterator[tuple[_Adding, Put]]:
        """Yield the writes of as many publications as one transaction takes; those that are there need none.

        Where all of them know the same end, that is tried first: if it is free, none of them can be behind it already.
        """
        afters = [addition.publication.after for addition in waiting]
        is_known = len(set(afters)) == 1 and not any(addition.is_surprised for addition in waiting)
        seen = [] if is_known and afters[0] else self._end(workspace, root, afters)
        place = streams.after(seen[-1]) if seen else 1 + min(after or 0 for after in afters)
        room = WRITE_BYTES
        for addition in waiting:
            fresh = addition.fresh(seen)
            if not fresh:
                addition.last = place - 1
            elif room > 0:
                put = Put(streams.events_item(workspace, root, place, fresh, addition.publisher), Absent())
                yield addition, put
                place += len(fresh)
                room -= streams.size_bytes(put.item)

    def _end(self, workspace: Workspace, root: ExecutionId, afters: Sequence[int | None]) -> list[Item]:
        """Return the items that follow all of these sequence numbers; the last few, too, where one is not known."""
        first, last = keys.prefixed(keys.STREAM_EVENTS)
        partition = keys.stream(workspace, root)
        known = [keys.stream_events(workspace, root, after + 1).sort for after in afters if after is not None]
        few: list[Item] = []
        if len(known) < len(afters):
            page = self._store.query(Query(partition, first=first, last=last, limit=FEW, descending=True))
            few = [*reversed(page.items)]
            known = [sort for sort in known if not few or sort < few[0].key.sort]
        return list(read_all(self._store, Query(partition, first=min(known), last=last))) if known else few
