"""A small synchronous client of the HTTP API, on the standard library alone."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead
from ipaddress import ip_address
from types import MappingProxyType
from typing import IO, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from levante.cli.exits import CommandFailed, one_line
from levante_core.protocol.streams import TICKET_PARAMETER

REQUEST_SECONDS = 60.0
STREAM = "text/event-stream"
MOST_AT_ONCE = 100
"""How many executions or workflows one request may name. Source: REST contract, section 10 (read 2026-11-23)."""
SHOWN_CHARACTERS = 500
"""What is shown of an answer that is not one of the API's."""

TEMPORARY_STATUSES = frozenset({429, 500, 502, 503, 504})
"""Answers after which the same call may succeed. Source: REST contract, section 1.4 (read 2026-11-23)."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

_HOW_TO_GET_A_KEY = "`levante dev` prints the first one, `levante keys create` makes more"
_ADVICE: Mapping[int, str] = {401: f"set LEVANTE_API_KEY to a key that is not revoked ({_HOW_TO_GET_A_KEY})"}
NO_KEY = f"no API key: set LEVANTE_API_KEY ({_HOW_TO_GET_A_KEY})"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: as it was sent, and as JSON. An answer without content is "" and None."""

    text: str
    value: Any

    def field(self, name: str, kind: type) -> Any:
        """Return a field of the answer. Raises: CommandFailed if it is not there, so not the API's."""
        found = self.value.get(name) if isinstance(self.value, dict) else None
        if not isinstance(found, kind):
            raise not_levante(f"there is no {name!r} in {self.text}")
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return a list of objects that the answer holds. Raises: CommandFailed as `field`."""
        return [row for row in self.field(name, list) if isinstance(row, dict)]


class Client:
    """Calls the API with one key, which no redirect takes elsewhere."""

    def __init__(self, server_url: str, api_key: str) -> None:
        self._base = server_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self._opener = urllib.request.build_opener(_TicketsOnly(), *_proxies(self._base))

    def get(self, path: str, query: Mapping[str, Any] | None = None, *, seconds: float = REQUEST_SECONDS) -> Answer:
        """Read. query: lists repeat the key. Raises: CommandFailed."""
        return self._call("GET", _with_query(path, query), seconds=seconds)

    def post(self, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] = NO_HEADERS) -> Answer:
        """Post a JSON object, or nothing. Raises: CommandFailed."""
        return self._call("POST", path, body, headers)

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Put. Raises: CommandFailed."""
        return self._call("PUT", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change. Raises: CommandFailed."""
        return self._call("PATCH", path, body)

    def delete(self, path: str) -> Answer:
        """Delete. Raises: CommandFailed."""
        return self._call("DELETE", path)

    def lines(self, path: str, query: Mapping[str, Any], *, seconds: float = REQUEST_SECONDS) -> Iterator[str]:
        """Read a stream as it comes, line by line. seconds: of silence, at most. Raises: CommandFailed."""
        request = self._request("GET", _with_query(path, query), None, {"Accept": STREAM})
        with self._opened(request, seconds) as response:
            if response.headers.get_content_type() != STREAM:
                raise not_levante(f"the answer is no stream but {response.headers.get_content_type()}")
            for line in response:
                yield line.decode("utf-8", "replace").rstrip("\r\n")

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
        seconds: float = REQUEST_SECONDS,
    ) -> Answer:
        with self._opened(self._request(method, path, body, headers), seconds) as response:
            return _answer(response.read())

    def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]
    ) -> urllib.request.Request:
        content = None if body is None else json.dumps(body).encode()
        all_headers = {**self._headers, **({} if content is None else {"Content-Type": "application/json"}), **headers}
        return urllib.request.Request(self._base + path, content, all_headers, method=method)  # noqa: S310 - checked by options

    @contextmanager
    def _opened(self, request: urllib.request.Request, seconds: float) -> Iterator[HTTPResponse]:
        """Make a call, and say what goes wrong with it, also while its answer is read."""
        try:
            with self._opener.open(request, timeout=seconds) as response:
                yield response
        except urllib.error.HTTPError as error:
            with error:
                raise _refused(error) from None
        except (OSError, HTTPException) as error:
            raise self._out_of_reach(error, seconds) from None

    def _out_of_reach(self, error: Exception, seconds: float) -> CommandFailed:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        match reason:
            case TimeoutError():
                return CommandFailed(f"{self._base} did not answer within {seconds:.3g} s: try again", is_temporary=True)
            case socket.gaierror():
                host = urlsplit(self._base).hostname
                return CommandFailed(f"no host {host!r} is known here: check LEVANTE_SERVER_URL ({self._base})")
            case ssl.SSLError():
                return CommandFailed(f"no secure connection to {self._base} ({reason}): check LEVANTE_SERVER_URL")
            case OSError() | IncompleteRead():
                what, todo = "nothing answers at", "start it with `levante dev` or set LEVANTE_SERVER_URL"
                return CommandFailed(f"{what} {self._base} ({_said(reason)}): {todo}", is_temporary=True)
            case _:
                return not_levante(f"{self._base} gave no HTTP answer: {_said(reason)}")


def _with_query(path: str, query: Mapping[str, Any] | None) -> str:
    return path + (f"?{urlencode(query, doseq=True)}" if query else "")


def in_batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split names into as many as one request may hold."""
    for first in range(0, len(names), MOST_AT_ONCE):
        yield names[first : first + MOST_AT_ONCE]


def segment(text: str) -> str:
    """Quote a text for use as one segment of a path."""
    return quote(text, safe="")


def refusal(status: int, content: str) -> str:
    """Say in one line why the API refused a call, and what to do if that is known."""
    try:
        answer = json.loads(content)
        detail, code = answer["detail"], answer.get("code")
        if isinstance(detail, list):
            detail = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in detail)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        said = f"the API answered {status}: {content[:SHOWN_CHARACTERS].strip() or 'no reason was given'}"
    else:
        said = f"{detail} ({status} {code})" if code else f"{detail} ({status})"
    return one_line(f"{said}: {_ADVICE[status]}" if status in _ADVICE else said)


