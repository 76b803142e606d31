"""Texts that only this installation can have made: what is signed comes back unchanged, or is refused."""

import base64
import hashlib
import hmac
import json
from contextlib import suppress

from levante_core.domain.frozen import Json
from levante_core.errors import InvalidCapability
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Key, Put
from levante_core.ports.surroundings import Ids

_KEY = Key("CAPABILITIES", "K")


class Capabilities:
    """Signs with a key of the installation, which is made when it is first needed and read once per process."""

    def __init__(self, store: ItemStore, ids: Ids) -> None:
        self._store = store
        self._ids = ids
        self._key: bytes | None = None

    def sign(self, kind: str, claims: Json) -> str:
        """Return a text that `read` takes, for this kind alone."""
        body = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode()).decode().rstrip("=")
        return f"{body}.{self._mac(kind, body)}"

    def read(self, kind: str, text: str) -> Json:
        """Return the claims. Raises: InvalidCapability."""
        body, _, mac = text.partition(".")
        if not text.isascii() or not hmac.compare_digest(mac, self._mac(kind, body)):
            raise InvalidCapability(f"this is no {kind} of this installation")
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    def _mac(self, kind: str, body: str) -> str:
        if self._key is None:
            self._key = self._stored_key()
        digest = hmac.new(self._key, f"{kind}.{body}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def _stored_key(self) -> bytes:
        item = self._store.get(_KEY)
        if item is None:
            with suppress(ConditionFailed):
                self._store.write(Put(Item(_KEY, {"secret": self._ids.secret()}), Absent()))
            item = self._store.get(_KEY)
        return str(item.attributes["secret"] if item else "").encode()
