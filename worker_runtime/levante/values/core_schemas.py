"""pydantic's core schemas as trees: which parts of a schema are schemas themselves.

A core schema is what pydantic makes of a type: nested dicts, each with its kind under "type". Source: pydantic_core,
core_schema (read 2026-11-30).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

CoreSchema: TypeAlias = dict[str, Any]

AMBIGUOUS = frozenset({"tagged-union", "union"})
"""Kinds whose values may be of several classes that are named."""
_ONE = (
    "arguments_schema",
    "extras_keys_schema",
    "extras_schema",
    "items_schema",
    "json_schema",
    "keys_schema",
    "lax_schema",
    "python_schema",
    "return_schema",
    "schema",
    "serialization",
    "strict_schema",
    "values_schema",
    "var_args_schema",
    "var_kwargs_schema",
)
_SEVERAL = ("arguments_schema", "choices", "computed_fields", "definitions", "fields", "items_schema", "steps")
"""Keys that hold lists of schemas, or schemas by name. A choice of a union may be a pair of a schema and its label."""


def is_schema(value: object) -> bool:
    """Tell whether this is a schema, and not what one says beside its parts."""
    return isinstance(value, dict) and isinstance(value.get("type"), str)


def parts(schema: CoreSchema) -> Iterator[CoreSchema]:
    """Yield the schemas directly within a schema. One that refers to a definition does not contain it."""
    for key in _ONE:
        if is_schema(schema.get(key)):
            yield schema[key]
    for key in _SEVERAL:
        several = schema.get(key)
        if is_schema(several) or not isinstance(several, list | dict):
            continue
        for part in several.values() if isinstance(several, dict) else several:
            inner = part[0] if isinstance(part, tuple) else part
            if is_schema(inner):
                yield inner
            elif isinstance(inner, dict) and is_schema(inner.get("schema")):  # a parameter of a function
                yield inner["schema"]


def with_parts(schema: CoreSchema, replaced: Callable[[CoreSchema], CoreSchema]) -> CoreSchema:
    """Return a copy in which the schemas directly within it are replaced. The schema itself stays as it is."""

    def new(part: Any) -> Any:
        if isinstance(part, tuple):
            return (new(part[0]), *part[1:])
        if is_schema(part):
            return replaced(part)
        if isinstance(part, dict) and is_schema(part.get("schema")):
            return {**part, "schema": replaced(part["schema"])}
        return part

    copy = dict(schema)
    for key in _ONE:
        if is_schema(copy.get(key)):
            copy[key] = replaced(copy[key])
    for key in _SEVERAL:
        several = copy.get(key)
        if isinstance(several, list):
            copy[key] = [new(part) for part in several]
        elif isinstance(several, dict) and not is_schema(several):
            copy[key] = {name: new(part) for name, part in several.items()}
    return copy


def kinds(schema: CoreSchema) -> set[str]:
    """Return the kinds of a schema and of all within it. Ways of writing have kinds too, such as `function-plain`."""
    found = {schema["type"]}
    for part in parts(schema):
        found |= kinds(part)
    return found
