"""Page tokens: a place in the order of one query, as text that may travel through clients."""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from levante_core.adapters.dynamodb_expressions import Range
from levante_core.adapters.images import PARTITION, SORT, Image
from levante_core.errors import InvalidInput


def page_token(wanted: Range, image: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the token that continues the query after this item."""
    place = [image[name]["S"] for name in _ordering_names(wanted)]
    return base64.urlsafe_b64encode(json.dumps([_mark(wanted), *place]).encode()).decode()


def start_key(wanted: Range, token: str) -> Image:
    """Return what to start the query after. The partition is the query's: a token leads into no other one.

    Raises: InvalidInput if the token is none of this query: every bound counts, the limit does not.
    """
    names = _ordering_names(wanted)
    try:
        mark, *place = json.loads(base64.urlsafe_b64decode(token))
        is_token = mark == _mark(wanted) and all(_may_be_key(*pair) for pair in zip(names, place, strict=True))
        is_token = is_token and wanted.first <= place[0] <= wanted.last
    except (AttributeError, TypeError, ValueError):
        is_token, place = False, []
    if not is_token:
        raise InvalidInput.at(("after",), "not a page token of this query: take it from the page before")
    partition, _ = wanted.names
    return {partition: {"S": wanted.partition}} | {name: {"S": part} for name, part in zip(names, place, strict=True)}


def _ordering_names(wanted: Range) -> tuple[str, ...]:
    """What tells an item of the partition from all others: in an index, many may have one place."""
    _, sort = wanted.names
    return (sort,) if wanted.index is None else (sort, PARTITION, SORT)


def _may_be_key(name: str, part: str) -> bool:
    """Source: DynamoDB developer guide, Quotas, Partition keys and sort keys (read 2026-11-23)."""
    return 0 < len(part.encode()) <= (2048 if name == PARTITION else 1024)


def _mark(wanted: Range) -> str:
    """Tell queries apart, against mistakes and not against malice: a made-up token skips items, and harms nobody else."""
    query = [wanted.index, wanted.partition, wanted.first, wanted.last, wanted.descending]
    return hashlib.sha256(json.dumps(query).encode()).hexdigest()[:8]
