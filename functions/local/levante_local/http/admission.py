"""What every request passes before a handler sees it: its key, then the size of its body."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json

from levante_api.console.site import is_console
from levante_core.answers import answer_to
from levante_core.errors import Unauthenticated, loggable
from levante_core.services.access.api_keys import ApiKeyService, shown_key
from levante_core.storage.catalogue import ApiKey
from levante_local.http.body_room import BodyRoom, NoRoom, RoomLimits
from levante_local.http.gateway import (
    TOO_LARGE,
    BodyTooLarge,
    Receive,
    Refusal,
    Scope,
    Send,
    declared_bytes,
    read_body,
)
from levante_local.http.refused_keys import GuessLimits, RefusedKeys

logger = logging.getLogger("levante.host")

OPEN = frozenset({("GET", "/v1/health"), ("GET", "/openapi.json")})
"""What needs no key, and gets no body."""
TOO_BUSY = Refusal(503, "TOO_BUSY", "other requests hold as much memory as they may: try again", {"retry-after": "1"})


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Of bodies in memory, and of refused keys."""

    room: RoomLimits = field(default_factory=RoomLimits)
    guesses: GuessLimits = field(default_factory=GuessLimits)


class Admission:
    """Reads the keys of requests, and the bodies of those whose key is good."""

    def __init__(self, api_keys: ApiKeyService, limits: AdmissionLimits) -> None:
        self._api_keys = api_keys
        self._room = BodyRoom(limits.room)
        self._refused_keys = RefusedKeys(limits.guesses)

    def watched(self, scope: Scope, send: Send) -> Send:
        """Wrap what answers a request: an answer that refuses its key is counted, and may wait."""
        return self._refused_keys.slowing(scope, send, shown_key(_authorization(scope)))

    def key_of(self, scope: Scope) -> ApiKey | None:
        """Return the key of a request; None where none is needed. Raises: Unauthenticated."""
        method, path = scope["method"], scope["path"]
        if (method, path) in OPEN or is_console(method, path, _header(scope, b"accept")):
            return None
        scheme, _, secret = _authorization(scope).partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Unauthenticated("send an API key in the header `Authorization: Bearer <key>`")
        return self._api_keys.authenticate(secret.strip())

    def is_good(self, key: ApiKey) -> bool:
        """Tell whether a key that was good a while ago still is. While the store cannot say, it counts as good."""
        try:
            self._api_keys.renewed(key.digest)
        except Unauthenticated:
            return False
        except Exception as error:  # noqa: BLE001 - whatever the store has, it is not the caller's fault
            logger.warning("whether API key %s is still good cannot be said now: %s", key.key_id, loggable(error))
        return True

    @asynccontextmanager
    async def body(self, scope: Scope, receive: Receive, key: ApiKey | None) -> AsyncIterator[bytes]:
        """Read the body, and hold room for it inside the block. Raises: ClientGone, BodyTooLarge, NoRoom."""
        if key is None:
            yield b""
            return
        async with self._room.held(key.key_id, declared_bytes(scope)):
            yield await read_body(receive)


def refusal_of(error: Exception) -> dict[str, Any]:
    """Write the answer to what went wrong before the handlers. Anything unknown is logged, and an internal error."""
    match error:
        case BodyTooLarge():
            return TOO_LARGE.answer()
        case NoRoom():
            return TOO_BUSY.answer()
        case _:
            answer = answer_to(error)
    if answer.status >= 500:  # noqa: PLR2004 - the fault is not the caller's
        logger.error("a request failed before its handler: %s", loggable(error), exc_info=error)
    headers = {"content-type": "application/json", **answer.headers}
    return {"statusCode": answer.status, "headers": headers, "body": to_json(answer.body).decode()}


def _authorization(scope: Scope) -> str:
    return _header(scope, b"authorization")


def _header(scope: Scope, wanted: bytes) -> str:
    found = [value for name, value in scope["headers"] if name == wanted]
    return ",".join(value.decode("latin-1") for value in found)
