"""The async client's way over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from typing import Any, TypeVar, assert_never

import httpx
from httpx_sse import EventSource

from levante.client.answers import Response
from levante.client.errors import ClientError
from levante.client.settings import Connection
from levante.client.steps import Close, Compute, Effect, Emit, Frame, Next, Open, Pause, Send, StepDriver, Steps
from levante.client.transport.http_messages import built, frame_of, is_stream, response_of, trouble, trusted_by

T = TypeVar("T")


class AsyncTransport:
    """Carries steps out, one after the other. handler: in place of the network, for tests."""

    def __init__(self, connection: Connection, handler: httpx.AsyncBaseTransport | None = None) -> None:
        self._connection = connection
        self._http = httpx.AsyncClient(transport=handler, verify=trusted_by(connection), trust_env=not connection.is_local)

    async def run(self, steps: Steps[T]) -> T:
        """Carry steps out that emit nothing. Raises: ClientError."""
        driver = StepDriver(steps)
        async with aclosing(self._driven(driver)) as frames:
            async for _ in frames:
                pass
        return driver.result

    async def emitted(self, steps: Steps[None]) -> AsyncGenerator[Frame, None]:
        """Carry steps out, and yield what they emit. Raises: ClientError."""
        async with aclosing(self._driven(StepDriver(steps))) as frames:
            async for frame in frames:
                yield frame

    async def close(self) -> None:
        """Close connections. A repeat is harmless."""
        await self._http.aclose()

    async def _driven(self, driver: StepDriver[Any]) -> AsyncGenerator[Frame, None]:
        async with _EffectHandler(self._connection, self._http) as effects:
            while (effect := driver.effect) is not None:
                if isinstance(effect, Emit):
                    yield effect.frame
                    driver.reply(None)
                    continue
                try:
                    found = await effects.perform(effect)
                except ClientError as error:
                    driver.fail(error)
                else:
                    driver.reply(found)


class _EffectHandler(AsyncExitStack):
    """Carries single effects out, and holds the stream that is open."""

    def __init__(self, connection: Connection, client: httpx.AsyncClient) -> None:
        super().__init__()
        self._connection = connection
        self._http = client
        self._frames: AsyncIterator[Frame] | None = None
        self._until: float | None = None

    async def perform(self, effect: Effect) -> Any:
        """Return what came of an effect. Raises: ClientError."""
        match effect:
            case Send():
                return await self._sent(effect)
            case Pause(seconds):
                if seconds > 0:
                    await asyncio.sleep(seconds)
            case Compute(function):
                return await asyncio.to_thread(function)
            case Open():
                return await self._opened(effect)
            case Next():
                return await self._next()
            case Close():
                await self.aclose()
            case Emit():
                raise AssertionError("whoever runs the steps hands frames on")
            case _:
                assert_never(effect)
        return None

    async def _sent(self, send: Send) -> Response:
        try:
            return response_of(await self._http.send(built(self._http, self._connection, send)))
        except httpx.HTTPError as error:
            raise trouble(error, self._connection, send.seconds) from None

    async def _opened(self, wanted: Open) -> Response | None:
        await self.aclose()
        try:
            response = await self._http.send(built(self._http, self._connection, wanted), stream=True)
            self.push_async_callback(response.aclose)
            if not is_stream(response):
                await response.aread()
                return response_of(response)
        except httpx.HTTPError as error:
            raise trouble(error, self._connection, wanted.seconds) from None
        self._frames = await self.enter_async_context(aclosing(self._read(response, wanted)))
        self._until = wanted.until
        return None

    async def _read(self, response: httpx.Response, wanted: Open) -> AsyncGenerator[Frame, None]:
        try:
            async with aclosing(EventSource(response).aiter_sse()) as events:
                async for event in events:
                    yield frame_of(event)
        except httpx.HTTPError as error:
            raise trouble(error, self._connection, wanted.seconds) from None

    async def _next(self) -> Frame | None:
        frame: Frame | None = None
        left = None if self._until is None else max(self._until - time.monotonic(), 0)
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                frame = None if self._frames is None else await anext(self._frames, None)
        if frame is None:
            await self.aclose()
        return frame
