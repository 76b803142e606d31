"""The one-process host: all handlers, unchanged, on an SQLite file and queues in memory."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from levante_api.app import ApiSettings, create_app
from levante_api.system import HealthProblem
from levante_core.adapters.offloading import OffloadingStore
from levante_core.adapters.system import RandomIds
from levante_core.domain.names import Workspace
from levante_core.errors import Unauthenticated
from levante_core.protocol.local_key import LOCAL_KEY_NAME, read_local_key
from levante_core.protocol.streams import is_stream, is_whole_history
from levante_core.services.access.api_keys import SECRET_PREFIX, require
from levante_core.services.dispatch.tasks import consumer_name
from levante_core.services.engine import Engine, build_engine
from levante_core.services.observability.export import SendSpans
from levante_core.storage.catalogue import ApiKey, Role
from levante_core.storage.changes import concerns_dispatcher
from levante_dispatcher.handlers import build_handlers
from levante_events.app import KEY_CHECK_SECONDS, EventsApp, StreamServices, StreamSettings
from levante_local.change_watch import LocalChangeWatch
from levante_local.clock import LocalClock
from levante_local.data_directory import keep_local_key
from levante_local.greenlets import call, wait_for
from levante_local.http.admission import Admission, AdmissionLimits, refusal_of
from levante_local.http.gateway import ClientGone, Receive, Scope, Send, declared_bytes, event_of, respond
from levante_local.http.open_requests import OpenRequests
from levante_local.operations.metrics import METRICS, HostMetrics
from levante_local.payload_files import PayloadFiles
from levante_local.pumps import ChangePump, ExpiryPump, QueuesPump, RedriveAtStart, SweepPump, TimersPump
from levante_local.queues.queues import InProcessQueues
from levante_local.sqlite.schema import Synchronous
from levante_local.sqlite.store import SqliteItemStore
from levante_local.supervision import Step, Supervisor, not_before

logger = logging.getLogger("levante.host")

WORKSPACE = Workspace("default")
MAX_WAIT_SECONDS = 300.0
SHORT_SECONDS = 0.05
"""Requests that take longer are watched for callers that leave."""
PROCESSES_AT_ONCE = 2
"""That check inputs; each ends within seconds, and others wait."""
HEARD_SECONDS = 1.5
"""Workers that hold leases of an earlier process are heard before anything of its work is sent again."""
LARGE_BYTES = 256 * 1024
"""Bodies above this are read one at a time: 6 MiB of JSON hold the interpreter for 0.3 to 0.6 s (measured 2026-11-30)."""
PRESENCE_PREFIX = "/v1/workflows/workers/"
PRESENCE_SUFFIX = "/presence"
FEED = "change feed"
UNREADABLE = "rows of the change feed that cannot be read"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """data: directory that holds everything that survives a restart. first_key: secret of the first admin key, if given.

    quiet: log errors only, not each request. send_spans: exports the traces of executions. retention: how long closed ones
    are kept; None for ever. admission: limits of bodies and guesses. key_check_seconds: how often it is asked whether the
    keys of open streams and workers are still good.
    """

    data: Path
    first_key: SecretStr | None = None
    synchronous: Synchronous = "FULL"
    quiet: bool = True
    send_spans: SendSpans | None = None
    retention: timedelta | None = None
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)
    key_check_seconds: float = KEY_CHECK_SECONDS


class Host:
    """The ASGI application, and the loops that run beside it."""

    def __init__(self, settings: HostSettings) -> None:
        self._clock, ids = LocalClock(), RandomIds()
        self._processes = ThreadPoolExecutor(PROCESSES_AT_ONCE, "levante-processes")
        self._settings = settings
        self._supervisor = Supervisor(self._clock)
        self._store = SqliteItemStore(
            settings.data / "levante.sqlite",
            settings.synchronous,
            feeds=concerns_dispatcher,
            on_loop=True,
            on_unreadable=lambda error: self._supervisor.report(UNREADABLE, error),
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
            run_blocking=lambda blocking: wait_for(self._processes.submit(blocking)),
        )
        self._handlers = build_handlers(self._engine, items.resolved)
        api = ApiSettings(
            features={"presence": True},
            max_wait_seconds=MAX_WAIT_SECONDS,
            quiet=settings.quiet,
            problems=self._problems,
        )
        engine = self._engine
        services = StreamServices(
            engine.api_keys, engine.tickets, engine.histories, engine.streams, engine.tails, engine.logs, engine.traces
        )
        self._requests = OpenRequests()
        self._metrics = HostMetrics(self._store, self._queues, self._supervisor)
        self._large = asyncio.Lock()
        self._admission = Admission(engine.api_keys, settings.admission)
        self._events = EventsApp(services, call, StreamSettings(key_check_seconds=settings.key_check_seconds))
        self._api: Callable[[dict[str, Any], object], Mapping[str, Any]] = create_app(self._engine, api)

    def local_key(self) -> str:
        """Return the admin key for everything on this machine, which is kept in the data directory.

        It is the one that was given, else the one that is kept; a new one if that is lost, damaged or revoked.
        Raises: ValueError for a given one that is too short; OSError if it cannot be kept.
        """
        keys, given = self._engine.api_keys, self._settings.first_key
        kept = read_local_key(self._settings.data)
        if given:
            secret = given.get_secret_value()
        else:
            secret = kept if kept and self._is_good(kept) else SECRET_PREFIX + secrets.token_urlsafe(32)
        keys.ensure(WORKSPACE, Role.ADMIN, LOCAL_KEY_NAME, secret)
        if kept != secret:
            keep_local_key(self._settings.data, secret)
        return secret

    def _is_good(self, secret: str) -> bool:
        try:
            return self._engine.api_keys.authenticate(secret).role is Role.ADMIN
        except Unauthenticated:
            return False

    async def stop_serving(self) -> None:
        """Answer all requests that are under way, those that wait for something too."""
        await self._requests.stop()

    @property
    def has_data(self) -> bool:
        """Whether the file that this host writes is still where others would look for it."""
        return self._store.is_in_place

    def rotate_signing_key(self) -> int:
        """Sign with a new key from now on. Returns its version."""
        return self._engine.capabilities.rotate()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep everything going inside the block. What an earlier process has left behind never keeps this from starting."""
        heard_at = asyncio.get_running_loop().time() + (HEARD_SECONDS if self._may_hold_open_runs() else 0)
        parts: dict[str, Step] = {
            FEED: not_before(heard_at, ChangePump(self._store, self._handlers).step),
            "leases": QueuesPump(self._queues).step,
            "timers": TimersPump(self._queues, self._handlers).step,
            "sweep": SweepPump(self._handlers).step,
            "expiry": ExpiryPump(self._store, self._clock).step,
            "redrive at the start": not_before(heard_at, RedriveAtStart(self._engine.redrive.redrive).step),
        }
        loops = [asyncio.create_task(self._supervisor.keep(part, step)) for part, step in parts.items()]
        try:
            yield
        finally:
            for task in loops:
                task.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
            self._store.close()

    def _may_hold_open_runs(self) -> bool:
        try:
            return self._engine.redrive.has_open_runs()
        except Exception:  # what cannot be read must not keep the host from starting
            logger.warning("whether executions are open cannot be said", exc_info=True)
            return True

    def _problems(self) -> list[HealthProblem]:
        return [
            HealthProblem(part=problem.part, since=problem.since, error=problem.error, count=problem.count)
            for problem in self._supervisor.problems
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request: the ASGI application."""
        match scope["type"]:
            case "http":
                watched = self._admission.watched(scope, send)
                await self._requests.answered(lambda answer: self._serve(scope, receive, answer), watched)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
            case "lifespan":
                for expected in ("lifespan.startup", "lifespan.shutdown"):
                    await receive()
                    await send({"type": f"{expected}.complete"})
            case _:
                pass  # a protocol that the server does not speak

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the key first, then at the body: what nobody may send is not read."""
        path, is_get = scope["path"], scope["method"] == "GET"
        try:
            if is_get and (is_stream(path) or is_whole_history(path, scope["query_string"].decode("latin-1"))):
                await self._events(scope, receive, send)
                return
            key = self._admission.key_of(scope)
            if key and is_get and path.startswith(PRESENCE_PREFIX) and path.endswith(PRESENCE_SUFFIX):
                require(key, Role.WORKER)
                declared_bytes(scope)
                await self._watch_worker(key, path[len(PRESENCE_PREFIX) : -len(PRESENCE_SUFFIX)], receive, send)
                return
            if is_get and path == METRICS:
                await respond(send, await self._metrics.answer(key))
                return
            async with self._admission.body(scope, receive, key) as body:
                if len(body) <= LARGE_BYTES:
                    await self._answer(event_of(scope, body), receive, send)
                else:
                    await self._answer_in_turn(event_of(scope, body), receive, send)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 - the one place where errors before the handlers become answers
            await respond(send, refusal_of(error))

    async def _answer_in_turn(self, event: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request with a large body. Reading it takes a moment, so between two of them all others have a turn."""
        async with self._large:
            answering = asyncio.create_task(self._answer(event, receive, send))
            await asyncio.sleep(0)  # it runs until it waits for something
            await asyncio.sleep(0)
        await answering

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

    async def _watch_worker(self, key: ApiKey, worker_id: str, receive: Receive, send: Send) -> None:
        """Stay open as long as the worker does, and its key is good; hand its tasks back the moment it is gone."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            while self._admission.is_good(key):
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.key_check_seconds):
                        await _left(receive)
                        return
            await send({"type": "http.response.body", "body": b""})
        finally:
            await self._release(consumer_name(key.workspace, key.key_id, worker_id))

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
