"""The forms in which values are written, and how the schema of a type is changed for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from functools import partial
from typing import Any, Final, assert_never

from pydantic_core.core_schema import CoreConfig

from levante.values.core_schemas import CoreSchema, with_parts

CONFIG: Final[CoreConfig] = {"ser_json_bytes": "base64", "val_json_bytes": "base64", "ser_json_inf_nan": "constants"}
"""What holds where a class says nothing else. NaN and infinities are written so that they can be found, and refused."""

_HAVE_CONFIG: Final = frozenset({"dataclass", "model", "typed-dict"})
_FIELDS: Final = frozenset({"dataclass-field", "model-field", "typed-dict-field"})
_HIDDEN: Final = ("serialization_exclude", "serialization_exclude_if")
_SECRET: Final = frozenset({"_serialize_secret", "_serialize_secret_field"})


class Form(Enum):
    """Who writes a value, and who reads it.

    INTERNAL: both are our own workers, so fields go by their names, and nothing is left out. INPUT: outsiders write what our
    code takes, by the aliases that validation knows; our code writes the same, and leaves nothing out either. RESULT: our
    code writes what outsiders see, by the aliases of serialization, without excluded fields and with computed ones. SHOWN:
    as RESULT, for what nobody reads as a type, such as the state of a task; a class says itself whether it goes by aliases.
    """

    INTERNAL = "internal"
    INPUT = "input"
    RESULT = "result"
    SHOWN = "shown"

    @property
    def is_seen_outside(self) -> bool:
        """Whether outsiders see what is written, so that secrets and excluded fields stay out of it."""
        return self in {Form.RESULT, Form.SHOWN}


def formed(schema: CoreSchema, form: Form) -> CoreSchema:
    """Return the schema by which values of a type are written in a form, and read again."""
    return _Former(form).changed(schema, by_alias=True)


def closed(schema: CoreSchema) -> CoreSchema:
    """Return a schema that refuses undeclared keys, which would be lost, where a class does not say what becomes of them."""
    return _closed(schema, {})


def _closed(schema: CoreSchema, config: Mapping[str, Any]) -> CoreSchema:
    if schema["type"] in _HAVE_CONFIG:
        config = schema.get("config", {})
    copy = with_parts(schema, partial(_closed, config=config))
    if schema["type"] in {"dataclass-args", "model-fields", "typed-dict"} and "extra_fields_behavior" not in config:
        copy["extra_behavior"] = "forbid"
    return copy


class _Former:
    """Changes the schema of one type for one form."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def changed(self, schema: CoreSchema, *, by_alias: bool) -> CoreSchema:
        """Return the changed schema. by_alias: whether the class around it is read by the aliases of its fields."""
        kind = schema["type"]
        if kind in _HAVE_CONFIG:
            by_alias = schema.get("config", {}).get("validate_by_alias", True)
        if kind == "json-or-python":
            schema = self._with_secret(schema)
        if kind == "json" and self._form.is_seen_outside:  # outsiders see what the text stands for
            return self.changed(schema.get("schema", {"type": "any"}), by_alias=by_alias)
        copy = with_parts(schema, partial(self.changed, by_alias=by_alias))
        if kind in _HAVE_CONFIG:
            copy["config"] = {**CONFIG, **schema.get("config", {})}
        if kind in _FIELDS:
            self._change_field(copy, by_alias=by_alias)
        made_anew = list(_made_anew(copy)) if self._form is Form.RESULT else []
        return _reading_without(made_anew, copy) if made_anew else copy

    def _change_field(self, field: CoreSchema, *, by_alias: bool) -> None:
        """Let a field be written by the key under which it is read."""
        match self._form:
            case Form.INTERNAL:
                _reveal(field)
            case Form.INPUT:
                _reveal(field)
                _drop(field, "serialization_alias")
                key = _first_key(field.get("validation_alias")) if by_alias else None
                field |= {} if key is None else {"serialization_alias": key}
            case Form.RESULT:
                _drop(field, "validation_alias")
                field |= {"validation_alias": field["serialization_alias"]} if "serialization_alias" in field else {}
            case Form.SHOWN:
                pass
            case _:
                assert_never(self._form)

    def _with_secret(self, schema: CoreSchema) -> CoreSchema:
        """Write what a secret holds, and no asterisks, between our own workers; refuse it where outsiders would see it."""
        function = schema.get("serialization", {}).get("function")
        if getattr(function, "__module__", None) != "pydantic.types" or function.__name__ not in _SECRET:
            return schema
        reading = schema["json_schema"]
        if self._form.is_seen_outside:
            writing: CoreSchema = {"function": _refuse_secret}
        else:
            writing = {"function": _revealed, "return_schema": reading.get("schema", {"type": "any"})}
        return {**schema, "serialization": {"type": "function-plain", "when_used": "always", **writing}}


def _reading_without(names: list[str], schema: CoreSchema) -> CoreSchema:
    """Let what is computed be passed over where it is read."""
    function = {"type": "no-info", "function": partial(_without, frozenset(names))}
    return {"type": "function-before", "function": function, "schema": schema}


def _without(names: frozenset[str], value: Any) -> Any:
    return {key: field for key, field in value.items() if key not in names} if isinstance(value, dict) else value


def _first_key(alias: str | list[Any] | None) -> str | None:
    """Return the first alias that is the key of a field, and no path into something."""
    if alias is None or isinstance(alias, str):
        return alias
    paths = [[step] if isinstance(step, str) else step for step in alias] if isinstance(alias[0], list) else [alias]
    return next((path[0] for path in paths if len(path) == 1), None)


def _made_anew(schema: CoreSchema) -> Iterator[str]:
    """Yield the keys of what is written and not read, since the class makes it itself."""
    for field in schema.get("computed_fields", ()):
        yield field.get("alias") or field["property_name"]
    if schema["type"] == "dataclass-args":
        yield from (field.get("validation_alias", field["name"]) for field in schema["fields"] if _is_made_anew(field))


def _is_made_anew(field: CoreSchema) -> bool:
    return field.get("init") is False


def _reveal(field: CoreSchema) -> None:
    """Leave nothing out but what the class makes itself."""
    _drop(field, *_HIDDEN)
    if _is_made_anew(field):
        field["serialization_exclude"] = True


def _drop(schema: CoreSchema, *keys: str) -> None:
    for key in keys:
        schema.pop(key, None)


def _revealed(value: Any) -> Any:
    return value.get_secret_value()


def _refuse_secret(_value: Any) -> Any:
    raise ValueError("a secret")
