"""Waiting and following, on a clock that only moves when somebody pauses or listens."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from levante.client.answers import Answer, Response
from levante.client.errors import ClientError, Unreachable
from levante.client.requests import EVENTS_STREAM, Request, event_stream
from levante.client.settings import Connection
from levante.client.steps import (
    LAST_PAUSE_SECONDS,
    REQUEST_SECONDS,
    Emit,
    Frame,
    Next,
    Open,
    Pause,
    Send,
    Server,
    StepDriver,
    Steps,
)
from levante.client.transport.sync_transport import _BoundedStream
from levante.client.waiting import PATIENCE_SECONDS, RECONNECT_SECONDS, end_of, follow

AWAY = Unreachable("nothing answers", was_sent=True)
REFUSED = ClientError("the key is revoked", 401)
KEEP_ALIVE = Frame()


def event(number: int) -> Frame:
    return Frame(id=str(number), data=f"event {number}")


@dataclass
class FakeApi:
    """Shows states in turn, and streams in visits, the last of each for ever. Each frame takes a second to come."""

    states: list[str | ClientError]
    visits: list[list[Frame | ClientError]] = field(default_factory=lambda: [[]])
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    opened: list[Request] = field(default_factory=list)
    asked: int = 0
    current: list[Frame | ClientError] = field(default_factory=list)
    until: float | None = None

    def server(self) -> Server:
        return Server(Connection("http://h", "k", "LEVANTE_API_KEY"), lambda: self.now)

    def run(self, steps: Steps[Any]) -> tuple[list[str], Any]:
        driver, emitted = StepDriver(steps), list[str]()
        while (effect := driver.effect) is not None:
            try:
                found = self.perform(effect, emitted)
            except ClientError as error:
                driver.fail(error)
            else:
                driver.reply(found)
        return emitted, driver.result

    def perform(self, effect: Any, emitted: list[str]) -> Any:
        match effect:
            case Send(_, seconds):
                self.asked += 1
                self.limits.append(seconds)
                return self.shown()
            case Open(request, seconds, until):
                self.opened.append(request)
                self.limits.append(seconds)
                self.until = until
                self.current = list(self.visits.pop(0) if len(self.visits) > 1 else self.visits[0])
            case Next():
                return self.frame()
            case Pause(seconds):
                self.pauses += [seconds] if seconds else []
                self.now += seconds
            case Emit(frame):
                emitted.append(str(frame.data))
        return None

    def shown(self) -> Response:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if isinstance(state, ClientError):
            raise state
        return Response(200, {}, json.dumps({"execution_id": "e1", "status": state}).encode())

    def frame(self) -> Frame | None:
        if not self.current or (self.until is not None and self.now >= self.until):
            return None
        self.now += 1
        frame = self.current.pop(0)
        if isinstance(frame, ClientError):
            raise frame
        return frame

    def end(self, timeout: float | None = None) -> Answer | None:
        _, answer = self.run(end_of(self.server(), "e1", timeout))
        return answer  # type: ignore[no-any-return]

    def follow(self, timeout: float | None = None) -> list[str]:
        def read(last: str | None) -> Request:
            return event_stream({}, int(last or 0) + 1)

        emitted, _ = self.run(follow(self.server(), read, "e1", timeout))
        return emitted

    @property
    def firsts(self) -> list[int]:
        """The first sequence number that each visit asked for."""
        return [request.query["start_seq"] for request in self.opened]


# --- waiting for the end ----------------------------------------------------------------------------------------------


def test_end_when_it_takes_long_then_it_is_asked_for_only_when_the_stream_has_closed() -> None:
    """No polling: the stream is silent until the execution ends."""
    api = FakeApi(["RUNNING", "COMPLETED"], [[KEEP_ALIVE] * 1000])
    answer = api.end()
    assert answer is not None
    assert answer.value["status"] == "COMPLETED"
    assert (api.asked, api.pauses, [one.path for one in api.opened]) == (2, [], [EVENTS_STREAM])


def test_end_when_streams_close_at_once_then_pauses_grow() -> None:
    """A server whose streams do not last is not asked without end."""
    api = FakeApi([*["RUNNING"] * 10, "FAILED"], [[]])
    answer = api.end()
    assert answer is not None
    assert api.pauses == sorted(api.pauses)
    assert (api.pauses[0], api.pauses[-1]) == (0.1, LAST_PAUSE_SECONDS)


def test_end_when_the_time_is_over_then_it_is_asked_once_more() -> None:
    """It may have ended in the last moment; no request takes longer than what is left."""
    api = FakeApi(["RUNNING"], [[KEEP_ALIVE] * 1000])
    assert api.end(10) is None
    assert (api.now, api.asked, api.limits[:2]) == (10, 2, [10, 10])
    assert FakeApi(["COMPLETED"]).end(0) is not None
    assert FakeApi(["RUNNING"]).end(0) is None


def test_end_when_the_api_is_away_for_a_moment_then_it_is_waited_for() -> None:
    """The host may be started again while somebody waits."""
    api = FakeApi([AWAY, "RUNNING", *[AWAY] * 10, "COMPLETED"], [[AWAY]])
    assert api.end() is not None


def test_end_when_the_api_stays_away_then_it_gives_up() -> None:
    """Nobody waits for ever for a host that is gone."""
    api = FakeApi(["RUNNING", AWAY])
    with pytest.raises(Unreachable, match="nothing answers"):
        api.end()
    assert PATIENCE_SECONDS < api.now < PATIENCE_SECONDS + 2 * LAST_PAUSE_SECONDS


def test_end_when_the_api_refuses_then_it_ends_at_once() -> None:
    """A refusal does not go away; nor does that of the stream."""
    for api in (FakeApi(["RUNNING", REFUSED]), FakeApi(["RUNNING"], [[REFUSED]])):
        with pytest.raises(ClientError, match="the key is revoked"):
            api.end()
        assert api.pauses == []


# --- following --------------------------------------------------------------------------------------------------------


def test_following_when_the_stream_ends_with_the_execution_then_all_is_read_without_a_pause() -> None:
    """What came between the end and the question whether it has ended is asked for once more."""
    api = FakeApi(["RUNNING", "COMPLETED"], [[event(1), KEEP_ALIVE, event(2)], [event(3)], []])
    assert api.follow() == ["event 1", "event 2", "event 3"]
    assert (api.firsts, api.pauses) == ([1, 3, 4], [])


def test_following_when_the_connection_breaks_then_it_goes_on_after_the_last_frame() -> None:
    """Nothing comes twice, and nothing is left out."""
    api = FakeApi(["RUNNING", "RUNNING", "RUNNING", "COMPLETED"], [[event(1), AWAY], [AWAY], [event(2)], []])
    assert api.follow() == ["event 1", "event 2"]
    assert (api.firsts, api.pauses) == ([1, 2, 2, 3], [RECONNECT_SECONDS])


def test_following_when_the_stream_says_how_long_to_wait_then_it_waits_so_long() -> None:
    """The server knows how much it can take."""
    api = FakeApi(["RUNNING", "RUNNING", "COMPLETED"], [[Frame(retry_seconds=5)], [event(1)], []])
    assert api.follow() == ["event 1"]
    assert api.pauses == [5]


def test_following_when_the_api_stays_away_then_it_gives_up() -> None:
    """However long all was quiet before that."""
    api = FakeApi(["RUNNING"], [[event(1), *[KEEP_ALIVE] * 100, AWAY], [AWAY]])
    with pytest.raises(Unreachable, match="nothing answers"):
        api.follow()
    assert 101 + PATIENCE_SECONDS < api.now < 103 + PATIENCE_SECONDS + 3 * LAST_PAUSE_SECONDS


def test_following_when_the_api_refuses_then_it_ends_at_once() -> None:
    """A refusal does not go away."""
    api = FakeApi(["RUNNING"], [[REFUSED]])
    with pytest.raises(ClientError, match="the key is revoked"):
        api.follow()
    assert api.pauses == []


def test_following_when_the_time_is_over_then_it_ends_though_more_comes() -> None:
    """And the last pause is no longer than what is left."""
    api = FakeApi(["RUNNING"], [[event(number) for number in range(1, 100)]])
    assert api.follow(10) == [f"event {number}" for number in range(1, 11)]
    assert (api.now, api.limits) == (10, [10, 10])
    silent = FakeApi(["RUNNING"], [[]])
    assert silent.follow(2.5) == []
    assert silent.now == 2.5


def test_following_when_there_is_no_hurry_then_a_stream_may_be_silent_for_long() -> None:
    """Keep-alives come more often than that."""
    api = FakeApi(["COMPLETED"], [[event(1)], []])
    assert api.follow() == ["event 1"]
    assert set(api.limits) == {REQUEST_SECONDS}


def test_stream_when_it_might_be_silent_beyond_the_time_then_it_is_left_and_opened_again() -> None:
    """A library's limit for silence is fixed when a stream is opened, and keep-alives begin it anew."""
    now = iter([1.0, 10.0, 12.0, 13.0])
    response = httpx.Response(200, content=iter([b"a", b"b", b"c", b"d"]))
    bounded = _BoundedStream(response, Open(Request("GET", "/"), 20.0, until=30.0), lambda: next(now))
    assert b"".join(bounded) == b"abc"
