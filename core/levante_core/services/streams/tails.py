"""Reading a stream as it grows."""

import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

from levante_core.domain.names import ExecutionId, Workspace
from levante_core.ports.surroundings import ChangeWatch, Clock
from levante_core.services.streams.publish import Sequenced, StreamService
from levante_core.services.streams.shared_tail import StreamEnd
from levante_core.storage.streams import StreamHead

LEADERLESS_SECONDS = 1.0
"""After so long, a reader that waits for another one to publish looks whether that one is still there."""


@dataclass(frozen=True, slots=True)
class TailUpdate:
    """What is new. is_over: the execution has ended, and this is the last that there is to read of it."""

    events: tuple[Sequenced, ...]
    is_over: bool


NOTHING = TailUpdate((), is_over=False)


class TailService:
    """Gives readers the end of a stream. Of the readers of a stream in this process, one at a time publishes for all."""

    def __init__(self, streams: StreamService, clock: Clock, watch: ChangeWatch) -> None:
        self._streams = streams
        self._clock = clock
        self._watch = watch
        self._joining = threading.Lock()
        self._led: set[tuple[Workspace, ExecutionId]] = set()
        self._ends: dict[tuple[Workspace, ExecutionId], StreamEnd] = {}

    def open(self, workspace: Workspace, execution_id: str, first: int) -> "Tail":
        """Begin to read the stream that an execution belongs to, at a sequence number. Raises: NotFound. Cost: one read."""
        root = self._streams.root_of(workspace, execution_id)
        return Tail(self, workspace, root, ExecutionId(execution_id), max(first, 1))

    def join(self, workspace: Workspace, root: ExecutionId) -> StreamEnd:
        """Return the end of a stream, which its readers share until the last of them has left."""
        with self._joining:
            end = self._ends.get((workspace, root))
            if end is None:
                end = self._ends[workspace, root] = StreamEnd(self._streams, self._watch, workspace, root)
            end.readers += 1
            return end

    def leave(self, end: StreamEnd) -> None:
        """Let one reader go."""
        with self._joining:
            end.readers -= 1
            if not end.readers:
                del self._ends[end.workspace, end.root]
                end.close()

    def wait(self, tail: "Tail", seconds: float) -> TailUpdate:
        """Return what is new for a reader, waiting for it as long as that takes; nothing when the time is over.

        Raises: Unavailable. Cost: that of `StreamEnd.publish` and of reading, for every look; see ChangeWatch.
        """
        deadline = self._clock.now() + timedelta(seconds=seconds)
        stream = (tail.workspace, tail.root)
        if stream in self._led:
            return self._follow(tail, tail.end, deadline)
        self._led.add(stream)
        try:
            return self._lead(tail, tail.end, deadline)
        finally:
            self._led.discard(stream)

    def _lead(self, tail: "Tail", end: StreamEnd, deadline: datetime) -> TailUpdate:
        """Publish, and read; again whenever something may have been recorded."""
        while True:
            partitions = end.recorded_in
            with self._watch.watch(end.partition, *partitions) as watched:
                while True:
                    head = end.publish()
                    update, seconds = _next_update(tail, end, head), self._left(deadline)
                    if update is not None or seconds <= 0:
                        return update or NOTHING
                    if end.recorded_in != partitions:
                        break  # this is not watched yet
                    watched.wait(seconds)

    def _follow(self, tail: "Tail", end: StreamEnd, deadline: datetime) -> TailUpdate:
        """Read what another reader publishes; whether that was all, nobody is trusted to have said in time."""
        with self._watch.watch(end.partition) as watched:
            while True:
                update, seconds = _next_update(tail, end, end.head()), self._left(deadline)
                if update is not None and update.is_over:
                    more = _next_update(tail, end, end.publish()) or NOTHING
                    return TailUpdate((*update.events, *more.events), more.is_over)
                if update is not None or seconds <= 0 or (tail.workspace, tail.root) not in self._led:
                    return update or NOTHING
                watched.wait(min(seconds, LEADERLESS_SECONDS))

    def _left(self, deadline: datetime) -> float:
        return (deadline - self._clock.now()).total_seconds()


class Tail:
    """A reader's place in a stream; close it in the end. next: the sequence number of the event it is to be given next."""

    def __init__(
        self, tails: TailService, workspace: Workspace, root: ExecutionId, execution_id: ExecutionId, first: int
    ) -> None:
        self.workspace = workspace
        self.root = root
        self.execution_id = execution_id
        self.next = first
        self._tails = tails
        self._end: StreamEnd | None = None

    @property
    def end(self) -> StreamEnd:
        """The end of the stream, shared with its other readers."""
        if self._end is None:
            self._end = self._tails.join(self.workspace, self.root)
        return self._end

    def wait(self, seconds: float) -> TailUpdate:
        """See TailService."""
        return self._tails.wait(self, seconds)

    def close(self) -> None:
        """Leave the stream. A repeat is harmless."""
        end, self._end = self._end, None
        if end is not None:
            self._tails.leave(end)


def _next_update(tail: Tail, end: StreamEnd, head: StreamHead) -> TailUpdate | None:
    """Give a reader what follows, and say whether that was all; None if it is neither."""
    following = end.read(tail.next)
    if following.events:
        tail.next = following.events[-1].sequence + 1
    over = following.is_all and head.has_published_all_of(tail.execution_id)
    return TailUpdate(tuple(following.events), over) if following.events or over else None
