"""Waiting for the end of an execution, and following streams: as long as it takes, over connections that break."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from levante.client import requests
from levante.client.answers import Answer, Response, answer_in
from levante.client.errors import ClientError, NotReady, StreamBroken, UnexpectedAnswer
from levante.client.requests import Request
from levante.client.steps import (
    FIRST_PAUSE_SECONDS,
    LAST_PAUSE_SECONDS,
    REQUEST_SECONDS,
    Close,
    Emit,
    Frame,
    Next,
    Open,
    Pause,
    Server,
    Steps,
    call,
    pause_after,
    ticket_address,
)

PATIENCE_SECONDS = 30.0
"""How long the API may be out of reach while something is waited for, as when the host is started again."""
SHORTEST_REQUEST_SECONDS = 0.5
RECONNECT_SECONDS = 1.0
"""How long a reader waits before it comes again, unless the stream says so."""
PASSING = frozenset({"stream_error", "read_error"})
"""Reasons of an error frame that is worth coming again after. Source: REST contract, section 4 (read 2026-11-23)."""


class Deadline:
    """The end of some time. seconds: from now on; None for never."""

    def __init__(self, server: Server, seconds: float | None) -> None:
        self._clock = server.clock
        self.at = None if seconds is None else server.clock() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left, 0 at least."""
        return inf if self.at is None else max(self.at - self._clock(), 0.0)

    @property
    def request_seconds(self) -> float:
        """How long one request may take."""
        return min(REQUEST_SECONDS, max(self.left, SHORTEST_REQUEST_SECONDS))


class Backoff:
    """Backoff with no success in between: it is borne for PATIENCE_SECONDS, with pauses that grow."""

    def __init__(self, server: Server) -> None:
        self._clock = server.clock
        self._since: float | None = None
        self._pause = FIRST_PAUSE_SECONDS

    def is_over(self) -> None:
        """Note a success."""
        self._since, self._pause = None, FIRST_PAUSE_SECONDS

    def pause(self, error: ClientError) -> float:
        """Return how long to wait. Raises: the error, when that is in vain."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        if not error.is_temporary or now - self._since > PATIENCE_SECONDS:
            raise error
        wait = pause_after(error, self._pause)
        self._pause = min(2 * self._pause, LAST_PAUSE_SECONDS)
        return wait


def end_of(server: Server, execution_id: str, timeout: float | None) -> Steps[Answer | None]:
    """Return an execution as it ended; None if the time is over before that. It is asked for at least once.

    Between two questions, a stream is read that closes when the execution ends, so the end is known within milliseconds.
    Raises: ClientError.
    """
    deadline, backoff, pause = Deadline(server, timeout), Backoff(server), 0.0
    while True:
        try:
            seconds = deadline.request_seconds
            answer = yield from call(server, requests.describe(execution_id), seconds=seconds, patience=0)
        except ClientError as error:
            wait = backoff.pause(error)
            if deadline.left == 0:
                return None
            yield Pause(min(wait, deadline.left))
            continue
        if answer.has_ended or deadline.left == 0:
            return answer if answer.has_ended else None
        backoff.is_over()
        yield Pause(min(pause, deadline.left))
        began = server.clock()
        yield from _until_closed(server, execution_id, deadline)
        is_brief = server.clock() - began < FIRST_PAUSE_SECONDS
        pause = min(2 * pause or FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS) if is_brief else 0.0


def _until_closed(server: Server, execution_id: str, deadline: Deadline) -> Steps[None]:
    """Read the stream of an execution's end. One that cannot be read now is left: the execution is asked for in any case."""
    try:
        yield from opened(server, requests.end_stream(execution_id), deadline)
        while (frame := (yield Next())) is not None:
            check_frame(frame)
    except ClientError as error:
        yield Close()
        if not error.is_temporary:
            raise


def opened(server: Server, request: Request, deadline: Deadline) -> Steps[None]:
    """Open a stream, where the API leads to. Raises: ClientError."""
    seconds = deadline.request_seconds
    response: Response | None = yield Open(request, seconds, deadline.at)
    if response is not None and (address := ticket_address(request, response)) is not None:
        response = yield Open(request, seconds, deadline.at, address)
    if response is not None:
        answer_in(response, server.connection.key_source)
        raise UnexpectedAnswer(f"the answer is no stream but {response.headers.get('content-type')}")


def check_frame(frame: Frame) -> None:
    """Raises: StreamBroken for a frame that ends a stream before its time."""
    if frame.event == "error":
        message = _json_object(frame.data)
        problem, reason = message.get("error", frame.data), message.get("reason")
        raise StreamBroken(f"the stream broke off: {problem}", is_temporary=reason in PASSING)


def _json_object(text: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_once(server: Server, request: Request) -> Steps[None]:
    """Hand on the frames of a stream until it ends. Raises: ClientError."""
    yield from opened(server, request, Deadline(server, None))
    while (frame := (yield Next())) is not None:
        check_frame(frame)
        yield Emit(frame)


def follow(
    server: Server, read: Callable[[str | None], Request], execution_id: str | None, timeout: float | None = None
) -> Steps[None]:
    """Hand on what carries data, each frame once, until all is read or the time is over, however often connections break.

    read(last): the request for what follows the frame with this id. execution_id: whose end is the stream's; None for a
    stream that never ends. Raises: ClientError when the API refuses, or is out of reach for PATIENCE_SECONDS.
    """
    deadline, backoff = Deadline(server, timeout), Backoff(server)
    reader = _StreamReader()
    while deadline.left > 0:
        seen, has_ended, pause = reader.last, False, 0.0
        try:
            if execution_id is not None:
                asked = requests.describe(execution_id)
                answer = yield from call(server, asked, seconds=deadline.request_seconds, patience=0)
                has_ended = answer.has_ended
            yield from opened(server, read(reader.last), deadline)
            yield from reader.frames(backoff)
        except ClientError as error:
            pause = backoff.pause(error)
            has_ended = False
        if reader.last != seen:
            continue
        if has_ended:
            return
        yield Pause(min(max(pause, reader.pause), deadline.left))


class _StreamReader:
    """Where a reader is. last: the id of the last frame. pause: before it comes again."""

    def __init__(self) -> None:
        self.last: str | None = None
        self.pause = RECONNECT_SECONDS

    def frames(self, backoff: Backoff) -> Steps[None]:
        """Hand on what comes until the stream ends. Raises: ClientError, and the stream is closed."""
        try:
            while (frame := (yield Next())) is not None:
                check_frame(frame)
                backoff.is_over()
                self.pause = frame.retry_seconds or self.pause
                if frame.data is not None:
                    self.last = frame.id or self.last
                    yield Emit(frame)
        except ClientError:
            yield Close()
            raise


def not_ended(execution_id: str, timeout: float | None) -> NotReady:
    """Return the error for an execution that is still open."""
    return NotReady(f"execution {execution_id} is still open after {timeout or 0:g} s; it goes on")
