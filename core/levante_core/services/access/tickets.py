"""Tickets: short-lived secrets that let a caller go on at another address, where its API key is not sent."""

from datetime import timedelta

from levante_core.errors import Unauthenticated
from levante_core.ports.item_store import EXPIRES_AT, Absent, Item, ItemStore, Put, Scalar
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.access.api_keys import digest_of
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey
from levante_core.storage.decoding import number, reader, text

VALID_FOR = timedelta(minutes=1)
"""Time to follow a redirect; what was opened with a ticket stays open."""


class TicketService:
    """Makes tickets, and says what they are for.

    A ticket may be used again while it is valid, for the same purpose: proxies repeat a GET whose answer was lost, and the
    client would take the refusal for a final one (docs/decisions/0016).
    """

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids

    def issue(self, key: ApiKey, purpose: str) -> str:
        """Make a ticket for one purpose, which opens what its key does, and no longer than that is good.

        Returns its secret. Cost: one write; the item expires by itself.
        """
        secret = self._ids.secret()
        expires_at = int((self._clock.now() + VALID_FOR).timestamp())
        attributes: dict[str, Scalar] = {"key_digest": key.digest, "purpose": purpose, EXPIRES_AT: expires_at}
        self._store.write(Put(Item(keys.ticket(digest_of(secret)), attributes), Absent()))
        return secret

    def redeem(self, secret: str, purpose: str) -> str:
        """Return the digest of the key that a ticket was given for. Raises: Unauthenticated. Cost: one read."""
        item = self._store.get(keys.ticket(digest_of(secret)))
        if item is None or item.attributes.get("purpose") != purpose or "key_digest" not in item.attributes:
            raise Unauthenticated("this ticket is not known here: follow the redirect anew")
        expires_at, key_digest = _read(item)
        if expires_at < self._clock.now().timestamp():
            raise Unauthenticated("this ticket has expired: follow the redirect anew")
        return key_digest


@reader
def _read(item: Item) -> tuple[int, str]:
    return number(item.attributes, EXPIRES_AT), text(item.attributes, "key_digest")
