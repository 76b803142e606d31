"""What becomes of stored items: each of their parts missing, of another type, of a later version, or too large."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from levante_core.ports.item_store import Item
from tests.support.poison import MISSING

PLAIN: Mapping[str, Any] = {"null": None, "wrong type": "7", "no JSON": "{", "empty": "", "payload gone": MISSING}
MORE: Mapping[str, Mapping[str, Any]] = {
    "unknown kind": {"kind": "of_a_later_version"},
    "later field": {"of_a_later_version": 1},
    "too large": {"large": "x" * 100_000},
}


@dataclass(frozen=True, slots=True)
class Damaged:
    """An item that is not as it was. part: of it; how: it differs. is_later: nothing is wrong, but a later version's."""

    part: str
    how: str
    item: Item | None


def damages_of(item: Item) -> Iterator[Damaged]:
    """Damage an item in every way, one at a time."""
    yield Damaged("item", "missing", None)
    yield Damaged("item", "later field", replace(item, attributes={**item.attributes, "of_a_later_version": "x"}))
    yield Damaged("item", "too large", replace(item, attributes={**item.attributes, "large": "x" * 100_000}))
    yield Damaged("item", "empty", Item(item.key, {}, {}, item.indexes))
    for number, (name, value) in enumerate(item.attributes.items()):
        yield Damaged(name, "missing", _with_attribute(item, name, "missing"))
        how = "null" if number % 2 and value is not None else "wrong type"
        yield Damaged(name, how, _with_attribute(item, name, how))
    for name in item.documents:
        for how in ("missing", *PLAIN, *MORE):
            yield Damaged(name, how, _with_document(item, name, how))


def _with_attribute(item: Item, name: str, how: str) -> Item:
    others = {known: value for known, value in item.attributes.items() if known != name}
    if how == "missing":
        return replace(item, attributes=others)
    value = item.attributes[name]
    wrong = None if how == "null" else 7 if isinstance(value, str | None) else "of another type"
    return replace(item, attributes={**others, name: wrong})


def _with_document(item: Item, name: str, how: str) -> Item:
    others = {known: document for known, document in item.documents.items() if known != name}
    if how == "missing":
        return replace(item, documents=others)
    return replace(item, documents={**others, name: _damaged(item.documents[name], how)})


def _damaged(document: Any, how: str) -> Any:
    if how in PLAIN:
        return PLAIN[how]
    try:
        said = json.loads(document)
    except (TypeError, ValueError):
        said = None
    return json.dumps({**said, **MORE[how]} if isinstance(said, dict) else [MORE[how]])