class _TicketsOnly(urllib.request.HTTPRedirectHandler):
    """Follows the API to where large answers are, without the key: a ticket is in the address.

    Other redirects are not the API's, and urllib would send the key along, to any host.
    """

    def redirect_request(  # noqa: PLR0917 - urllib's signature
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return what to ask for instead; None to take the redirect for the answer."""
        del fp, msg, headers
        parts = urlsplit(newurl)
        is_ours = code == HTTPStatus.TEMPORARY_REDIRECT and TICKET_PARAMETER in parse_qs(parts.query)
        if req.get_method() != "GET" or not is_ours or not (parts.scheme == "https" or _is_loopback(parts.hostname or "")):
            return None
        return urllib.request.Request(newurl)  # noqa: S310 - https, or this machine


def _proxies(base: str) -> list[urllib.request.BaseHandler]:
    """No proxy for what runs on this machine; elsewhere what the environment says."""
    return [urllib.request.ProxyHandler({})] if _is_loopback(urlsplit(base).hostname or "") else []


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _answer(content: bytes) -> Answer:
    text = content.decode("utf-8", "replace").strip()
    if not text:
        return Answer("", None)
    try:
        return Answer(text, json.loads(text))
    except (ValueError, RecursionError):
        raise not_levante(f"the answer is no JSON: {text}") from None


def _refused(error: urllib.error.HTTPError) -> CommandFailed:
    status, elsewhere = error.code, error.headers.get("Location")
    if elsewhere is not None and status // 100 == 3:  # noqa: PLR2004 - redirects
        return CommandFailed(f"the API is not here ({status}, redirects to {elsewhere}): correct LEVANTE_SERVER_URL")
    content = b""
    with suppress(OSError, HTTPException):
        content = error.read()
    text = refusal(status, content.decode("utf-8", "replace"))
    return CommandFailed(text, is_temporary=status in TEMPORARY_STATUSES)


def not_levante(problem: str) -> CommandFailed:
    """Return the error for an answer that the API never gives."""
    return CommandFailed(
        f"not what the API answers here (is it Levante at LEVANTE_SERVER_URL?): {problem[:SHOWN_CHARACTERS]}"
    )


def _said(reason: object) -> str:
    """Return what an error says, without the number."""
    text = reason.strerror if isinstance(reason, OSError) else None
    return text or str(reason) or type(reason).__name__
