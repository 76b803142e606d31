"""Where a query goes on: from a page token to the start key that DynamoDB wants, and from the last item to the token."""

from collections.abc import Mapping
from typing import Any

from levante_core.adapters import page_tokens
from levante_core.adapters.dynamodb.expressions import names_of
from levante_core.adapters.dynamodb.images import PARTITION, SORT, Image
from levante_core.adapters.page_tokens import not_a_token, place_of
from levante_core.ports.item_store import Query


def page_token(query: Query, image: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the token that continues the query after this item."""
    return page_tokens.page_token(query, [image[name]["S"] for name in _ordering_names(query)])


def start_key(query: Query, token: str) -> Image:
    """Return what to start the query after. The partition is the query's: a token leads into no other one.

    Raises: InvalidInput if the token is none of this query.
    """
    names = _ordering_names(query)
    place = place_of(query, token, len(names))
    if not all(_may_be_key(*pair) for pair in zip(names, place, strict=True)):
        raise not_a_token()
    partition, _ = names_of(query)
    return {partition: {"S": query.partition}} | {name: {"S": part} for name, part in zip(names, place, strict=True)}


def _ordering_names(query: Query) -> tuple[str, ...]:
    """What tells an item of the partition from all others: in an index, many may have one place."""
    _, sort = names_of(query)
    return (sort,) if query.index is None else (sort, PARTITION, SORT)


def _may_be_key(name: str, part: str) -> bool:
    """Source: DynamoDB developer guide, Quotas, Partition keys and sort keys (read 2026-11-23)."""
    return 0 < len(part.encode()) <= (2048 if name == PARTITION else 1024)
