"""Requests, responses and errors of the HTTP library, from and to the client's own."""

from __future__ import annotations

import json
import socket
import ssl
from functools import cache
from urllib.parse import urlsplit

import httpx
from httpx_sse import ServerSentEvent

from levante.client.answers import Response
from levante.client.errors import ClientError, TimedOut, UnexpectedAnswer, Unreachable
from levante.client.requests import EVENT_STREAM_TYPE
from levante.client.settings import Connection
from levante.client.steps import Frame, Open, Send

CONNECT_SECONDS = 10.0
_LOST = ("Server disconnected", "peer closed connection")
"""How the library says that a connection broke off. Anything else that it finds wrong with an answer is no HTTP."""


def trusted_by(connection: Connection) -> ssl.SSLContext:
    """Return whose certificates are believed: nobody's where the server is on this machine and spoken to without TLS.

    The list of those that are takes 40 ms to read, as long as all the rest of a command.
    """
    if connection.is_local and urlsplit(connection.server_url).scheme == "http":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _trusted_by_all()


@cache
def _trusted_by_all() -> ssl.SSLContext:
    return httpx.create_ssl_context()


def built(client: httpx.Client | httpx.AsyncClient, connection: Connection, wanted: Send | Open) -> httpx.Request:
    """Return a request as it is sent: with the key, but for another address than the server's."""
    request, is_stream_wanted = wanted.request, isinstance(wanted, Open)
    headers = {"Accept": EVENT_STREAM_TYPE if is_stream_wanted else "application/json", **request.headers}
    if wanted.address is None:
        headers["Authorization"] = f"Bearer {connection.api_key}"
    content = None if request.body is None else json.dumps(request.body).encode()
    if content is not None:
        headers["Content-Type"] = "application/json"
    return client.build_request(
        request.method,
        wanted.address or connection.server_url + request.target,
        content=content,
        headers=headers,
        timeout=httpx.Timeout(wanted.seconds, connect=min(wanted.seconds, CONNECT_SECONDS)),
    )


def response_of(response: httpx.Response) -> Response:
    """Return what of a response is needed; it has been read."""
    return Response(
        response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content
    )


def is_stream(response: httpx.Response) -> bool:
    """Tell whether events come."""
    kind: str = response.headers.get("content-type", "")
    return response.status_code == httpx.codes.OK and kind.partition(";")[0].strip() == EVENT_STREAM_TYPE


def frame_of(event: ServerSentEvent) -> Frame:
    """Return a server-sent event; the library makes "" of what is not there, and "message" of no event."""
    retry = None if event.retry is None else event.retry / 1000
    return Frame(event.id or None, event.event if event.event != "message" else None, event.data or None, retry)


def trouble(error: httpx.HTTPError, connection: Connection, seconds: float) -> ClientError:
    """Return the error for a call that got no answer, or broke off within it."""
    url, reason = connection.server_url, _reason(error)
    match error:
        case httpx.ReadTimeout() | httpx.WriteTimeout():
            return TimedOut(f"{url} did not answer within {seconds:.3g} s: try again", was_sent=True)
        case httpx.RemoteProtocolError() if not str(error).startswith(_LOST):
            return UnexpectedAnswer(f"{url} gave no HTTP answer: {error}")
        case httpx.DecodingError() | httpx.TooManyRedirects():
            return UnexpectedAnswer(f"{url} gave no answer that can be read: {error}")
        case httpx.ReadError() | httpx.WriteError() | httpx.CloseError() | httpx.ProtocolError():
            todo = "try again; if it stays so, is it Levante at LEVANTE_SERVER_URL?"
            return Unreachable(f"the connection to {url} broke off ({_said(reason).rstrip('.')}): {todo}", was_sent=True)
        case _:
            return _not_connected(url, reason)


def _not_connected(url: str, reason: BaseException) -> Unreachable:
    match reason:
        case socket.gaierror():
            problem = f"no host {urlsplit(url).hostname!r} is known here: check LEVANTE_SERVER_URL ({url})"
            return Unreachable(problem, was_sent=False, is_temporary=False)
        case ssl.SSLError():
            problem = f"no secure connection to {url} ({reason}): check LEVANTE_SERVER_URL"
            return Unreachable(problem, was_sent=False, is_temporary=False)
        case _:
            todo = "start it with `levante dev` or set LEVANTE_SERVER_URL"
            return Unreachable(f"nothing answers at {url} ({_said(reason)}): {todo}", was_sent=False)


def _reason(error: BaseException) -> BaseException:
    """Return what the operating system or the TLS library said, which HTTP libraries wrap several times."""
    while not isinstance(error, OSError):
        within = error.__cause__ or error.__context__
        if within is None:
            return error
        error = within
    return error


def _said(reason: BaseException) -> str:
    text = reason.strerror if isinstance(reason, OSError) else None
    return text or str(reason) or type(reason).__name__
