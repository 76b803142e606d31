"""The shape of an input: which keys it has at its top level, without what they hold."""

from collections.abc import Iterable, Mapping
from typing import Any

from levante_core.domain.frozen import Json

MOST_KEYS_SHOWN = 8
LONGEST_KEY = 40
_BY_TYPE = {"object": "{...}", "array": "[...]"}


def expected_shape(schema: Mapping[str, Any]) -> str:
    """Write what a JSON schema takes, such as `{"order": {...}, "note": ...}`; what may be left out comes last."""
    options = [each for each in schema.get("anyOf", [schema]) if isinstance(each, Mapping) and each.get("type") != "null"]
    return " or ".join(_expected(each, schema.get("$defs", {})) for each in options) or "null"


def sent_shape(value: Json) -> str:
    """Write the keys of what was sent, and nothing of what they hold, which may be a secret."""
    if isinstance(value, dict):
        return _written((key, _value_shape(field)) for key, field in value.items())
    return _value_shape(value)


def _expected(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    schema = _resolved(schema, definitions)
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return "{}" if schema.get("additionalProperties") is False else _BY_TYPE.get(str(schema.get("type")), "...")
    required = [name for name in schema.get("required", ()) if name in properties]
    names = [*required, *(name for name in properties if name not in required)]
    return _written((name, _BY_TYPE.get(_type(properties[name], definitions), "...")) for name in names)


def _type(schema: Any, definitions: Mapping[str, Any]) -> str:
    return str(_resolved(schema, definitions).get("type")) if isinstance(schema, Mapping) else ""


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the definition behind a schema that only refers to one."""
    found = definitions.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"))
    return found if isinstance(found, Mapping) else schema


def _value_shape(value: Json) -> str:
    if value is None:
        return "null"
    return "{...}" if isinstance(value, dict) else "[...]" if isinstance(value, list | tuple) else "..."


def _written(fields: Iterable[tuple[str, str]]) -> str:
    shown = [f'"{name[:LONGEST_KEY]}": {shape}' for name, shape in fields]
    return "{" + ", ".join([*shown[:MOST_KEYS_SHOWN], *(["..."] if len(shown) > MOST_KEYS_SHOWN else [])]) + "}"
