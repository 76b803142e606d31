"""Items as DynamoDB writes them: images of attribute values, as its API and its streams carry them.

`pk` and `sk` are the key; `a.NAME` an attribute, `d.NAME` a document (JSON text), `x.INDEX.pk` and `x.INDEX.sk` a place
in an index. Source: DynamoDB API, AttributeValue and StreamRecord (read 2026-11-23).
"""

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from levante_core.ports.item_store import Change, Item, Key, Scalar

Image: TypeAlias = dict[str, dict[str, Any]]

PARTITION, SORT = "pk", "sk"
_ATTRIBUTE, _DOCUMENT, _INDEX = "a.", "d.", "x."


def image_of(item: Item) -> Image:
    """Write an item as an image."""
    image = key_image(item.key)
    for name, value in item.attributes.items():
        image[_ATTRIBUTE + name] = _value(value)
    for name, document in item.documents.items():
        image[_DOCUMENT + name] = {"S": json.dumps(document, ensure_ascii=False, separators=(",", ":"))}
    for index, place in item.indexes.items():
        image[f"{_INDEX}{index}.{PARTITION}"] = {"S": place.partition}
        image[f"{_INDEX}{index}.{SORT}"] = {"S": place.sort}
    return image


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
            indexes[index] = Key(value["S"], image[f"{_INDEX}{index}.{SORT}"]["S"])
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


def _value(value: Scalar) -> dict[str, Any]:
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
            number = float(content)
            return int(number) if number.is_integer() and "." not in content else number
        case _:
            found: Scalar = content
            return found
