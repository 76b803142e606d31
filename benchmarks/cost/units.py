"""What DynamoDB, SQS, API Gateway and Lambda bill a request as, from its bytes: pure functions.

Emulators are not to be trusted here: DynamoDB Local 1.25.1 reports transactions at half of what AWS bills, and moto
reports nothing of use. So units are worked out from what a request found and left in the table. Images are attribute
values as in the API. Sources, developer guides of DynamoDB, read 2026-11-23: "DynamoDB item sizes and formats" (sizes),
"DynamoDB read and write operations" (units), "Using Global Secondary Indexes" (what an index costs).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeAlias

Image: TypeAlias = Mapping[str, Mapping[str, Any]]

KIB = 1024
WRITE_BYTES, READ_BYTES = KIB, 4 * KIB
MESSAGE_BYTES = 64 * KIB
"""SQS bills a request once for each 64 KiB of payload that it carries. Source: Amazon SQS pricing (read 2026-11-23)."""
GATEWAY_BYTES = 512 * KIB
"""An HTTP API meters requests by 512 KiB. Source: Amazon API Gateway pricing (read 2026-11-23)."""
LOG_LINE_BYTES = 26
"""What CloudWatch Logs counts beside the text of each line. Source: its API, PutLogEvents (read 2026-11-23)."""


class UnknownKind(Exception):
    """An attribute value of a kind whose size no rule here tells."""


@dataclass(frozen=True, slots=True)
class Index:
    """A secondary index: its two keys and the attributes that it carries. The table's own keys are always carried."""

    name: str
    keys: tuple[str, str]
    carried: frozenset[str]

    def entry(self, image: Image | None) -> Image | None:
        """Return what the index holds of an item; None if it has no place in the index."""
        if image is None or not all(key in image for key in self.keys):
            return None
        return {name: value for name, value in image.items() if name in self.carried}


# --- sizes ------------------------------------------------------------------------------------------------------------


def item_bytes(image: Image) -> int:
    """Return the size of an item: names and values. Raises: UnknownKind."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in image.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(str(content).encode())
    if kind in {"BOOL", "NULL"}:
        return 1
    if kind == "N":
        return _number_bytes(str(content))
    raise UnknownKind(f"an attribute value of kind {kind}: items here have texts, numbers, booleans and nulls")


def _number_bytes(text: str) -> int:
    """Two significant digits take a byte, the number itself one more, and its sign another one."""
    digits = text.lstrip("-+").replace(".", "").strip("0")
    return ceil(len(digits) / 2) + 1 + text.startswith("-")


# --- tables -----------------------------------------------------------------------------------------------------------


def write_units(before: Image | None, after: Image | None) -> int:
    """Return the units of a write that leaves `after` where `before` was: of the larger one, and 1 at least.

    A write whose condition does not hold leaves what it found, and costs as much; so does a condition check.
    """
    return _rounded(max(item_bytes(image) if image else 0 for image in (before, after)), WRITE_BYTES)


def index_write_units(index: Index, before: Image | None, after: Image | None) -> int:
    """Return the units that a write costs in an index: for each entry that is put, changed or deleted.

    An entry whose keys change is deleted and put anew. What changes nothing that the index carries costs nothing in it.
    """
    old, new = index.entry(before), index.entry(after)
    if old == new:
        return 0
    if old is None or new is None or all(old[key] == new[key] for key in index.keys):
        return write_units(old, new)
    return write_units(old, None) + write_units(None, new)


def get_units(image: Image | None, *, is_consistent: bool) -> float:
    """Return the units of reading one item, which need not exist."""
    return _read(item_bytes(image) if image else 0, is_consistent=is_consistent)


def query_units(images: Iterable[Image], *, is_consistent: bool) -> float:
    """Return the units of one page of a query, of all its items together; of entries, if it is an index that is queried."""
    return _read(sum(map(item_bytes, images)), is_consistent=is_consistent)


def _read(size: int, *, is_consistent: bool) -> float:
    return _rounded(size, READ_BYTES) * (1.0 if is_consistent else 0.5)


# --- the rest ---------------------------------------------------------------------------------------------------------


def queue_requests(payload_bytes: int) -> int:
    """Return what SQS bills a request as. payload_bytes: of all messages that it carries, either way."""
    return _rounded(payload_bytes, MESSAGE_BYTES)


def gateway_requests(body_bytes: int) -> int:
    """Return what an HTTP API bills a request as."""
    return _rounded(body_bytes, GATEWAY_BYTES)


def _rounded(size: int, step: int) -> int:
    return max(1, ceil(size / step))
