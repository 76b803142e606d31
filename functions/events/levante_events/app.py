"""The ASGI application that streams events: unchanged behind the Lambda Web Adapter and in the one-machine host.

It also tells histories that are larger than an answer of the API can be.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import unquote
from weakref import WeakKeyDictionary

from pydantic_core import to_json

from levante_core.answers import Answer, answer_to
from levante_core.domain.names import Workspace
from levante_core.errors import LevanteError, NotFound, TooManyStreams, Unauthenticated
from levante_core.protocol.logs import LogLine, log_stream_in, record_of
from levante_core.protocol.stream_messages import EventSource, StreamProblem
from levante_core.protocol.streams import STREAM_TICKET, history_in, is_stream
from levante_core.records.catalogue import Role
from levante_core.services.api_keys import ApiKeyService, require
from levante_core.services.histories import HistoryService, ShownHistory
from levante_core.services.logs import LogService
from levante_core.services.streams import Sequenced, StreamService
from levante_core.services.tails import Tail, TailService, Tidings
from levante_core.services.tickets import TicketService
from levante_core.services.traces import TraceService
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
MOST_STREAMS = 200
"""Streams and histories that one API key reads at a time in one process; callers with a ticket count by their workspace."""
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
    """longest_seconds: a stream ends after this, and its reader comes again; None for no limit."""

    keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    longest_seconds: float | None = None


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
            found = await self._find(scope, held)
        except NoExecution as error:
            await _refuse(send, Answer(400, {"detail": str(error), "code": "WF_1001"}))
        except Exception as error:  # nothing is sent yet: whatever it is, the caller gets an answer
            if not isinstance(error, LevanteError):
                logger.exception("no stream begins at %s, because of an error", scope["path"][:200])
            await _refuse(send, answer_to(error))
        else:
            match found:
                case ShownHistory():
                    await self._tell_history(found, send)
                case LogReader():
                    await self._stream(self._tell_log(found, send), receive, send)
                case tail, selection:
                    await self._stream(self._tell(tail, selection, send), receive, send)

    async def _find(self, scope: Scope, held: ExitStack) -> ShownHistory | LogReader | tuple[Tail, Selection]:
        """Return what a request asks for: a history, or a stream and the reader's place in it. Raises: LevanteError."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        path = unquote(scope["path"])
        execution_id, run_id = history_in(path)
        if scope["method"] != "GET" or not (execution_id or run_id or is_stream(path)):
            raise NotFound(f"there is no stream at {scope['method']} {scope['path'][:200]}")
        workspace, reader = await self._run(self._admit, headers.get("authorization", ""), ticket_in(query))
        self._hold(reader, held)
        if execution_id:
            return await self._run(self._services.histories.show, workspace, execution_id)
        if run_id:
            return await self._run(self._services.histories.show_run, workspace, run_id)
        if any(log_stream_in(path)):
            return await self._run(open_log, self._services.logs, workspace, path, query, headers.get("last-event-id"))
        selection = select(path, query, headers.get("last-event-id"))
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

    def _admit(self, authorization: str, ticket: str | None) -> tuple[Workspace, str]:
        """Say whose streams the caller may read, and as whom it is counted. Raises: Unauthenticated, Forbidden."""
        if ticket:
            workspace = self._services.tickets.redeem(ticket, STREAM_TICKET)
            return workspace, f"workspace {workspace}"
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("send an API key in the header `Authorization: Bearer <key>`")
        key = self._services.api_keys.authenticate(secret.strip())
        require(key, Role.CLIENT, Role.WORKER)
        return key.workspace, key.key_id

    def _open(self, workspace: Workspace, selection: Selection) -> Tail:
        tail = self._services.tails.open(workspace, selection.execution_id, selection.first)
        if selection.source is not EventSource.HYBRID:
            self._services.streams.publish(workspace, tail.root)
        if selection.source is EventSource.LIVE and not selection.is_resumed:
            tail.next = self._services.streams.next(workspace, tail.root)
        return tail

    async def _tell_history(self, history: ShownHistory, send: Send) -> None:
        head = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        parts = history_parts(history)
        while (part := await self._run(next, parts, None)) is not None:
            await send(_part(part))
        await send({"type": "http.response.body", "body": b""})

    async def _stream(self, tell: Coroutine[Any, Any, None], receive: Receive, send: Send) -> None:
        """Stream until all is told, the time is over, or the reader has left."""
        head = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send(_part(retry_frame(RETRY_SECONDS)))
        telling = asyncio.create_task(_told(tell, send))
        leaving = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait(
                {telling, leaving}, timeout=self._settings.longest_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            telling.cancel()
            leaving.cancel()
            await asyncio.gather(telling, leaving, return_exceptions=True)
        await send({"type": "http.response.body", "body": b""})

    async def _tell(self, tail: Tail, selection: Selection, send: Send) -> None:
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
        tidings: Tidings = await self._run(tail.wait, 0.0 if is_past else self._settings.keep_alive_seconds)
        wanted = [one for one in tidings.events if selection.admits(one.told)]
        frames = b"".join(self._frame(tail.workspace, one) for one in wanted)
        return frames, tidings.is_over or (is_past and not tidings.events)

    def _frame(self, workspace: Workspace, event: Sequenced) -> bytes:
        """Write an event, once for all who read it at about the same time."""
        frame = self._frames.get(event)
        if frame is None:
            frame = self._frames[event] = event_frame(workspace, event)
        return frame

    async def _tell_log(self, reader: LogReader, send: Send) -> None:
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


async def _told(tell: Coroutine[Any, Any, None], send: Send) -> None:
    try:
        await tell
    except Exception as error:  # whatever ends a stream before its time, its reader must hear of it
        answer = answer_to(error)
        if not isinstance(error, LevanteError):
            logger.exception("a stream ends with an error")
        reason = "stream_error" if answer.status == 503 else "internal_error"  # noqa: PLR2004 - may be repeated
        await send(_part(error_frame(StreamProblem(error=str(answer.body["detail"]), reason=reason))))


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
