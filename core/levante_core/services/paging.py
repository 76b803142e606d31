"""Listings that filter: what one request reads is bounded, so a page may end before it is full."""

from collections.abc import Callable
from typing import TypeVar

from levante_core.ports.item_store import Item, Page
from levante_core.storage.decoding import readable

T = TypeVar("T")

MOST_READ = 5_000
"""Items that one request reads of a listing, and of what it looks up to filter it."""
MOST_AT_ONCE = 500


class Budget:
    """What a request may still read. One that goes over it finishes the item that it is at, and stops."""

    def __init__(self, most: int | None = None) -> None:
        self.left = MOST_READ if most is None else most

    def spend(self, count: int = 1) -> None:
        """Note that items were read."""
        self.left -= count

    @property
    def is_spent(self) -> bool:
        """Whether the request has to stop."""
        return self.left <= 0


def scan(
    fetch: Callable[[int, str | None], Page],
    keep: Callable[[Item], T | None],
    limit: int,
    after: str | None,
    budget: Budget | None = None,
) -> tuple[list[T], str | None]:
    """Fetch items until `limit` of them are kept, there are no more, or the budget is spent.

    Returns what was kept, and the token for the rest; None if there is none. At least one item is looked at.
    fetch(limit, after): the pages of the store. keep: None leaves an item out, and so does what cannot be read.
    Cost: the budget; up to MOST_AT_ONCE items more where a page of the store ends beyond the last one wanted.
    """
    budget = budget or Budget()
    kept: list[T] = []
    size = limit
    while True:
        page = fetch(max(1, min(size, budget.left, MOST_AT_ONCE)), after)
        for position, item in enumerate(page.items, 1):
            budget.spend()
            kept += [row for row in readable([item], keep) if row is not None]
            if len(kept) == limit or budget.is_spent:
                # A token stands after the last item of a page: let that be this one.
                last = page if position == len(page.items) else fetch(position, after)
                return kept, last.next
        after, size = page.next, 2 * size
        if after is None:
            return kept, None
