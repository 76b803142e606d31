"""Pages of what was filtered: full until the last one, because the official client stops at the first short page."""

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Item, Page

T = TypeVar("T")

_CHUNK = 100


@contextmanager
def token_named(parameter: str, *others: str) -> Iterator[None]:
    """Say of a page token that is refused which query parameter it came in. others: what it is called further inside."""
    try:
        yield
    except InvalidInput as error:
        if error.problems[0]["loc"][-1] not in {"after", *others}:
            raise
        raise InvalidInput.at(("query", parameter), error.problems[0]["msg"]) from None


def filled_page(
    fetch: Callable[[int, str | None], Page], keep: Callable[[Item], T | None], limit: int, after: str | None
) -> tuple[list[T], str | None]:
    """Fetch items until `limit` of them are kept, or there are no more. Returns what was kept, and the token for the rest.

    fetch(limit, after): the pages of the store. keep: None leaves an item out.
    """
    kept: list[T] = []
    size = _CHUNK
    while True:
        page = fetch(size, after)
        wanted = limit - len(kept)
        found = [(position, row) for position, item in enumerate(page.items, 1) if (row := keep(item)) is not None]
        if len(found) > wanted:
            size = found[wanted - 1][0]  # a token stands after the last item of a page, so let that be the last one wanted
            continue
        kept += [row for _, row in found]
        after, size = page.next, _CHUNK
        if after is None or len(kept) == limit:
            return kept, after


def page_of(
    rows: Sequence[T], place: Callable[[T], str], limit: int | None, cursor: str | None
) -> tuple[list[T], str | None]:
    """Take a page out of rows that are all at hand. place: unique, and what a cursor remembers of the last row seen.

    A cursor whose row has gone meanwhile is refused: the caller begins anew, and misses nothing.
    """
    first = 0
    if cursor:
        places = [place(row) for row in rows]
        if (last_seen := _read(cursor)) not in places:
            raise InvalidInput.at(
                ("query", "cursor"), "not a cursor of this listing, or one whose place is gone: begin anew"
            )
        first = places.index(last_seen) + 1
    page = list(rows[first : None if limit is None else first + limit])
    more = first + len(page) < len(rows)
    return page, base64.urlsafe_b64encode(json.dumps(place(page[-1])).encode()).decode() if more and page else None


def _read(cursor: str) -> str | None:
    try:
        last_seen = json.loads(base64.urlsafe_b64decode(cursor))
    except ValueError:
        return None
    return last_seen if isinstance(last_seen, str) else None
