"""Page tokens: a place in the order of one query, as text that travels through clients and comes back."""

import base64
import hashlib
import json
from collections.abc import Sequence

from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Query


def page_token(query: Query, place: Sequence[str]) -> str:
    """Return the token that continues the query after this place: a sort key, and what tells apart those that share it.

    Pages of one query may have different limits.
    """
    return base64.urlsafe_b64encode(json.dumps([_mark(query, place), *place]).encode()).decode()


def place_of(query: Query, token: str, parts: int) -> tuple[str, ...]:
    """Return the place in a token, which has so many parts.

    Raises: InvalidInput for a token of another query, where every bound counts, and for one that is not as it was made.
    """
    try:
        _, *place = json.loads(base64.urlsafe_b64decode(token))
        "".join(place).encode()  # raises for what is no text, or none that a store could take
    except (TypeError, ValueError):
        raise not_a_token() from None
    if len(place) != parts or token != page_token(query, place) or not query.first <= place[0] <= query.last:
        raise not_a_token()
    return tuple(place)


def not_a_token() -> InvalidInput:
    """Build the error. It does not say what is wrong with a token, because there is one thing to do about all of them."""
    return InvalidInput.at(("after",), "not a page token of this query: take it from the page before")


def _mark(query: Query, place: Sequence[str]) -> str:
    """Check against mistakes, not against malice: who makes a token up skips items of a listing that is open to them."""
    belongs_to = [query.index, query.partition, query.first, query.last, query.descending]
    return hashlib.sha256(json.dumps([belongs_to, list(place)]).encode()).hexdigest()[:16]
