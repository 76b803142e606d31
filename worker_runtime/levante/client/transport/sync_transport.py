"""The sync client's way over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar, assert_never

import httpx
from httpx_sse import EventSource

from levante.client.answers import Response
from levante.client.errors import ClientError
from levante.client.requests import EVENT_STREAM_TYPE
from levante.client.settings import Connection
from levante.client.steps import Close, Compute, Effect, Emit, Frame, Next, Open, Pause, Send, StepDriver, Steps
from levante.client.transport.http_messages import built, frame_of, is_stream, response_of, trouble, trusted_by

SLACK_SECONDS = 1.0
"""How much longer than the time that is left a stream may be silent before that is noticed."""

T = TypeVar("T")


class SyncTransport:
    """Carries steps out, one after the other. handler: in place of the network, for tests."""

    def __init__(self, connection: Connection, handler: httpx.BaseTransport | None = None) -> None:
        self._connection = connection
        self._http = httpx.Client(transport=handler, verify=trusted_by(connection), trust_env=not connection.is_local)

    def run(self, steps: Steps[T]) -> T:
        """Carry steps out that emit nothing. Raises: ClientError."""
        driven = self.emitted(steps)
        while True:
            try:
                next(driven)
            except StopIteration as stop:
                result: T = stop.value
                return result

    def emitted(self, steps: Steps[T]) -> Generator[Frame, None, T]:
        """Carry steps out, and yield what they emit. Raises: ClientError."""
        with _EffectHandler(self._connection, self._http) as effects:
            driver = StepDriver(steps)
            while (effect := driver.effect) is not None:
                if isinstance(effect, Emit):
                    yield effect.frame
                    driver.reply(None)
                    continue
                try:
                    found = effects.perform(effect)
                except ClientError as error:
                    driver.fail(error)
                else:
                    driver.reply(found)
            return driver.result

    def close(self) -> None:
        """Close connections. A repeat is harmless."""
        self._http.close()


class _EffectHandler(ExitStack):
    """Carries single effects out, and holds the stream that is open."""

    def __init__(self, connection: Connection, client: httpx.Client) -> None:
        super().__init__()
        self._connection = connection
        self._http = client
        self._frames: Iterator[Frame] = iter(())

    def perform(self, effect: Effect) -> Any:
        """Return what came of an effect. Raises: ClientError."""
        match effect:
            case Send():
                return self._sent(effect)
            case Pause(seconds):
                if seconds > 0:
                    time.sleep(seconds)
            case Compute(function):
                return function()
            case Open():
                return self._opened(effect)
            case Next():
                return self._next()
            case Close():
                self.close()
            case Emit():
                raise AssertionError("whoever runs the steps hands frames on")
            case _:
                assert_never(effect)
        return None

    def _sent(self, send: Send) -> Response:
        try:
            return response_of(self._http.send(built(self._http, self._connection, send)))
        except httpx.HTTPError as error:
            raise trouble(error, self._connection, send.seconds) from None

    def _opened(self, wanted: Open) -> Response | None:
        self.close()
        try:
            response = self._http.send(built(self._http, self._connection, wanted), stream=True)
            self.callback(response.close)
            if not is_stream(response):
                response.read()
                return response_of(response)
        except httpx.HTTPError as error:
            raise trouble(error, self._connection, wanted.seconds) from None
        self._frames = self._read(response, wanted)
        return None

    def _read(self, response: httpx.Response, wanted: Open) -> Iterator[Frame]:
        body = _BoundedStream(response, wanted, time.monotonic)
        source = EventSource(httpx.Response(200, headers={"Content-Type": EVENT_STREAM_TYPE}, stream=body))
        try:
            for event in source.iter_sse():
                yield frame_of(event)
        except httpx.HTTPError as error:
            if wanted.until is None or time.monotonic() < wanted.until:
                raise trouble(error, self._connection, wanted.seconds) from None

    def _next(self) -> Frame | None:
        frame = next(self._frames, None)
        if frame is None:
            self.close()
        return frame


class _BoundedStream(httpx.SyncByteStream):
    """The bytes of a stream, until its reader has no time left to be silent for as long as was agreed."""

    def __init__(self, response: httpx.Response, wanted: Open, clock: Callable[[], float]) -> None:
        self._response = response
        self._wanted = wanted
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        wanted = self._wanted
        for chunk in self._response.iter_bytes():
            yield chunk
            if wanted.until is not None and wanted.seconds > max(wanted.until - self._clock(), 0) + SLACK_SECONDS:
                return
