"""The one-process host: all handlers, unchanged, on an SQLite file and queues in memory."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from levante_api.app import ApiSettings, create_app
from levante_core.adapters.system import RandomIds, SystemClock
from levante_core.domain.names import Workspace
from levante_core.errors import HTTP_ANSWERS, Forbidden, Unauthenticated
from levante_core.protocol.streams import history_in, is_stream
from levante_core.records.catalogue import Role
from levante_core.records.changes import concerns_dispatcher
from levante_core.records.offloading import OffloadingStore
from levante_core.services.api_keys import SECRET_PREFIX, require
from levante_core.services.engine import Engine, build_engine
from levante_core.services.tasks import consumer_name
from levante_core.services.trace_export import SendSpans
from levante_dispatcher.handlers import build_handlers
from levante_events.app import EventsApp, StreamServices, StreamSettings
from levante_local.change_watch import LocalChangeWatch
from levante_local.gateway import BodyTooLarge, ClientGone, Receive, Scope, Send, event_of, read_body, respond
from levante_local.payload_files import PayloadFiles
from levante_local.pumps import ChangePump, pump_expiry, pump_sweeps, pump_timers
from levante_local.queues import InProcessQueues
from levante_local.sqlite_schema import Synchronous
from levante_local.sqlite_store import SqliteItemStore
from levante_local.waiting import call

logger = logging.getLogger("levante.host")

WORKSPACE = Workspace("default")
MAX_WAIT_SECONDS = 300.0
SHORT_SECONDS = 0.05
"""Requests that take longer are watched for callers that leave."""
PRESENCE_PREFIX = "/v1/workflows/workers/"
PRESENCE_SUFFIX = "/presence"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """data: directory that holds everything that survives a restart. first_key: secret of the first admin key, if given.

    quiet: log errors only, not each request. send_spans: exports the traces of executions. retention: how long closed ones
    are kept; None for ever.
    """

    data: Path
    first_key: str | None = None
    synchronous: Synchronous = "FULL"
    quiet: bool = True
    send_spans: SendSpans | None = None
    retention: timedelta | None = None


class Host:
    """The ASGI application, and the pumps that run beside it."""

    def __init__(self, settings: HostSettings) -> None:
        self._clock, ids = SystemClock(), RandomIds()
        self._settings = settings
        self._store = SqliteItemStore(
            settings.data / "levante.sqlite", settings.synchronous, feeds=concerns_dispatcher, on_loop=True
        )
        self._queues = InProcessQueues(self._clock)
        self._watch = LocalChangeWatch()
        self._store.listen(self._watch.notify)
        items = OffloadingStore(self._store, PayloadFiles(settings.data / "payloads"))
        self._engine: Engine = build_engine(
            items,
            self._queues,
            self._clock,
            ids,
            self._watch,
            fast_path=False,
            send_spans=settings.send_spans,
            retention=settings.retention,
        )
        self._handlers = build_handlers(self._engine, items.resolved)
        api = ApiSettings(features={"presence": True}, max_wait_seconds=MAX_WAIT_SECONDS, quiet=settings.quiet)
        engine = self._engine
        services = StreamServices(
            engine.api_keys,
            engine.tickets,
            engine.histories,
            engine.streams,
            engine.tails,
            engine.logs,
            engine.traces,
        )
        self._events = EventsApp(services, call, StreamSettings())
        self._api: Callable[[dict[str, Any], object], Mapping[str, Any]] = create_app(self._engine, api)

    def first_key(self) -> str | None:
        """Make the first admin key if there is none yet. Returns its secret only when it was made just now."""
        keys = self._engine.api_keys
        given = self._settings.first_key
        if given:
            keys.ensure(WORKSPACE, Role.ADMIN, "first", given)
            return None
        if keys.list(WORKSPACE):
            return None
        secret = SECRET_PREFIX + secrets.token_urlsafe(32)
        keys.ensure(WORKSPACE, Role.ADMIN, "first", secret)
        return secret

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send again what the queues of an earlier process held, then keep everything going inside the block."""
        pump = ChangePump(self._store, self._handlers)
        count = await call(self._engine.redrive.redrive)
        if count:
            logger.info("%d open executions carry on", count)
        pumps = [
            asyncio.create_task(pump.run()),
            asyncio.create_task(pump_timers(self._queues, self._handlers)),
            asyncio.create_task(pump_sweeps(self._handlers)),
            asyncio.create_task(pump_expiry(self._store, self._clock)),
        ]
        try:
            yield
        finally:
            for task in pumps:
                task.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._store.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: the ASGI application."""
        path = scope.get("path", "")
        if scope["type"] != "http":
            return
        if (is_stream(path) or any(history_in(path))) and scope["method"] == "GET":
            await self._events(scope, receive, send)
            return
        if path.startswith(PRESENCE_PREFIX) and path.endswith(PRESENCE_SUFFIX) and scope["method"] == "GET":
            await self._watch_worker(scope, receive, send)
            return
        try:
            event = event_of(scope, await read_body(receive))
        except ClientGone:
            return
        except BodyTooLarge:
            await respond(
                send, _refusal(413, "TOO_LARGE", "the body is larger than 6 MB: put the data elsewhere and pass a reference")
            )
            return
        await self._answer(event, receive, send)

    async def _answer(self, event: dict[str, Any], receive: Receive, send: Send) -> None:
        """Run the handler, but no longer than the caller stays connected: a poll whose caller is gone must take no task."""
        caller = _Caller(receive)
        try:
            answer = await call(self._api, event, None)
        except asyncio.CancelledError:
            if caller.has_left:
                return
            raise
        finally:
            caller.close()
        await respond(send, answer)

    async def _watch_worker(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stay open as long as the worker does; hand its tasks back the moment it is gone."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        worker_id = scope["path"][len(PRESENCE_PREFIX) : -len(PRESENCE_SUFFIX)]
        try:
            key = self._engine.api_keys.authenticate(headers.get("authorization", "").removeprefix("Bearer ").strip())
            require(key, Role.WORKER)
        except (Unauthenticated, Forbidden) as error:
            answer = HTTP_ANSWERS[type(error)]
            await respond(send, _refusal(answer.status, answer.code, str(error)))
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            await read_body(receive)
            await _left(receive)
        except ClientGone:
            pass
        finally:
            await self._release(consumer_name(key.workspace, worker_id))

    async def _release(self, consumer: str) -> None:
        """Hand back what a worker held; a poll of its own, not yet found to be gone, may take it once more."""
        self._queues.release_consumer(consumer)
        await asyncio.sleep(2 * SHORT_SECONDS)
        self._queues.release_consumer(consumer)


class _Caller:
    """Cancels the task that made it if the caller leaves, once that task has taken long enough for anyone to leave."""

    def __init__(self, receive: Receive) -> None:
        self.has_left = False
        self._receive = receive
        self._task = asyncio.current_task()
        self._watching: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(SHORT_SECONDS, self._begin)

    def close(self) -> None:
        """Watch no more."""
        self._timer.cancel()
        if self._watching:
            self._watching.cancel()

    def _begin(self) -> None:
        self._watching = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        await _left(self._receive)
        self.has_left = True
        if self._task:
            self._task.cancel()


async def _left(receive: Receive) -> None:
    """Return when the caller has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _refusal(status: int, code: str, detail: str) -> dict[str, Any]:
    body = json.dumps({"detail": detail, "code": code})
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": body}
