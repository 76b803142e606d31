"""Reading a stream as it grows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from levante_core.domain.names import ExecutionId, Workspace
from levante_core.ports.surroundings import ChangeWatch, Clock
from levante_core.records import keys
from levante_core.records.streams import StreamHead
from levante_core.services.streams import Sequenced, StreamService

EVENTS_AT_ONCE = 200
BYTES_AT_ONCE = 1024 * 1024
"""So much a reader is given at a time, or a single larger event; what it has not taken stays in the store."""
LEADERLESS_SECONDS = 1.0
"""After so long, a reader that waits for another one to publish looks whether that one is still there."""


@dataclass(frozen=True, slots=True)
class Tidings:
    """What is new. is_over: the execution has ended, and this is the last that there is to tell of it."""

    events: tuple[Sequenced, ...]
    is_over: bool


NOTHING = Tidings((), is_over=False)


class TailService:
    """Gives readers the end of a stream. Of the readers of a stream in this process, one at a time publishes for all."""

    def __init__(self, streams: StreamService, clock: Clock, watch: ChangeWatch) -> None:
        self._streams = streams
        self._clock = clock
        self._watch = watch
        self._led: set[tuple[Workspace, ExecutionId]] = set()

    def open(self, workspace: Workspace, execution_id: str, first: int) -> "Tail":
        """Begin to read the stream that an execution belongs to, at a sequence number. Raises: NotFound. Cost: one read."""
        root = self._streams.root_of(workspace, execution_id)
        return Tail(self, workspace, root, ExecutionId(execution_id), max(first, 1))

    def wait(self, tail: "Tail", seconds: float) -> Tidings:
        """Return what is new for a reader, waiting for it as long as that takes; nothing when the time is over.

        Raises: Unavailable. Cost: that of `StreamService.publish` and of reading, for every look; see ChangeWatch.
        """
        deadline = self._clock.now() + timedelta(seconds=seconds)
        stream = (tail.workspace, tail.root)
        if stream in self._led:
            return self._follow(tail, deadline)
        self._led.add(stream)
        try:
            return self._lead(tail, deadline)
        finally:
            self._led.discard(stream)

    def _lead(self, tail: "Tail", deadline: datetime) -> Tidings:
        """Publish, and read; again whenever something may have been recorded."""
        partitions: Sequence[str] = ()
        while True:
            with self._watch.watch(*partitions) as watched:
                while True:
                    head = self._streams.publish(tail.workspace, tail.root)
                    told, seconds = self._told(tail, head), self._left(deadline)
                    if told is not None or seconds <= 0:
                        return told or NOTHING
                    watching, partitions = partitions, _partitions(tail, head)
                    if partitions != watching:
                        break  # something may have been recorded before this is watched: look once more
                    watched.wait(seconds)

    def _follow(self, tail: "Tail", deadline: datetime) -> Tidings:
        """Read what another reader publishes; whether that was all, nobody is trusted to have told in time."""
        with self._watch.watch(keys.stream(tail.workspace, tail.root)) as watched:
            while True:
                head = self._streams.head(tail.workspace, tail.root)
                told, seconds = self._told(tail, head), self._left(deadline)
                if told is not None and told.is_over:
                    more = self._told(tail, self._streams.publish(tail.workspace, tail.root)) or NOTHING
                    return Tidings((*told.events, *more.events), more.is_over)
                if told is not None or seconds <= 0 or (tail.workspace, tail.root) not in self._led:
                    return told or NOTHING
                watched.wait(min(seconds, LEADERLESS_SECONDS))

    def _left(self, deadline: datetime) -> float:
        return (deadline - self._clock.now()).total_seconds()

    def _told(self, tail: "Tail", head: StreamHead) -> Tidings | None:
        found = self._streams.read(tail.workspace, tail.root, tail.next)
        events: list[Sequenced] = []
        room = BYTES_AT_ONCE
        for one in islice(found, EVENTS_AT_ONCE):
            events.append(one)
            room -= one.size_bytes
            if room <= 0:
                break
        if events:
            tail.next = events[-1].sequence + 1
        is_all = room > 0 and len(events) < EVENTS_AT_ONCE
        over = is_all and head.has_told_all_of(tail.execution_id)
        return Tidings(tuple(events), over) if events or over else None


class Tail:
    """A reader's place in a stream. next: the sequence number of the event that it is to be given next."""

    def __init__(
        self, tails: TailService, workspace: Workspace, root: ExecutionId, execution_id: ExecutionId, first: int
    ) -> None:
        self.workspace = workspace
        self.root = root
        self.execution_id = execution_id
        self.next = first
        self._tails = tails

    def wait(self, seconds: float) -> Tidings:
        """See TailService."""
        return self._tails.wait(self, seconds)


def _partitions(tail: Tail, head: StreamHead) -> Sequence[str]:
    """Name everything where something may be recorded that is to be told."""
    workspace = tail.workspace
    watched = [keys.stream(workspace, tail.root)]
    for followed in head.following:
        if followed.run_id is None or followed.is_closed:
            watched.append(keys.execution(workspace, followed.execution_id).partition)
        else:
            watched.append(keys.history(workspace, followed.run_id))
    return watched
