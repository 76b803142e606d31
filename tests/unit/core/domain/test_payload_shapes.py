"""The shape of an input, without what it holds."""

from typing import Any

import pytest

from levante_core.domain.payload_shapes import expected_shape, sent_shape

ORDER = {"type": "object", "properties": {"item": {"type": "string"}}}
NOTED = {
    "type": "object",
    "properties": {"note": {"type": "string"}, "order": {"$ref": "#/$defs/Order"}, "tags": {"type": "array"}},
    "required": ["order", "note"],
    "$defs": {"Order": ORDER},
}


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        (NOTED, '{"order": {...}, "note": ..., "tags": [...]}'),
        ({"anyOf": [{"$ref": "#/$defs/Order"}, {"type": "null"}], "$defs": {"Order": ORDER}}, '{"item": ...}'),
        ({"type": "object", "properties": {}, "additionalProperties": False}, "{}"),
        ({"type": "object"}, "{...}"),
        ({}, "..."),
        ({"properties": {f"k{number}": {} for number in range(20)}}, "k7"),
    ],
)
def test_schema_when_its_shape_is_written_then_keys_come_in_the_order_of_need(schema: dict[str, Any], shape: str) -> None:
    """What is required comes first, and a long list is cut."""
    assert shape in expected_shape(schema)
    assert "k8" not in expected_shape(schema)


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (
            {"item": "secret", "more": {"a": 1}, "list": [1], "none": None},
            '{"item": ..., "more": {...}, "list": [...], "none": null}',
        ),
        ("secret", "..."),
        ([1], "[...]"),
        (None, "null"),
        ({"k" * 100: 1}, '{"' + "k" * 40 + '": ...}'),
    ],
)
def test_value_when_its_shape_is_written_then_nothing_that_it_holds_is(value: Any, shape: str) -> None:
    """A value may be a secret, and keys may be long."""
    assert sent_shape(value) == shape
