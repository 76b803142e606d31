"""Which types JSON carries as they are, so that nothing has to be read back to know that nothing is lost.

Whatever is not known here is read back: a kind of schema, a constraint, an option of a class.
"""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from pydantic_core import PydanticSerializationError, from_json, to_json

from levante.values.core_schemas import CoreSchema
from levante.values.forms import CONFIG
from levante.values.losses import ValueLost, check_finite, is_doubtful

Fits: TypeAlias = Callable[[Any], bool]
"""Tells of one value whether it has exactly the classes of its type. What has the wrong JSON type is found in writing."""

ANY: Final[CoreSchema] = {"type": "any"}
_SCALARS: Final = frozenset({"bool", "float", "int", "none", "str"})
_HARMLESS: Final = frozenset({"metadata", "ref", "type", "strict"})
"""What a schema may say besides what is looked at here."""
_CLASS_OPTIONS: Final = frozenset(
    {
        *CONFIG,
        "extra_fields_behavior",
        "from_attributes",
        "frozen",
        "hide_input_in_errors",
        "serialize_by_alias",
        "strict",
        "title",
        "validate_by_alias",
        "validate_by_name",
        "validate_default",
    }
)
_MODEL_KEYS: Final = frozenset(
    {"cls", "config", "custom_init", "extra_behavior", "frozen", "generic_origin", "root_model", "schema"}
)


class _NotPlain(Exception):
    """Values of this type have to be read back."""


def _anything(_value: Any) -> bool:
    return True


def plain_check(schema: CoreSchema) -> Fits | None:
    """Return what looks at the classes of values; None for a type whose values have to be read back.

    schema: as it is written. Values that are finite and fit are read as they were written: texts, whole numbers, lists,
    dicts with texts as keys, and models of these without anything of their own on the way.
    """
    try:
        return _Classes().of(schema)
    except _NotPlain:
        return None


class _Classes:
    """Builds the checks of one type. A model that refers to itself is looked up when it is met in a value."""

    def __init__(self) -> None:
        self._definitions: dict[str, Fits] = {}

    def of(self, schema: CoreSchema) -> Fits:
        """Return the check of a schema. Raises: _NotPlain."""
        if schema["type"] in _SCALARS:
            _only(schema, frozenset())
            return _anything
        build = getattr(self, "_of_" + schema["type"].replace("-", "_"), None)
        if build is None:
            raise _NotPlain
        fits: Fits = build(schema)
        return fits

    def _of_definitions(self, schema: CoreSchema) -> Fits:
        for definition in schema["definitions"]:
            self._definitions[definition["ref"]] = self.of(definition)
        return self.of(schema["schema"])

    def _of_definition_ref(self, schema: CoreSchema) -> Fits:
        _only(schema, {"schema_ref"})
        name = schema["schema_ref"]

        def fits_definition(value: Any) -> bool:
            return self._definitions[name](value)  # which is not there yet where a model refers to itself

        return fits_definition

    def _of_default(self, schema: CoreSchema) -> Fits:
        _only(schema, {"schema", "default", "default_factory", "default_factory_takes_data", "copy_default"})
        return self.of(schema["schema"])

    def _of_nullable(self, schema: CoreSchema) -> Fits:
        _only(schema, {"schema"})
        inner = self.of(schema["schema"])
        return _anything if inner is _anything else lambda value: value is None or inner(value)

    def _of_list(self, schema: CoreSchema) -> Fits:
        _only(schema, {"items_schema"})
        inner = self.of(schema.get("items_schema", ANY))
        return _anything if inner is _anything else lambda value: all(map(inner, value))

    def _of_dict(self, schema: CoreSchema) -> Fits:
        _only(schema, {"keys_schema", "values_schema"})
        keys = schema.get("keys_schema", ANY)
        if keys["type"] != "str" or self.of(keys) is not _anything:
            raise _NotPlain
        inner = self.of(schema.get("values_schema", ANY))
        return _anything if inner is _anything else lambda value: all(map(inner, value.values()))

    def _of_model(self, schema: CoreSchema) -> Fits:
        cls, config, within = schema["cls"], schema.get("config", {}), schema["schema"]
        _only(schema, _MODEL_KEYS)
        _only(within, {"computed_fields", "extra_behavior", "fields", "model_name"})
        is_ours = schema.get("custom_init") or schema.get("root_model") or within["type"] != "model-fields"
        extra = (within.get("extra_behavior"), config.get("extra_fields_behavior"), schema.get("extra_behavior"))
        if is_ours or "allow" in extra or within.get("computed_fields") or cls.__private_attributes__:
            raise _NotPlain
        if config.keys() - _CLASS_OPTIONS or any(config[key] != value for key, value in CONFIG.items()):
            raise _NotPlain
        inner = {name: self._field(field) for name, field in within["fields"].items()}
        return _model(cls, inner)

    def _field(self, field: CoreSchema) -> Fits:
        _only(field, {"schema", "frozen"})
        return self.of(field["schema"])


def _only(schema: CoreSchema, known: frozenset[str] | set[str]) -> None:
    """Raises: _NotPlain when a schema says something that is not known."""
    if schema.keys() - known - _HARMLESS:
        raise _NotPlain


def _model(cls: type, fields: Mapping[str, Fits]) -> Fits:
    names = frozenset(fields)
    to_look_at = [(name, fits) for name, fits in fields.items() if fits is not _anything]

    def fits_model(value: Any) -> bool:
        if type(value) is not cls or not names <= value.__dict__.keys():
            return False
        return all(fits(value.__dict__[name]) for name, fits in to_look_at)

    return fits_model


def is_json_type(schema: CoreSchema) -> bool:
    """Tell whether a type is that of any JSON value, or of lists and mappings of these."""
    kind, said = schema["type"], schema.keys() - _HARMLESS
    if kind == "any":
        return not said
    if kind in {"default", "nullable"}:
        return is_json_type(schema["schema"])
    if kind == "list":
        return said <= {"items_schema"} and is_json_type(schema.get("items_schema", ANY))
    has_texts_for_keys = kind == "dict" and schema.get("keys_schema", ANY)["type"] in {"any", "str"}
    is_plain = said <= {"keys_schema", "values_schema"}
    return has_texts_for_keys and is_plain and is_json_type(schema.get("values_schema", ANY))


def is_exactly(value: Any, written: Any) -> bool:
    """Tell whether a value is the very JSON value that was written of it. False may be wrong: whoever asks looks closer.

    Equal is not enough, since members of a StrEnum equal texts: marshal refuses whatever is no instance of exactly a
    built-in class, and looks through large values faster than Python code does.
    """
    try:
        if value != written:
            return False
        marshal.dumps(value)
    except (ValueError, TypeError, RecursionError, PydanticSerializationError):
        return False
    return True


def is_json(value: Any) -> bool:
    """Tell whether a value is JSON as it stands, with finite numbers."""
    try:
        text = to_json(value, inf_nan_mode="constants")
        if is_doubtful(text):
            check_finite(value, "")
        return is_exactly(value, from_json(text))
    except (ValueError, ValueLost):  # PydanticSerializationError is a ValueError
        return False
