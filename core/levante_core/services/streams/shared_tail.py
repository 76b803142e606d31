"""The end of a stream as the readers in one process share it: read once, and published once, for all of them."""

import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from levante_core.domain.names import ExecutionId, Workspace
from levante_core.ports.surroundings import ChangeWatch, Watched
from levante_core.services.streams.publish import Sequenced, StreamService
from levante_core.storage import keys
from levante_core.storage.streams import StreamHead

EVENTS_AT_ONCE = 200
BYTES_AT_ONCE = 1024 * 1024
"""So much a reader is given at a time, or a single larger event, and so much is kept for all; the rest is in the store."""


@dataclass(frozen=True, slots=True)
class Events:
    """Events that follow a place. is_all: there are no more."""

    events: Sequence[Sequenced]
    is_all: bool


class StreamEnd:
    """How far a stream has come, and its last events. It knows what may have changed, and looks at nothing else.

    readers: how many share it. partition: where its events are. recorded_in: where what is to be published is recorded.
    """

    def __init__(self, streams: StreamService, watch: ChangeWatch, workspace: Workspace, root: ExecutionId) -> None:
        self.workspace = workspace
        self.root = root
        self.readers = 0
        self.partition = keys.stream(workspace, root)
        self.recorded_in: Sequence[str] = ()
        self._streams = streams
        self._watch = watch
        self._watching = ExitStack()
        self._recorded: Watched | None = None
        self._head: StreamHead | None = None
        self._is_stale = True
        self._publishing = threading.RLock()  # of threads; of calls on an event loop, TailService lets one publish
        self._reading = threading.Lock()  # held for reads alone, during which nothing else gets its turn on a loop
        self._growing: Watched = self._watching.enter_context(watch.watch(self.partition))
        self._watching_recorded = self._watching.enter_context(ExitStack())
        self._last: list[Sequenced] | None = None
        self._first = 0
        self._is_behind = False

    def close(self) -> None:
        """Watch nothing any more."""
        self._watching.close()

    def head(self) -> StreamHead:
        """Return how far the stream has come, as far as is known here. Cost: a read, until somebody has published."""
        return self._head or self._streams.head(self.workspace, self.root)

    def publish(self) -> StreamHead:
        """Publish what was recorded, if anything may have been. Raises: Unavailable. Cost: see StreamService.publish."""
        with self._publishing:
            head = self._head
            if head is None or self._is_stale or self._recorded is None or self._recorded.has_changed():
                self._is_stale = True  # until it is done, whatever happens
                head = self._streams.publish(self.workspace, self.root)
                while (partitions := _recorded_in(self.workspace, head)) != self.recorded_in:
                    self._watch_recorded(partitions)
                    head = self._streams.publish(self.workspace, self.root)
                self._head, self._is_stale = head, False
            return head

    def read(self, first: int) -> Events:
        """Return what follows a sequence number, or a part of it. Cost: none where nothing is new; else that of reading."""
        with self._reading:
            if self._last is None:
                events = self._read(first)
                self._remember(first, events)
                return events
            if self._growing.has_changed() or self._is_behind:
                self._grow(self._last)
            is_beyond = self._is_behind and first >= self._first + len(self._last)
            if first < self._first or is_beyond:
                return self._read(first)
            return _part(self._last[first - self._first :], is_all=not self._is_behind)

    def _remember(self, first: int, events: Events) -> None:
        """Keep what was read of the end, if it is the end."""
        after = first + len(events.events) if events.events else self._streams.next(self.workspace, self.root)
        if events.is_all and after <= first + len(events.events):
            self._last, self._first = list(events.events), after - len(events.events)

    def _grow(self, last: list[Sequenced]) -> None:
        """Add what has come, and drop what nobody at the end needs any more."""
        self._is_behind = True  # until it is done, whatever happens
        events = self._read(self._first + len(last))
        last += events.events
        kept = len(_part(reversed(last), is_all=True).events)
        self._first += len(last) - kept
        del last[: len(last) - kept]
        self._is_behind = not events.is_all

    def _read(self, first: int) -> Events:
        return _part(self._streams.read(self.workspace, self.root, first), is_all=True)

    def _watch_recorded(self, partitions: Sequence[str]) -> None:
        self._watching_recorded.close()
        self._recorded = self._watching_recorded.enter_context(self._watch.watch(*partitions))
        self.recorded_in = partitions


def _part(following: Iterable[Sequenced], *, is_all: bool) -> Events:
    """Take as many events as a reader is given at a time. is_all: whether these are all that there are."""
    events: list[Sequenced] = []
    room = BYTES_AT_ONCE
    for event in following:
        if room <= 0 or len(events) == EVENTS_AT_ONCE:
            return Events(events, is_all=False)
        events.append(event)
        room -= event.size_bytes
    return Events(events, is_all)


def _recorded_in(workspace: Workspace, head: StreamHead) -> Sequence[str]:
    """Name everything where something may be recorded that is to be published."""
    return [
        keys.execution(workspace, cursor.execution_id).partition
        if cursor.run_id is None or cursor.is_closed
        else keys.history(workspace, cursor.run_id)
        for cursor in head.following
    ]
