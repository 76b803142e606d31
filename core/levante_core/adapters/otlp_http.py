"""Sending traces by OTLP over HTTP, in JSON. Source: OpenTelemetry protocol 1.9 (read 2026-11-24)."""

import http.client
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from levante_core.services.trace_export import SendSpans

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
TIMEOUT_SECONDS = 3.0


class WrongEndpoint(ValueError):
    """What the environment says of the collector cannot be used."""


def span_sender(environment: Mapping[str, str]) -> SendSpans | None:
    """Read where traces go from OpenTelemetry's own variables; None if nowhere.

    OTEL_EXPORTER_OTLP_ENDPOINT: a base URL, to which `/v1/traces` is added. OTEL_EXPORTER_OTLP_HEADERS: `name=value,...`,
    such as a key of the collector. Raises: WrongEndpoint.
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

    return send


def _headers(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(",") if part.strip())
    headers = {name.strip(): unquote(value.strip()) for name, _, value in pairs}
    if not all(headers) or not all(headers.values()):
        raise WrongEndpoint(f"{HEADERS} takes name=value pairs with commas between them")
    return headers
