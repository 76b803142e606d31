"""Between ASGI and the events of an API Gateway HTTP API, payload format 2.0.

Source: API Gateway developer guide, Lambda proxy integrations for HTTP APIs (read 2026-11-23).
"""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import parse_qsl
from uuid import uuid4

from levante_core.domain.limits import MAX_BODY_BYTES

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LONGEST_LENGTH = 19
"""Digits of a Content-Length that is looked at."""
PART_BYTES = 256 * 1024
"""Of an answer, sent at a time."""


class ClientGone(Exception):
    """The caller closed the connection."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer of the host itself, in the form of the API's errors. headers: in lower case."""

    status: int
    code: str
    detail: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self) -> dict[str, Any]:
        """Write it as a handler's answer."""
        body = json.dumps({"detail": self.detail, "code": self.code})
        return {"statusCode": self.status, "headers": {"content-type": "application/json", **self.headers}, "body": body}


TOO_LARGE = Refusal(413, "TOO_LARGE", "the body is larger than 6 MB: put the data elsewhere and pass a reference")


class BodyTooLarge(Exception):
    """The body is more than a Lambda function takes."""


def declared_bytes(scope: Scope) -> int:
    """Say how large the body of a request may become: as it declares, or as large as any if it does not say.

    Raises: BodyTooLarge.
    """
    headers = dict(scope["headers"])
    if b"transfer-encoding" in headers:
        return MAX_BODY_BYTES
    length = headers.get(b"content-length", b"0")
    size = int(length) if length.isdigit() and len(length) <= LONGEST_LENGTH else MAX_BODY_BYTES + 1
    if size > MAX_BODY_BYTES:
        raise BodyTooLarge
    return size


async def read_body(receive: Receive) -> bytes:
    """Read the whole body. Raises: ClientGone, BodyTooLarge as soon as it is."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        if not message.get("more_body"):
            return bytes(body)


def event_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """Write a request as the event that the gateway would send."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    query_string = scope["query_string"].decode("latin-1")
    text, is_base64 = _text(body)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": scope["path"],
        "rawQueryString": query_string,
        "headers": headers,
        "requestContext": {
            "http": {
                "method": scope["method"],
                "path": scope["path"],
                "protocol": f"HTTP/{scope['http_version']}",
                "sourceIp": (scope.get("client") or ("",))[0],
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid4().hex,
            "routeKey": "$default",
            "stage": "$default",
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }
    if query_string:
        query: dict[str, str] = {}
        for name, value in parse_qsl(query_string, keep_blank_values=True):
            query[name] = f"{query[name]},{value}" if name in query else value
        event["queryStringParameters"] = query
    return event


async def respond(send: Send, answer: Mapping[str, Any]) -> None:
    """Send a handler's answer, in parts: the next one leaves when the caller has taken the one before."""
    body = answer.get("body") or ""
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer["headers"].items()]
    if content or answer["statusCode"] != 204:  # noqa: PLR2004 - a response without a body
        headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": answer["statusCode"], "headers": headers})
    for start in range(0, max(len(content), 1), PART_BYTES):
        part = content[start : start + PART_BYTES]
        await send({"type": "http.response.body", "body": part, "more_body": start + PART_BYTES < len(content)})


def _text(body: bytes) -> tuple[str | None, bool]:
    if not body:
        return None, False
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True
