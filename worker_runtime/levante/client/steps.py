"""What the client does, as generators that only say what is to be done next: the sync and the async client carry it out.

A generator yields effects; it is sent what came of each, or the ClientError is raised in it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

from levante.client import requests
from levante.client.answers import Answer, Response, answer_in
from levante.client.errors import AlreadyStarted, ClientError, ExecutionClosed, NotFound, Unavailable, Unreachable
from levante.client.requests import Request
from levante.client.settings import Connection, is_loopback
from levante_core.protocol.streams import TICKET_PARAMETER

REQUEST_SECONDS = 60.0
RETRY_SECONDS = 5.0
"""How long a call is made again while nothing answers, or the API cannot take it."""
FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 2.0
MOST_RETRY_AFTER_SECONDS = 60.0

T = TypeVar("T")


# --- effects ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    """Make a request. Gives a Response. address: instead of the server's, and then without the key."""

    request: Request
    seconds: float = REQUEST_SECONDS
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Compute:
    """Call a function that may take long. Gives what it returns."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Open:
    """Open a stream. Gives a Response if it is none, else None.

    seconds: of silence, at most. until: when it is left; None for never. address: as of `Send`.
    """

    request: Request
    seconds: float = REQUEST_SECONDS
    until: float | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Next:
    """Read the stream that is open. Gives a Frame, or None when it has ended and is closed."""


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream that is open."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What comes at once on a stream. id: where a reader goes on that comes again. data: None where nothing is told."""

    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand a frame to whoever reads."""

    frame: Frame


Effect: TypeAlias = Send | Pause | Compute | Open | Next | Close | Emit
Steps: TypeAlias = Generator[Effect, Any, T]


class StepDriver(Generic[T]):
    """Steps on their way. effect: what is to be done now; None once they are done, and `result` is there."""

    effect: Effect | None
    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._go_on(lambda: next(steps))

    def reply(self, value: Any) -> None:
        """Say what came of the effect. Raises: ClientError when that ends the steps."""
        self._go_on(lambda: self._steps.send(value))

    def fail(self, error: ClientError) -> None:
        """Say that it failed. Raises: ClientError when that ends the steps."""
        self._go_on(lambda: self._steps.throw(error))

    def _go_on(self, go: Callable[[], Effect]) -> None:
        try:
            self.effect = go()
        except StopIteration as stop:
            self.effect, self.result = None, stop.value


# --- calls ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Server:
    """What calls need. clock: seconds, only ever forward. retry_seconds: how long a call is made again in trouble."""

    connection: Connection
    clock: Callable[[], float]
    seconds: float = REQUEST_SECONDS
    retry_seconds: float = RETRY_SECONDS


def call(server: Server, request: Request, *, seconds: float | None = None, patience: float | None = None) -> Steps[Answer]:
    """Make a request, again while that may help and can do no harm.

    seconds, patience: instead of the server's. Raises: ClientError.
    """
    ends_at = server.clock() + (server.retry_seconds if patience is None else patience)
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            response = yield from _sent(request, server.seconds if seconds is None else seconds)
            return answer_in(response, server.connection.key_source)
        except (Unreachable, Unavailable) as error:
            can_be_repeated = request.is_repeatable or (isinstance(error, Unreachable) and not error.was_sent)
            wait = pause_after(error, pause)
            if not (error.is_temporary and can_be_repeated) or server.clock() + wait > ends_at:
                raise
        yield Pause(wait)
        pause = min(2 * pause, LAST_PAUSE_SECONDS)


def pause_after(error: ClientError, pause: float) -> float:
    """Return how long to wait after an error: as long as the API asks for, if it does."""
    asked = error.retry_after if isinstance(error, Unavailable) else None
    return pause if asked is None else max(pause, min(asked, MOST_RETRY_AFTER_SECONDS))


def _sent(request: Request, seconds: float) -> Steps[Response]:
    """Make a request, and follow the API to where it sends large answers."""
    response: Response = yield Send(request, seconds)
    address = ticket_address(request, response)
    if address is not None:
        response = yield Send(request, seconds, address)
    return response


def ticket_address(request: Request, response: Response) -> str | None:
    """Return where the API leads to with a ticket in the address; None for any other redirect, which is not the API's.

    The key stays behind: the ticket is enough, and the address may be any host.
    """
    location = response.headers.get("location", "")
    if response.status != 307 or request.method != "GET":  # noqa: PLR2004 - the API redirects in no other way
        return None
    parts = urlsplit(location)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    return location if is_safe and TICKET_PARAMETER in parse_qs(parts.query) else None


def start(
    server: Server, request: Request, execution_id: str, *, is_id_ours: bool, seconds: float | None = None
) -> Steps[Answer]:
    """Start an execution once, however often the answer is lost.

    is_id_ours: nobody else can have started an execution with this id. Returns the answer to the start, or the execution
    as it is shown. Raises: ClientError.
    """
    ends_at = server.clock() + server.retry_seconds
    pause, is_unsure = FIRST_PAUSE_SECONDS, False
    while True:
        try:
            return (yield from call(server, request, seconds=seconds))
        except (Unreachable, Unavailable) as error:
            if not error.is_temporary or server.clock() + pause > ends_at or not is_unsure_after(error):
                raise
            is_unsure = True
            yield Pause(pause_after(error, pause))
        except AlreadyStarted:
            if not (is_unsure and is_id_ours):
                raise
            return (yield from call(server, requests.describe(execution_id)))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
        found = yield from _started_after_all(server, execution_id, is_id_ours=is_id_ours)
        if found is not None:
            return found


def is_unsure_after(error: ClientError) -> bool:
    """Tell whether what was asked for may have been done all the same."""
    return isinstance(error, Unavailable) or (isinstance(error, Unreachable) and error.was_sent)


def _started_after_all(server: Server, execution_id: str, *, is_id_ours: bool) -> Steps[Answer | None]:
    """Return the execution whose start got no answer, if it is there. Raises: Unreachable where it may be another one's."""
    try:
        found = yield from call(server, requests.describe(execution_id))
    except NotFound:
        return None
    if not is_id_ours:
        problem = f"the start of execution {execution_id} got no answer, and an execution with this id is there"
        hint = "whether this call started it is not known: see `handle(execution_id).describe()`"
        raise Unreachable(f"{problem}; {hint}", was_sent=True, is_temporary=False)
    return found


def end(server: Server, execution_id: str, verb: str) -> Steps[None]:
    """Cancel or terminate an execution. One that has ended when a lost call is made again has ended because of it."""
    is_unsure = False
    ends_at = server.clock() + server.retry_seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            yield from call(server, requests.end(execution_id, verb), patience=0)
        except ExecutionClosed:
            if not is_unsure:
                raise
        except (Unreachable, Unavailable) as error:
            wait = pause_after(error, pause)
            if not error.is_temporary or server.clock() + wait > ends_at:
                raise
            is_unsure = is_unsure or is_unsure_after(error)
            yield Pause(wait)
            pause = min(2 * pause, LAST_PAUSE_SECONDS)
            continue
        return
