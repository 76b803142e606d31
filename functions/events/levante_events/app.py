"""The ASGI application that streams events: unchanged behind the Lambda Web Adapter and in the one-machine host.

It also sends histories that are larger than an answer of the API can be.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar, assert_never
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from pydantic_core import to_json

from levante_core.answers import Answer, answer_to
from levante_core.domain.names import Workspace
from levante_core.errors import LevanteError, NotFound, TooManyStreams, Unauthenticated, loggable
from levante_core.protocol.logs import LogLine, log_stream_in, record_of
from levante_core.protocol.stream_messages import EventSource, StreamProblem
from levante_core.protocol.streams import history_in, is_stream, ticket_purpose
from levante_core.services.access.api_keys import ApiKeyService, require, require_unbound, shown_key
from levante_core.services.access.tickets import TicketService
from levante_core.services.history.showing import HistoryService, ShownHistory
from levante_core.services.observability.logs import LogService
from levante_core.services.observability.traces import TraceService
from levante_core.services.streams.publish import Sequenced, StreamService
from levante_core.services.streams.tails import Tail, TailService, TailUpdate
from levante_core.storage.catalogue import ApiKey, Role
from levante_events.frames import KEEP_ALIVE, error_frame, event_frame, log_frame, retry_frame
from levante_events.log_reader import LogReader, open_log
from levante_events.selection import NoExecution, Selection, select, ticket_in

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")

logger = logging.getLogger("levante.events")

KEEP_ALIVE_SECONDS = 15.0
"""Readers hear something at least so often. Clients give up after 300 s, API Gateway and proxies earlier."""
RETRY_SECONDS = 1.0
LOG_SECONDS = 1.0
"""How often a reader of a log looks for more."""
KEY_CHECK_SECONDS = 8.0
"""A key that was revoked may be believed for 5 s more: with that, its streams end within 13 s."""
FAREWELL_SECONDS = 1.0
MOST_STREAMS = 200
"""Streams and histories that one API key reads at a time in one process."""
PART_BYTES = 64 * 1024
"""Of a history, at least, in what is sent at once."""


class Run(Protocol):
    """Runs a synchronous function without holding up the event loop."""

    def __call__(self, function: Callable[..., T], /, *args: Any) -> Awaitable[T]:
        """Return what the function returns."""
        ...


@dataclass(frozen=True, slots=True)
class StreamServices:
    """The services that streams need."""

    api_keys: ApiKeyService
    tickets: TicketService
    histories: HistoryService
    streams: StreamService
    tails: TailService
    logs: LogService
    traces: TraceService


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """longest_seconds: a stream ends after this, and its reader comes again; None for no limit.

    key_check_seconds: how often it is asked whether a reader's key is still good.
    """

    keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    key_check_seconds: float = KEY_CHECK_SECONDS
    longest_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class BegunHistory:
    """A history as JSON: its first part, and what reads the others."""

    first: bytes
    rest: Iterator[bytes]


class EventsApp:
    """Streams to every reader what it selects, from where it was, until the execution has ended."""

    def __init__(self, services: StreamServices, run: Run, settings: StreamSettings) -> None:
        self._services = services
        self._run = run
        self._settings = settings
        self._frames: WeakKeyDictionary[Sequenced, bytes] = WeakKeyDictionary()
        self._reading: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        with ExitStack() as held:
            await self._serve(scope, receive, send, held)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, held: ExitStack) -> None:
        try:
            key = await self._run(self._admit, scope)
            self._hold(key.key_id, held)
            found = await self._find(scope, key.workspace)
        except NoExecution as error:
            await _refuse(send, Answer(400, {"detail": str(error), "code": "WF_1001"}))
        except Exception as error:  # nothing is sent yet: whatever it is, the caller gets an answer
            if not isinstance(error, LevanteError):
                logger.exception("no stream begins at %s, because of an error", scope["path"][:200])
            if isinstance(error, Unauthenticated):
                logger.warning("API key refused: %s (%s)", _shown_key(scope), (scope.get("client") or ("",))[0])
            await _refuse(send, answer_to(error))
        else:
            match found:
                case BegunHistory():
                    await self._send_history(found, send)
                case LogReader():
                    await self._stream(key, self._send_log(found, send), receive, send)
                case tail, selection:
                    await self._stream(key, self._send_events(tail, selection, send), receive, send)
                case _:
                    assert_never(found)

    async def _find(self, scope: Scope, workspace: Workspace) -> BegunHistory | LogReader | tuple[Tail, Selection]:
        """Return what a request asks for: a history, or a stream and the reader's place in it. Raises: LevanteError."""
        query = scope["query_string"].decode("latin-1")
        path = unquote(scope["path"])
        execution_id, run_id = history_in(path)
        if scope["method"] != "GET" or not (execution_id or run_id or is_stream(path)):
            raise NotFound(f"there is no stream at {scope['method']} {scope['path'][:200]}")
        if execution_id:
            return await self._begun(await self._run(self._services.histories.show, workspace, execution_id))
        if run_id:
            return await self._begun(await self._run(self._services.histories.show_run, workspace, run_id))
        last_event_id = _header(scope, b"last-event-id")
        if any(log_stream_in(path)):
            return await self._run(open_log, self._services.logs, workspace, path, query, last_event_id)
        selection = select(path, query, last_event_id)
        return await self._run(self._open, workspace, selection), selection

    def _hold(self, reader: str, held: ExitStack) -> None:
        """Count a stream until it ends. Raises: TooManyStreams."""
        if self._reading[reader] >= MOST_STREAMS:
            raise TooManyStreams(f"{MOST_STREAMS} streams are open with this API key: close some, or come again later")
        self._reading[reader] += 1
        held.callback(self._release, reader)

    def _release(self, reader: str) -> None:
        self._reading[reader] -= 1
        if not self._reading[reader]:
            del self._reading[reader]

    def _admit(self, scope: Scope) -> ApiKey:
        """Say whose streams the caller may read. Raises: Unauthenticated, Forbidden."""
        query = scope["query_string"].decode("latin-1")
        if ticket := ticket_in(query):
            digest = self._services.tickets.redeem(ticket, ticket_purpose(unquote(scope["path"]), query))
            return self._services.api_keys.renewed(digest)
        scheme, _, secret = (_header(scope, b"authorization") or "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("send an API key in the header `Authorization: Bearer <key>`")
        key = self._services.api_keys.authenticate(secret.strip())
        require(key, Role.CLIENT, Role.VIEWER, Role.WORKER)
        require_unbound(key)
        return key

    def _open(self, workspace: Workspace, selection: Selection) -> Tail:
        tail = self._services.tails.open(workspace, selection.execution_id, selection.first)
        if selection.source is not EventSource.HYBRID:
            self._services.streams.publish(workspace, tail.root)
        if selection.source is EventSource.LIVE and not selection.is_resumed:
            tail.next = self._services.streams.next(workspace, tail.root)
        return tail

    async def _begun(self, history: ShownHistory) -> BegunHistory:
        """Read the first part of a history. Raises: LevanteError, which can be answered still."""
        parts = history_parts(history)
        return BegunHistory(await self._run(next, parts), parts)

    async def _send_history(self, history: BegunHistory, send: Send) -> None:
        head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send(_part(history.first))
        while (part := await self._run(next, history.rest, None)) is not None:
            await send(_part(part))
        await send({"type": "http.response.body", "body": b""})

    async def _stream(self, key: ApiKey, stream: Coroutine[Any, Any, None], receive: Receive, send: Send) -> None:
        """Stream until all is sent, the time is over, the reader has left, or its key is no longer good."""
        head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send(_part(retry_frame(RETRY_SECONDS)))
        streaming = asyncio.create_task(_streamed(stream, send))
        leaving = asyncio.create_task(_left(receive))
        losing = asyncio.create_task(self._key_lost(key))
        tasks = {streaming, leaving, losing}
        try:
            await asyncio.wait(tasks, timeout=self._settings.longest_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if losing.done() and not losing.cancelled():
            await _end_for_lost_key(losing.result(), send)
        else:
            await send({"type": "http.response.body", "body": b""})

    async def _key_lost(self, key: ApiKey) -> Unauthenticated:
        """Return when the key is no longer good, and why. While nobody can say, it counts as good.

        Cost: a read every `key_check_seconds`, which the readers with this key share.
        """
        while True:
            await asyncio.sleep(self._settings.key_check_seconds)
            try:
                await self._run(self._services.api_keys.renewed, key.digest)
            except Unauthenticated as error:
                return error
            except Exception as error:  # noqa: BLE001 - whatever the store has, it is not the reader's fault
                logger.warning("whether API key %s is still good cannot be said now: %s", key.key_id, loggable(error))

    async def _send_events(self, tail: Tail, selection: Selection, send: Send) -> None:
        with closing(tail):
            is_last = False
            while not is_last:
                frames, is_last = await self._next_frames(tail, selection)
                await send(_part(frames if is_last else frames or KEEP_ALIVE))

    async def _next_frames(self, tail: Tail, selection: Selection) -> tuple[bytes, bool]:
        """Wait for what is new. Returns it as it is sent, so that nothing else of it is kept while a slow reader takes it.

        The second value says whether it is the last.
        """
        is_past = selection.source is EventSource.DATABASE
        update: TailUpdate = await self._run(tail.wait, 0.0 if is_past else self._settings.keep_alive_seconds)
        wanted = [one for one in update.events if selection.admits(one.update)]
        frames = b"".join(self._frame(tail.workspace, one) for one in wanted)
        return frames, update.is_over or (is_past and not update.events)

    def _frame(self, workspace: Workspace, event: Sequenced) -> bytes:
        """Write an event, once for all who read it at about the same time."""
        frame = self._frames.get(event)
        if frame is None:
            frame = self._frames[event] = event_frame(workspace, event)
        return frame

    async def _send_log(self, reader: LogReader, send: Send) -> None:
        quiet = 0.0
        while True:
            is_open = await self._run(reader.is_open)
            lines = await self._run(self._services.logs.fresh, reader.tail)
            frames = await self._run(self._log_frames, reader, lines)
            if frames or not is_open or quiet >= self._settings.keep_alive_seconds:
                await send(_part(frames or KEEP_ALIVE))
                quiet = 0.0
            if not is_open:
                return
            await asyncio.sleep(LOG_SECONDS)
            quiet += LOG_SECONDS

    def _log_frames(self, reader: LogReader, lines: Sequence[tuple[str, LogLine]]) -> bytes:
        return b"".join(self._log_frame(reader, cursor, line) for cursor, line in lines)

    def _log_frame(self, reader: LogReader, cursor: str, line: LogLine) -> bytes:
        if line.execution_id and line.execution_id not in reader.traces:
            reader.traces[line.execution_id] = self._services.traces.ids(reader.tail.workspace, [line.execution_id]).get(
                line.execution_id, ""
            )
        return log_frame(cursor, record_of(line, reader.traces.get(line.execution_id or "", "")))


def history_parts(history: ShownHistory) -> Iterator[bytes]:
    """Write a history as JSON, the same as the API's, in parts of some PART_BYTES: it is not all there twice."""
    part = to_json(history.head)[:-1] + b',"events":['
    for number, event in enumerate(history.events()):
        part += (b"," if number else b"") + to_json(event, inf_nan_mode="null")
        if len(part) >= PART_BYTES:
            yield part
            part = b""
    yield part + b"]}"


async def _streamed(stream: Coroutine[Any, Any, None], send: Send) -> None:
    try:
        await stream
    except Exception as error:  # whatever ends a stream before its time, its reader must hear of it
        answer = answer_to(error)
        if not isinstance(error, LevanteError):
            logger.exception("a stream ends with an error")
        reason = "stream_error" if answer.status == 503 else "internal_error"  # noqa: PLR2004 - may be repeated
        await send(_part(error_frame(StreamProblem(error=str(answer.body["detail"]), reason=reason))))


async def _end_for_lost_key(error: Unauthenticated, send: Send) -> None:
    """Say why a stream ends. A reader that does not read is not waited for: its connection closes all the same."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FAREWELL_SECONDS):
            await send(_part(error_frame(StreamProblem(error=str(error), reason="stream_error"))))
            await send({"type": "http.response.body", "body": b""})


def _header(scope: Scope, wanted: bytes) -> str | None:
    found: list[bytes] = [value for name, value in scope["headers"] if name == wanted]
    return found[-1].decode("latin-1") if found else None


def _shown_key(scope: Scope) -> str:
    return (
        "a ticket"
        if ticket_in(scope["query_string"].decode("latin-1"))
        else shown_key(_header(scope, b"authorization") or "")
    )


async def _left(receive: Receive) -> None:
    """Return when the reader has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, answer: Answer) -> None:
    headers: Mapping[str, str] = {"content-type": "application/json", **answer.headers}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    with suppress(ConnectionError):
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": to_json(answer.body)})


def _part(body: bytes) -> MutableMapping[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}
