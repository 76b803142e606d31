"""Following a stream to its end, however often the connection breaks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from math import inf

from levante.cli.client import REQUEST_SECONDS
from levante.cli.executions.waiting import PATIENCE_SECONDS, SHORTEST_REQUEST_SECONDS, Surroundings
from levante.cli.exits import CommandFailed
from levante.cli.output.sse import Frame

RETRY_SECONDS = 1.0
"""How long a reader waits before it comes again, unless the stream says so."""
SLACK_SECONDS = 1.0
"""How much longer than the time that is left a stream may be silent before that is noticed."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is followed.

    read(last, seconds): the frames after the one with this id, giving up after so many seconds of silence.
    has_ended(seconds): whether nothing comes any more; asked before a stream is read.
    """

    read: Callable[[str | None, float], Generator[Frame, None, None]]
    has_ended: Callable[[float], bool]


class Follower:
    """Reads a source on and on, from after the last frame seen. timeout: seconds; None for as long as it takes."""

    def __init__(self, source: Source, surroundings: Surroundings, timeout: float | None = None) -> None:
        self._source = source
        self._surroundings = surroundings
        self._ends_at = inf if timeout is None else surroundings.clock() + timeout
        self._last: str | None = None
        self._pause = RETRY_SECONDS
        self._failing_since: float | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield what carries data, each frame once, until all is read or the time is over.

        Raises: CommandFailed when the API refuses, or is out of reach for PATIENCE_SECONDS.
        """
        while self._left() > 0:
            seen = self._last
            try:
                has_ended = self._source.has_ended(self._limit())
                yield from self._visit()
            except CommandFailed as failed:
                if not failed.is_temporary or self._has_lost_patience():
                    raise
                has_ended = False
            if has_ended and self._last == seen:
                return
            if self._last == seen:
                self._surroundings.sleep(min(self._pause, self._left()))

    def _visit(self) -> Iterator[Frame]:
        """Read until the stream ends, or is silent for longer than there is time."""
        limit = self._limit()
        with closing(self._source.read(self._last, limit)) as frames:
            for frame in frames:
                self._failing_since = None
                self._pause = frame.retry_seconds or self._pause
                if frame.data is not None:
                    self._last = frame.id or self._last
                    yield frame
                if limit > self._limit() + SLACK_SECONDS or self._left() == 0:
                    return

    def _has_lost_patience(self) -> bool:
        now = self._surroundings.clock()
        self._failing_since = now if self._failing_since is None else self._failing_since
        return now - self._failing_since > PATIENCE_SECONDS

    def _limit(self) -> float:
        """Say how long a silence may last."""
        return min(REQUEST_SECONDS, max(self._left(), SHORTEST_REQUEST_SECONDS))

    def _left(self) -> float:
        return max(self._ends_at - self._surroundings.clock(), 0)
