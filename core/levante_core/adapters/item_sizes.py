"""What an item may hold, and how large it and its keys may be: as DynamoDB counts, and the same for every store.

Source: DynamoDB, Quotas and "DynamoDB item sizes and formats" (read 2026-11-30). Sizes are counted from above: a number as
if it had all its digits.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, assert_never

from levante_core.adapters.dynamodb.images import Image, image_of
from levante_core.errors import NotStorable
from levante_core.ports.item_store import Check, Delete, Item, Key, Put, Scalar, Update, Write

MOST_ITEM_BYTES = 400_000
"""Of 409,600 in DynamoDB: what emulators count differently has room too."""
MOST_GROUP_BYTES = 4 * 1024 * 1024
MOST_PARTITION_BYTES = 2048
MOST_SORT_BYTES = 1024
MOST_DIGITS = 38
_LARGEST, _SMALLEST = 9.9e125, 1e-130
_MOST_OF_ONE_CHARACTER = 8
"""Bytes of a character of a document, which is written as a JSON text within one: four, or an escape."""


def check_sizes(group: Sequence[Write]) -> None:
    """Refuse what no store could hold, before any store has seen it. Raises: NotStorable, which names the part."""
    total = 0
    for write in group:
        _check_key("the key", write.key)
        match write:
            case Put():
                total += _checked(write.key, write.item.attributes, write.item.documents, write.item.indexes)
            case Update():
                places = {name: place for name, place in write.set_indexes.items() if place is not None}
                total += _checked(write.key, {**write.add, **write.set_attributes}, write.set_documents, places)
            case Delete() | Check():
                pass  # a key alone
            case _:
                assert_never(write)
    if total > MOST_GROUP_BYTES:
        total = sum(_bytes_of(_image(write)) for write in group if isinstance(write, Put | Update))
    if total > MOST_GROUP_BYTES:
        raise NotStorable(f"{total:,} bytes in one transaction, and {MOST_GROUP_BYTES:,} fit: send less at a time")


def can_exist(key: Key) -> bool:
    """Tell whether an item may have this key: DynamoDB answers a question for any other one with an error."""
    try:
        _check_key("the key", key)
    except NotStorable:
        return False
    return True


def check_item(item: Item) -> None:
    """Refuse an item as it would be after an update. Raises: NotStorable."""
    _checked(item.key, item.attributes, item.documents, item.indexes)


def _checked(key: Key, attributes: Mapping[str, Scalar], documents: Mapping[str, Any], indexes: Mapping[str, Key]) -> int:
    """Return how many bytes this has at most: counted exactly only if that is too many."""
    bound = len(key.partition) + len(key.sort)
    for name, value in attributes.items():
        bound += len(name) + (_text_bytes(name, value) if isinstance(value, str) else _check_number(name, value))
    for index, place in indexes.items():
        _check_key(f"the place in index {index!r}", place)
        bound += 4 * (len(index) + len(place.partition) + len(place.sort)) + 16
    for name, document in documents.items():
        bound += 4 * len(name) + (len(document) * _MOST_OF_ONE_CHARACTER if isinstance(document, str) else MOST_ITEM_BYTES)
    bound += 4 * (len(attributes) + len(documents)) + 16
    if bound > MOST_ITEM_BYTES:
        image = image_of(Item(key, attributes, documents, indexes))
        bound = _bytes_of(image)
        if bound > MOST_ITEM_BYTES:
            largest = max(image, key=lambda name: _bytes_of({name: image[name]}))
            raise NotStorable(
                f"an item would have {bound:,} bytes, and {MOST_ITEM_BYTES:,} fit; most of them are in "
                f"{largest.partition('.')[2]!r}: send less, or store the data elsewhere and pass a reference"
            )
    return bound


def _check_key(what: str, key: Key) -> None:
    for part, text, most in (("partition", key.partition, MOST_PARTITION_BYTES), ("sort", key.sort, MOST_SORT_BYTES)):
        size = _text_bytes(part, text)
        if not size:
            raise NotStorable(f"{what} has an empty {part} part: names and ids have at least one character")
        if size > most:
            raise NotStorable(f"{what} has {size:,} bytes in its {part} part, and {most:,} fit: choose shorter names or ids")


def _text_bytes(name: str, text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise NotStorable(f"{name!r} holds half of a surrogate pair, which is no character: leave it out") from None


def _check_number(name: str, value: float | None) -> int:
    if value is None or isinstance(value, bool):
        return 1
    is_kept = (
        abs(value) < 10**MOST_DIGITS
        if isinstance(value, int)
        else isfinite(value) and (value == 0 or _SMALLEST <= abs(value) <= _LARGEST)
    )
    if not is_kept:
        raise NotStorable(
            f"{name!r} is a number with more than {MOST_DIGITS} digits, or too large or small: send it as a text"
        )
    return MOST_DIGITS // 2 + 2


def _image(write: Put | Update) -> Image:
    if isinstance(write, Put):
        return image_of(write.item)
    item = Item(write.key, {**write.add, **write.set_attributes}, write.set_documents)
    return image_of(item)


def _bytes_of(image: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(len(name.encode()) + sum(map(_value_bytes, value.items())) for name, value in image.items())


def _value_bytes(value: tuple[str, Any]) -> int:
    kind, content = value
    if kind == "S":
        return len(content.encode(errors="replace"))
    return len(content) // 2 + 2 if kind == "N" else 1
