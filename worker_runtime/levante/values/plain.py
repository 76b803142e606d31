"""Which values JSON carries as they are, so that nothing has to be read back to know that nothing is lost.

Each type is looked at once. Whatever is not known here is read back: a kind of schema, an option of a class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, cast

from pydantic_core import SchemaValidator, core_schema

from levante.values.core_schemas import CoreSchema, kinds, parts
from levante.values.exact import LEAVES, is_json
from levante.values.forms import CONFIG

Fits: TypeAlias = Callable[[Any], bool]
"""Tells whether a value of a type is read as it was written. False only says that it has to be read back."""

ANY: Final[CoreSchema] = {"type": "any"}
_SCALARS: Final = frozenset({"bool", "float", "int", "none", "str"})
"""What pydantic writes only if it has this JSON type, so that there is nothing to look at."""
_BOUNDS: Final = frozenset({"ge", "gt", "le", "lt", "max_length", "min_length", "multiple_of", "pattern"})
"""What may be said of a scalar. A value that was assigned later may be out of bounds, and could not be read."""
_HARMLESS: Final = frozenset({"metadata", "microseconds_precision", "ref", "strict", "type"})
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
_DEFAULT: Final = frozenset({"copy_default", "default", "default_factory", "default_factory_takes_data", "schema"})
_MODEL: Final = frozenset(
    {"cls", "config", "custom_init", "extra_behavior", "frozen", "generic_origin", "root_model", "schema"}
)
_FIELDS: Final = frozenset({"computed_fields", "extra_behavior", "fields", "model_name"})


class _NotPlain(Exception):
    """Values of this type have to be read back."""


def anything(_value: Any) -> bool:
    """Fit all values of a type."""
    return True


def plain_check(schema: CoreSchema) -> Fits | None:
    """Return what tells which values need not be read back; None for a type all of whose values do."""
    try:
        return _Checks(knows_definitions=True).of(schema)
    except _NotPlain:
        return None


def plain_fields(schema: CoreSchema) -> dict[type, dict[str, Fits]]:
    """Return the same for fields of the models within a type, where the type as a whole has to be read back.

    None where functions of a user's have their say, which may change any field.
    """
    found: dict[type, dict[str, Fits]] = {}
    unread = [] if any(kind.startswith("function-") for kind in kinds(schema)) else [schema]
    while unread:
        part = unread.pop()
        unread += parts(part)
        if part["type"] == "model" and _is_plain_class(part):
            checks = ((name, _plain_field(field)) for name, field in part["schema"]["fields"].items())
            found[part["cls"]] = {name: fits for name, fits in checks if fits is not None}
    return found


def _is_plain_class(model: CoreSchema) -> bool:
    """Tell whether a class has no ways of its own to make and write instances. Only its fields are not looked at."""
    config, within = model.get("config", {}), model["schema"]
    has_own_ways = model.get("custom_init") or model.get("root_model") or within["type"] != "model-fields"
    has_own_options = config.keys() - _CLASS_OPTIONS or any(config[key] != value for key, value in CONFIG.items())
    has_more = model.keys() - _MODEL - _HARMLESS or within.keys() - _FIELDS - _HARMLESS
    return not (has_own_ways or has_own_options or has_more)


def _plain_field(field: CoreSchema) -> Fits | None:
    try:
        return _Checks(knows_definitions=False).field(field)
    except _NotPlain:
        return None


class _Checks:
    """Builds the check of one type. A model that refers to itself is looked up when it is met in a value."""

    def __init__(self, *, knows_definitions: bool) -> None:
        self._definitions: dict[str, Fits] | None = {} if knows_definitions else None

    def of(self, schema: CoreSchema) -> Fits:
        """Return the check of a schema. Raises: _NotPlain."""
        kind = schema["type"]
        if kind in _SCALARS:
            return _scalar(schema)
        if kind in LEAVES:
            return _leaf(schema)
        build = getattr(self, "_of_" + kind.replace("-", "_"), None)
        if build is None:
            raise _NotPlain
        fits: Fits = build(schema)
        return fits

    def field(self, field: CoreSchema) -> Fits:
        """Return the check of a field of a model. Raises: _NotPlain."""
        _only(field, {"frozen", "schema", "serialization_alias", "validation_alias"})
        return self.of(field["schema"])

    def _of_any(self, schema: CoreSchema) -> Fits:
        _only(schema, set())
        return is_json

    def _of_definitions(self, schema: CoreSchema) -> Fits:
        if self._definitions is None:
            raise _NotPlain
        for definition in schema["definitions"]:
            self._definitions[definition["ref"]] = self.of(definition)
        return self.of(schema["schema"])

    def _of_definition_ref(self, schema: CoreSchema) -> Fits:
        _only(schema, {"schema_ref"})
        definitions, name = self._definitions, schema["schema_ref"]
        if definitions is None:
            raise _NotPlain

        def fits_definition(value: Any) -> bool:
            return definitions[name](value)  # which is not there yet where a model refers to itself

        return fits_definition

    def _of_default(self, schema: CoreSchema) -> Fits:
        _only(schema, _DEFAULT)
        return self.of(schema["schema"])

    def _of_nullable(self, schema: CoreSchema) -> Fits:
        _only(schema, {"schema"})
        inner = self.of(schema["schema"])
        return anything if inner is anything else lambda value: value is None or inner(value)

    def _of_union(self, schema: CoreSchema) -> Fits:
        """Tell classes apart that JSON tells apart too."""
        _only(schema, {"choices"})
        classes = {"none": type(None), "bool": bool, "int": int, "float": float, "str": str}
        choices = [choice for choice in schema["choices"] if isinstance(choice, dict)]
        if len(choices) < len(schema["choices"]) or any(_scalar_kind(choice) not in classes for choice in choices):
            raise _NotPlain
        members = {classes[choice["type"]] for choice in choices}
        return lambda value: type(value) in members

    def _of_list(self, schema: CoreSchema) -> Fits:
        _only(schema, {"items_schema"})
        inner = self.of(schema.get("items_schema", ANY))
        return anything if inner is anything else lambda value: all(map(inner, value))

    def _of_set(self, schema: CoreSchema) -> Fits:
        return self._of_list(schema)

    def _of_frozenset(self, schema: CoreSchema) -> Fits:
        return self._of_list(schema)

    def _of_tuple(self, schema: CoreSchema) -> Fits:
        _only(schema, {"items_schema", "variadic_item_index"})
        items = [self.of(item) for item in schema["items_schema"]]
        if "variadic_item_index" not in schema:
            return lambda value: type(value) is tuple and len(value) == len(items) and all(map(_apply, items, value))
        if len(items) > 1:
            raise _NotPlain
        return lambda value: type(value) is tuple and all(map(items[0], value))

    def _of_dict(self, schema: CoreSchema) -> Fits:
        _only(schema, {"keys_schema", "values_schema"})
        keys = schema.get("keys_schema", ANY)
        if _scalar_kind(keys) != "str":
            raise _NotPlain
        inner = self.of(schema.get("values_schema", ANY))
        return anything if inner is anything else lambda value: all(map(inner, value.values()))

    def _of_model(self, schema: CoreSchema) -> Fits:
        cls, config, within = schema["cls"], schema.get("config", {}), schema["schema"]
        extra = (within.get("extra_behavior"), config.get("extra_fields_behavior"), schema.get("extra_behavior"))
        has_more = "allow" in extra or within.get("computed_fields") or cls.__private_attributes__
        if has_more or not _is_plain_class(schema):
            raise _NotPlain
        fields = within["fields"]
        for alias in ("serialization_alias", "validation_alias"):
            keys = [str(field.get(alias, name)) for name, field in fields.items()]
            if len(set(keys)) < len(keys):  # two fields under one key
                raise _NotPlain
        return _model(cls, {name: self.field(field) for name, field in fields.items()})


def _only(schema: CoreSchema, known: frozenset[str] | set[str]) -> None:
    """Raises: _NotPlain when a schema says something that is not known."""
    if schema.keys() - known - _HARMLESS:
        raise _NotPlain


def _scalar_kind(schema: CoreSchema) -> str:
    """Return the kind of a schema that says nothing else; a text that no kind has for another one."""
    return str(schema["type"]) if not schema.keys() - _HARMLESS else ""


def _scalar(schema: CoreSchema) -> Fits:
    _only(schema, _BOUNDS)
    if not schema.keys() & _BOUNDS:
        return anything
    bounded = SchemaValidator(cast("core_schema.CoreSchema", schema))
    return lambda value: bounded.isinstance_python(value, strict=True)


def _leaf(schema: CoreSchema) -> Fits:
    fits = LEAVES[schema["type"]](schema)
    if fits is None:
        raise _NotPlain
    return fits


def _apply(fits: Fits, value: Any) -> bool:
    return fits(value)


def _model(cls: type, fields: Mapping[str, Fits]) -> Fits:
    names = frozenset(fields)
    to_look_at = [(name, fits) for name, fits in fields.items() if fits is not anything]

    def has_class(value: Any) -> bool:
        return type(value) is cls and value.__dict__.keys() >= names

    def fits_model(value: Any) -> bool:
        if not has_class(value):
            return False
        held = value.__dict__
        for name, fits in to_look_at:  # noqa: SIM110 - faster than all(), once for each model within a value
            if not fits(held[name]):
                return False
        return True

    return fits_model if to_look_at else has_class


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
