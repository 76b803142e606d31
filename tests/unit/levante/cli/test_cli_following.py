"""Following a stream, on a clock that only moves when somebody sleeps or listens."""

from collections.abc import Generator
from dataclasses import dataclass, field

import pytest

from levante.cli.client import REQUEST_SECONDS
from levante.cli.executions.following import RETRY_SECONDS, Follower, Source
from levante.cli.executions.waiting import LAST_PAUSE_SECONDS, PATIENCE_SECONDS, Surroundings
from levante.cli.exits import CommandFailed
from levante.cli.output.sse import Frame, frames

AWAY = CommandFailed("nothing answers", is_temporary=True)
KEEP_ALIVE = Frame()


def event(number: int) -> Frame:
    return Frame(id=str(number), data=f"event {number}")


@dataclass
class FakeStream:
    """A stream that is read in visits, the last of them for ever. Each frame takes a second to come.

    open_visits: after so many of them the execution has ended.
    """

    visits: list[list[Frame | CommandFailed]]
    open_visits: int
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    read_after: list[str | None] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)

    def read(self, last: str | None, seconds: float) -> Generator[Frame, None, None]:
        self.read_after.append(last)
        self.limits.append(seconds)
        for one in self.visits.pop(0) if len(self.visits) > 1 else self.visits[0]:
            self.now += 1
            if isinstance(one, CommandFailed):
                raise one
            yield one

    def has_ended(self, _seconds: float) -> bool:
        return len(self.read_after) >= self.open_visits

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def follow(self, timeout: float | None = None) -> list[str]:
        stream = Surroundings(lambda: self.now, self.sleep)
        followed = Follower(Source(self.read, self.has_ended), stream, timeout).frames()
        return [str(frame.data) for frame in followed]


def test_following_when_the_stream_ends_with_the_execution_then_all_is_told_without_a_pause() -> None:
    """What came between the end and the question whether it has ended is asked for once more."""
    stream = FakeStream([[event(1), KEEP_ALIVE, event(2)], [event(3)], []], open_visits=1)
    assert stream.follow() == ["event 1", "event 2", "event 3"]
    assert (stream.read_after, stream.pauses) == ([None, "2", "3"], [])


def test_following_when_the_connection_breaks_then_it_goes_on_after_the_last_frame() -> None:
    """Nothing is told twice, and nothing is left out."""
    stream = FakeStream([[event(1), AWAY], [AWAY], [event(2)], []], open_visits=3)
    assert stream.follow() == ["event 1", "event 2"]
    assert (stream.read_after, stream.pauses) == ([None, "1", "1", "2"], [RETRY_SECONDS])


def test_following_when_the_stream_says_how_long_to_wait_then_it_waits_so_long() -> None:
    """The server knows how much it can take."""
    stream = FakeStream([[Frame(retry_seconds=5)], [event(1)], []], open_visits=2)
    assert stream.follow() == ["event 1"]
    assert stream.pauses == [5]


def test_following_when_the_api_stays_away_then_it_gives_up() -> None:
    """As with waiting: nobody follows for ever what is gone, however long all was quiet before that."""
    quiet = [KEEP_ALIVE] * 100
    stream = FakeStream([[event(1), *quiet, AWAY], [AWAY]], open_visits=1000)
    with pytest.raises(CommandFailed, match="nothing answers"):
        stream.follow()
    assert 101 + PATIENCE_SECONDS < stream.now < 102 + PATIENCE_SECONDS + 3 * LAST_PAUSE_SECONDS


def test_following_when_the_api_refuses_then_it_ends_at_once() -> None:
    """A refusal does not go away."""
    stream = FakeStream([[CommandFailed("the key is revoked")]], open_visits=1)
    with pytest.raises(CommandFailed, match="the key is revoked"):
        stream.follow()
    assert stream.pauses == []


def test_following_when_the_time_is_over_then_it_ends_though_more_comes() -> None:
    """And a stream that falls silent is left in time: it may be silent for no longer than is left, but for the slack."""
    stream = FakeStream([[event(number) for number in range(first, 100)] for first in (1, 3, 5, 7, 9)], open_visits=1000)
    assert stream.follow(10) == [f"event {number}" for number in range(1, 11)]
    assert (stream.now, stream.limits) == (10, [10, 8, 6, 4, 2])


def test_following_when_the_time_is_over_before_it_may_come_again_then_it_ends_on_the_second() -> None:
    """The last pause is no longer than what is left."""
    stream = FakeStream([[AWAY]], open_visits=1000)
    assert stream.follow(2.5) == []
    assert stream.now == 2.5 + 0.5


def test_following_when_there_is_no_hurry_then_a_stream_may_be_silent_for_long() -> None:
    """Keep-alives come more often than that."""
    stream = FakeStream([[event(1)], []], open_visits=1)
    assert stream.follow() == ["event 1"]
    assert set(stream.limits) == {REQUEST_SECONDS}


def test_frames_when_lines_come_then_fields_are_read_as_the_standard_says() -> None:
    """Comments say nothing, several lines of data are joined, and what is cut off is not taken for all of it."""
    lines = ["retry: 1500", "", ": keep-alive", "", "event: log", "id: 7", "data: a", "data:b", "", "id: 8", "data: cut"]
    assert list(frames(lines)) == [
        Frame(retry_seconds=1.5),
        Frame(),
        Frame(id="7", event="log", data="a\nb"),
    ]
