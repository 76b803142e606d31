"""Items as DynamoDB writes them: images of attribute values, as its API and its streams carry them.

`pk` and `sk` are the key; `a.NAME` an attribute, `d.NAME` a document (JSON text), `x.INDEX.pk` and `x.INDEX.sk` a place
in an index. Source: DynamoDB API, AttributeValue and StreamRecord (read 2026-11-23).
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeAlias

from levante_core.ports.item_store import Change, Item, Json, Key, Scalar

Image: TypeAlias = dict[str, dict[str, Any]]

PARTITION, SORT = "pk", "sk"
_ATTRIBUTE, _DOCUMENT, _INDEX = "a.", "d.", "x."


def image_of(item: Item) -> Image:
    """Write an item as an image."""
    image = key_image(item.key)
    for name, value in item.attributes.items():
        image[attribute_name(name)] = scalar_value(value)
    for name, document in item.documents.items():
        image[document_name(name)] = document_value(document)
    for index, place in item.indexes.items():
        image |= place_image(index, place)
    return image


def place_image(index: str, place: Key) -> Image:
    """Write an item's place in an index."""
    partition, sort = place_names(index)
    return {partition: {"S": place.partition}, sort: {"S": place.sort}}


def attribute_name(name: str) -> str:
    """Return what an attribute is called in an image."""
    return _ATTRIBUTE + name


def document_name(name: str) -> str:
    """Return what a document is called in an image."""
    return _DOCUMENT + name


def place_names(index: str) -> tuple[str, str]:
    """Return what the partition key and the sort key of an index are called in an image."""
    return f"{_INDEX}{index}.{PARTITION}", f"{_INDEX}{index}.{SORT}"


def document_value(document: Json) -> dict[str, Any]:
    """Write a document as an attribute value."""
    return {"S": json.dumps(document, ensure_ascii=False, separators=(",", ":"))}


def is_same_image(one: Mapping[str, Mapping[str, Any]], other: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether two images are of one item: a number may be spelled in several ways."""
    return one.keys() == other.keys() and all(_comparable(one[name]) == _comparable(other[name]) for name in one)


def _comparable(value: Mapping[str, Any]) -> tuple[str, Any]:
    ((kind, content),) = value.items()
    return kind, Decimal(content) if kind == "N" else content


def key_image(key: Key) -> Image:
    """Write a key as an image."""
    return {PARTITION: {"S": key.partition}, SORT: {"S": key.sort}}


def item_of(image: Mapping[str, Mapping[str, Any]]) -> Item:
    """Read an item from its image."""
    attributes: dict[str, Scalar] = {}
    documents: dict[str, Any] = {}
    indexes: dict[str, Key] = {}
    for name, value in image.items():
        if name.startswith(_ATTRIBUTE):
            attributes[name.removeprefix(_ATTRIBUTE)] = _scalar(value)
        elif name.startswith(_DOCUMENT):
            documents[name.removeprefix(_DOCUMENT)] = json.loads(value["S"])
        elif name.startswith(_INDEX) and name.endswith(f".{PARTITION}"):
            index = name.removeprefix(_INDEX).removesuffix(f".{PARTITION}")
            indexes[index] = Key(value["S"], image[place_names(index)[1]]["S"])
    return Item(key_of(image), attributes, documents, indexes)


def key_of(image: Mapping[str, Mapping[str, Any]]) -> Key:
    """Read the key of an image."""
    return Key(image[PARTITION]["S"], image[SORT]["S"])


def stream_record(change: Change) -> dict[str, Any]:
    """Write a change as the record that a stream hands to a Lambda function."""
    kind = "INSERT" if change.old is None else "REMOVE" if change.new is None else "MODIFY"
    data: dict[str, Any] = {"Keys": key_image(change.key), "SequenceNumber": change.sequence}
    if change.new is not None:
        data["NewImage"] = image_of(change.new)
    if change.old is not None:
        data["OldImage"] = image_of(change.old)
    return {"eventID": change.sequence, "eventName": kind, "eventSource": "aws:dynamodb", "dynamodb": data}


def change_of(record: Mapping[str, Any]) -> Change:
    """Read a change from a record of a stream."""
    data = record["dynamodb"]
    old, new = data.get("OldImage"), data.get("NewImage")
    return Change(
        data["SequenceNumber"],
        key_of(data["Keys"]),
        item_of(old) if old else None,
        item_of(new) if new else None,
    )


def scalar_value(value: Scalar) -> dict[str, Any]:
    """Write an attribute as an attribute value."""
    match value:
        case None:
            return {"NULL": True}
        case bool():
            return {"BOOL": value}
        case str():
            return {"S": value}
        case _:
            return {"N": repr(value)}


def _scalar(value: Mapping[str, Any]) -> Scalar:
    ((kind, content),) = value.items()
    match kind:
        case "NULL":
            return None
        case "N":
            return float(content) if set(content) & set(".eE") else int(content)
        case _:
            found: Scalar = content
            return found
