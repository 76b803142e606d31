"""Sending traces by OTLP over HTTP, in JSON. Source: OpenTelemetry protocol 1.9 (read 2026-11-24)."""

import http.client
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from urllib.parse import unquote, urlsplit

from levante_core.services.observability.export import SendSpans

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
TIMEOUT_SECONDS = 3.0
MOST_WAITING = 100
MOST_WAITING_BYTES = 32 * 1024 * 1024
"""So many requests, and bytes in them, wait for a slow collector; further ones are dropped, and so is what comes within a
minute."""


class WrongEndpoint(ValueError):
    """What the environment says of the collector cannot be used."""


def span_sender(environment: Mapping[str, str], *, wait_seconds: float = 0.0) -> SendSpans | None:
    """Read where traces go from OpenTelemetry's own variables; None if nowhere.

    OTEL_EXPORTER_OTLP_ENDPOINT: a base URL, to which `/v1/traces` is added. OTEL_EXPORTER_OTLP_HEADERS: `name=value,...`,
    such as a key of the collector. wait_seconds: see Background. Raises: WrongEndpoint.
    """
    endpoint = environment.get(ENDPOINT)
    if not endpoint:
        return None
    url = urlsplit(endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise WrongEndpoint(f"{ENDPOINT} is {endpoint!r}: it takes a URL such as http://127.0.0.1:4318")
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    host, path = url.netloc.rpartition("@")[2], f"{url.path.rstrip('/')}/v1/traces"
    headers = {"Content-Type": "application/json", **_headers(environment.get(HEADERS, ""))}

    def send(body: bytes) -> None:
        connection = connect(host, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            if answer.status >= 300:  # noqa: PLR2004
                raise OSError(f"the collector answered {answer.status}")
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    return Background(send, wait_seconds)


class Background:
    """Sends on a thread of its own, in order, so that a collector that is slow holds up nobody.

    wait_seconds: how long a caller waits for what it sends. A Lambda function stands still once it has answered, and goes on
    sending with the next event at best, so it waits a little; a host need not. What fails later is raised by the next call.
    """

    def __init__(self, send: SendSpans, wait_seconds: float) -> None:
        self._send = send
        self._wait_seconds = wait_seconds
        self._thread = ThreadPoolExecutor(1, "levante-traces")
        self._waiting: deque[tuple[Future[None], int]] = deque()

    def __call__(self, body: bytes) -> None:
        """Send a body. Raises: OSError if it, or one before it, could not be sent, or too many wait."""
        while self._waiting and self._waiting[0][0].done():
            _settle(self._waiting.popleft()[0])
        waiting_bytes = sum(size for _, size in self._waiting)
        if len(self._waiting) >= MOST_WAITING or waiting_bytes + len(body) > MOST_WAITING_BYTES:
            raise OSError(f"the collector is slow: {len(self._waiting)} requests of {waiting_bytes:,} bytes wait for it")
        sent = self._thread.submit(self._send, body)
        self._waiting.append((sent, len(body)))
        if self._wait_seconds:
            wait([sent], self._wait_seconds)
            if not sent.done():
                raise OSError(f"the collector took longer than {self._wait_seconds:g} s")
            self._waiting.remove((sent, len(body)))
            _settle(sent)


def _settle(sent: Future[None]) -> None:
    """Raises: OSError if it could not be sent."""
    if error := sent.exception():
        raise OSError(str(error)) from error


def _headers(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    headers = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    if not all(headers) or not all(headers.values()):
        raise WrongEndpoint(f"{HEADERS} takes name=value pairs with commas between them")
    return headers
