"""An item as the three JSON texts of its row, and what conditions and writes make of them. No database in here."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, assert_never

from pydantic_core import from_json

from levante_core.adapters.write_rules import is_same_scalar
from levante_core.errors import InconsistentHistory
from levante_core.ports.item_store import (
    Absent,
    AbsentOrMatches,
    Check,
    Condition,
    ConditionFailed,
    Delete,
    Item,
    Key,
    Matches,
    Put,
    Scalar,
    Update,
    Write,
)

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NOTHING = "{}"


class Columns(NamedTuple):
    """The JSON texts of one item. Documents come last: what is read without them stays on the row's first page."""

    attributes: str
    indexes: str
    documents: str


def encode(item: Item) -> Columns:
    """Turn an item into its texts."""
    return Columns(_text(item.attributes), _text_of_places(item.indexes), _text(item.documents))


class _Damaged(Mapping[str, Any]):
    """Stands for what a damaged row held: whoever looks at it hears so, and whoever only meets it on a page does not."""

    def __init__(self, key: Key) -> None:
        self._error = f"item {key.partition}/{key.sort} is damaged: restore it from a backup"

    def __getitem__(self, _: str) -> NoReturn:
        raise InconsistentHistory(self._error)

    def __iter__(self) -> NoReturn:
        raise InconsistentHistory(self._error)

    def __len__(self) -> NoReturn:
        raise InconsistentHistory(self._error)


def decode(key: Key, columns: Columns) -> Item:
    """Turn texts into the item; nothing in it is shared with anybody.

    An item whose row is damaged is there all the same, and raises InconsistentHistory where something of it is asked for:
    the others on its page are none the worse.
    """
    try:
        return decode_strictly(key, columns)
    except ValueError:
        return Item(key, _Damaged(key), _Damaged(key))


def decode_strictly(key: Key, columns: Columns) -> Item:
    """Turn texts into the item. Raises: ValueError for a damaged row."""
    return Item(key, _object(columns.attributes), _object(columns.documents), places(columns))


def decode_if_there(key: Key, columns: Columns | None) -> Item | None:
    """Turn texts into the item, and nothing into nothing."""
    return None if columns is None else decode(key, columns)


def attributes_of(columns: Columns) -> dict[str, Scalar]:
    """Return the item's attributes alone."""
    return _object(columns.attributes)


def places(columns: Columns | None) -> dict[str, Key]:
    """Say where the item is listed: index name to place."""
    if columns is None or columns.indexes == _NOTHING:
        return {}
    return {index: Key(*place) for index, place in _object(columns.indexes).items()}


def find_refusal(group: Sequence[Write], olds: Sequence[Columns | None]) -> ConditionFailed | None:
    """Say which conditions of a group do not hold on what stands at its keys, None if all do."""
    failed = [
        position for position, (write, old) in enumerate(zip(group, olds, strict=True)) if not _holds(write.condition, old)
    ]
    if not failed:
        return None
    existing: list[Item | None] = [None] * len(group)
    for position in failed:
        existing[position] = decode_if_there(group[position].key, olds[position])
    return ConditionFailed(failed, existing)


def result_of(write: Write, old: Columns | None) -> Columns | None:
    """Say what stands at the key after a write whose condition held; None for nothing.

    Raises: ValueError if it adds to an attribute that is no number.
    """
    match write:
        case Put(item):
            return encode(item)
        case Update():
            return _updated(write, old)
        case Delete():
            return None
        case Check():
            return old
        case _:
            assert_never(write)


def _updated(update: Update, old: Columns | None) -> Columns:
    before = old or Columns(_NOTHING, _NOTHING, _NOTHING)
    attributes = _object(before.attributes) | dict(update.set_attributes)
    for name, number in update.add.items():
        attributes[name] = _sum(update.key, name, attributes.get(name, 0), number)
    indexes, documents = before.indexes, before.documents
    if update.set_indexes:
        moved = places(old) | dict(update.set_indexes)
        indexes = _text_of_places({index: place for index, place in moved.items() if place})
    if update.set_documents:
        documents = _text(_object(documents) | dict(update.set_documents))
    return Columns(_text(attributes), indexes, documents)


def _sum(key: Key, name: str, value: Scalar, number: int) -> Scalar:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"cannot add to attribute {name!r} of {key}: {value!r} is no number"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is stored data, not the type of an argument
    return value + number


def _holds(condition: Condition, old: Columns | None) -> bool:
    match condition:
        case None:
            return True
        case Absent():
            return old is None
        case Matches(attributes):
            return old is not None and _has(old, attributes)
        case AbsentOrMatches(attributes):
            return old is None or _has(old, attributes)
        case _:
            assert_never(condition)


def _has(columns: Columns, wanted: Mapping[str, Scalar]) -> bool:
    """An attribute that is not there has no value, so it is not None either."""
    attributes = _object(columns.attributes)
    return all(name in attributes and is_same_scalar(attributes[name], value) for name, value in wanted.items())


def _text(mapping: Mapping[str, Any]) -> str:
    return _to_json(dict(mapping)) if mapping else _NOTHING


def _text_of_places(listed: Mapping[str, Key]) -> str:
    return _text({index: (place.partition, place.sort) for index, place in listed.items()})


def _object(text: str) -> dict[str, Any]:
    if text == _NOTHING:
        return {}
    parsed: dict[str, Any] = from_json(text)
    if not isinstance(parsed, dict):
        raise ValueError("a row holds JSON that is no object")  # noqa: TRY004 - what is wrong is stored data
    return parsed
