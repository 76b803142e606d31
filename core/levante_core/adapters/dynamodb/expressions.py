"""Writes and queries of the port as parameters of DynamoDB requests. No calls in here.

Source: DynamoDB API, PutItem, UpdateItem, DeleteItem, TransactWriteItems and Query (read 2026-11-23).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias, assert_never

from levante_core.adapters.dynamodb.images import (
    PARTITION,
    SORT,
    attribute_name,
    document_name,
    document_value,
    image_of,
    key_image,
    place_image,
    place_names,
    scalar_value,
)
from levante_core.ports.item_store import (
    AFTER_ALL,
    Absent,
    AbsentOrMatches,
    Check,
    Delete,
    Matches,
    Put,
    Query,
    Scalar,
    Update,
    Write,
)

Request: TypeAlias = dict[str, Any]

_NEVER_THERE = "x"
"""No image has this name: removing it is an update that changes nothing, which a transaction has no other word for."""


class _Terms:
    """Stand-ins for names and values: both may be reserved words, and names have dots."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: list[dict[str, Any]] = []

    def name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#{len(self._names)}")

    def value(self, value: dict[str, Any]) -> str:
        self._values.append(value)
        return f":{len(self._values) - 1}"

    def parameters(self) -> Request:
        """Return them as parameters; an empty map is refused, so it is left out."""
        found: Request = {}
        if self._names:
            found["ExpressionAttributeNames"] = {term: name for name, term in self._names.items()}
        if self._values:
            found["ExpressionAttributeValues"] = {f":{number}": value for number, value in enumerate(self._values)}
        return found


def write_request(table: str, write: Write) -> tuple[str, Request]:
    """Return the name that a transaction has for this kind of write, and its parameters, the same as alone."""
    terms = _Terms()
    request: Request = {"TableName": table}
    match write:
        case Put(item):
            kind, request["Item"] = "Put", image_of(item)
        case Update(key):
            kind, request["Key"] = "Update", key_image(key)
            request["UpdateExpression"] = _update_expression(write, terms)
        case Delete(key):
            kind, request["Key"] = "Delete", key_image(key)
        case Check(key):
            kind, request["Key"] = "ConditionCheck", key_image(key)
        case _:
            assert_never(write)
    if write.condition is not None:
        request["ConditionExpression"] = _condition_expression(write.condition, terms)
        request["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return kind, request | terms.parameters()


def _update_expression(update: Update, terms: _Terms) -> str:
    values = {attribute_name(name): scalar_value(value) for name, value in update.set_attributes.items()}
    values |= {document_name(name): document_value(document) for name, document in update.set_documents.items()}
    removed: list[str] = []
    for index, place in update.set_indexes.items():
        if place is None:
            removed += place_names(index)
        else:
            values |= place_image(index, place)
    if not values and not update.add:
        removed.append(_NEVER_THERE)
    clauses = {
        "SET": [f"{terms.name(name)} = {terms.value(value)}" for name, value in values.items()],
        "ADD": [f"{terms.name(attribute_name(name))} {terms.value({'N': str(n)})}" for name, n in update.add.items()],
        "REMOVE": [terms.name(name) for name in removed],
    }
    return " ".join(f"{word} {', '.join(parts)}" for word, parts in clauses.items() if parts)


def _condition_expression(condition: Absent | Matches | AbsentOrMatches, terms: _Terms) -> str:
    absent = f"attribute_not_exists({terms.name(PARTITION)})"
    match condition:
        case Absent():
            return absent
        case Matches(attributes):
            return _match_expression(attributes, terms)
        case AbsentOrMatches(attributes):
            return f"{absent} OR ({_match_expression(attributes, terms)})"
        case _:
            assert_never(condition)


def _match_expression(attributes: Mapping[str, Scalar], terms: _Terms) -> str:
    there = f"attribute_exists({terms.name(PARTITION)})"
    return " AND ".join(
        [there, *[_equals(terms.name(attribute_name(name)), value, terms) for name, value in attributes.items()]]
    )


def _equals(name: str, value: Scalar, terms: _Terms) -> str:
    """Compare type and value. None is asked for by its type: the manual does not say what NULL equals."""
    if value is None:
        return f"attribute_type({name}, {terms.value({'S': 'NULL'})})"
    return f"{name} = {terms.value(scalar_value(value))}"


def is_empty(query: Query) -> bool:
    """Tell whether no sort key can be within. Keys are ordered as UTF-8 bytes, which is the order of Python's strings."""
    return query.last < query.first or not query.last


def names_of(query: Query) -> tuple[str, str]:
    """Return what partition key and sort key are called where a query reads."""
    return (PARTITION, SORT) if query.index is None else place_names(query.index)


def query_request(table: str, query: Query) -> Request:
    """Return the parameters of a query, but for limit and start. Of an index it is eventually consistent."""
    terms = _Terms()
    partition, sort = map(terms.name, names_of(query))
    expression = f"{partition} = {terms.value({'S': query.partition})}"
    if query.first and query.last != AFTER_ALL:
        low, high = terms.value({"S": query.first}), terms.value({"S": query.last})
        expression += f" AND {sort} BETWEEN {low} AND {high}"
    elif query.first:
        expression += f" AND {sort} >= {terms.value({'S': query.first})}"
    else:
        # An empty sort key is refused as a bound. There is always a bound on the other side, so that every name is used.
        expression += f" AND {sort} <= {terms.value({'S': query.last})}"
    request: Request = {"TableName": table, "KeyConditionExpression": expression, "ScanIndexForward": not query.descending}
    where = {"ConsistentRead": True} if query.index is None else {"IndexName": query.index}
    return request | where | terms.parameters()
