"""Writing and reading the values of a type by its schema for a form."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, cast

from pydantic_core import SchemaSerializer, SchemaValidator, core_schema

from levante.values.core_schemas import CoreSchema, parts
from levante.values.forms import CONFIG, Form, closed, formed

_WRITTEN_BY_ALIAS: dict[Form, bool | None] = {
    Form.INTERNAL: False,
    Form.INPUT: True,
    Form.RESULT: True,
    Form.SHOWN: None,
}
_READ_BY: dict[Form, tuple[bool | None, bool | None]] = {
    Form.INTERNAL: (False, True),
    Form.INPUT: (None, None),
    Form.RESULT: (True, False),
    Form.SHOWN: (None, None),
}
"""Whether fields are read by alias, and by name. None, here and above: as their class says."""

_KEYWORDS: dict[str, Any] = {"_use_prebuilt": False} if "_use_prebuilt" in (SchemaValidator.__text_signature__ or "") else {}
_COMPLETE = "__pydantic_complete__"


@contextmanager
def _built_anew(schema: CoreSchema) -> Iterator[None]:
    """Let pydantic build what reads and writes classes, and not take what they have, which is for another form.

    Before 2.13 it could not be told to; it does not take what an incomplete class has.
    """
    classes = set() if _KEYWORDS else {cls for cls in _classes(schema) if cls.__dict__.get(_COMPLETE)}
    for cls in classes:
        setattr(cls, _COMPLETE, False)
    try:
        yield
    finally:
        for cls in classes:
            setattr(cls, _COMPLETE, True)


def _classes(schema: CoreSchema) -> Iterator[type]:
    if isinstance(schema.get("cls"), type):
        yield schema["cls"]
    for part in parts(schema):
        yield from _classes(part)


class Codec:
    """Writes and reads the values of one type."""

    def __init__(self, type_schema: object, form: Form) -> None:
        """Raises: SchemaError for a schema that cannot be changed."""
        self.schema = formed(cast("CoreSchema", type_schema), form)
        self._form = form
        self._reader = _validator(self.schema)
        with _built_anew(self.schema):
            self._writer = SchemaSerializer(cast("core_schema.CoreSchema", self.schema), CONFIG, **_KEYWORDS)

    @cached_property
    def _checker(self) -> SchemaValidator:
        return _validator(closed(self.schema))

    def read(self, text: bytes) -> Any:
        """Return what a JSON text stands for. Raises: ValidationError."""
        by_alias, by_name = _READ_BY[self._form]
        return self._reader.validate_json(text, by_alias=by_alias, by_name=by_name)

    def check(self, value: Any) -> Any:
        """Return a value of Python as this type; undeclared keys are refused. Raises: ValidationError."""
        return self._checker.validate_python(value, by_alias=True, by_name=True)

    def is_instance(self, value: Any) -> bool:
        """Tell whether a value of Python is of this type, without any conversion."""
        return self._reader.isinstance_python(value, strict=True)

    def check_json(self, text: bytes) -> None:
        """Raises: ValidationError for what `read` would refuse, and for undeclared keys."""
        by_alias, by_name = _READ_BY[self._form]
        self._checker.validate_json(text, by_alias=by_alias, by_name=by_name)

    def write(self, value: Any, *, is_strict: bool = True) -> bytes:
        """Return the JSON text of a value. Raises: whatever a serializer of a user's raises, and PydanticSerializationError.

        is_strict: refuse what has another type than it is annotated with.
        """
        return self._writer.to_json(
            value,
            by_alias=_WRITTEN_BY_ALIAS[self._form],
            round_trip=not self._form.is_seen_outside,
            warnings="error" if is_strict else False,
        )


def _validator(schema: CoreSchema) -> SchemaValidator:
    with _built_anew(schema):
        return SchemaValidator(cast("core_schema.CoreSchema", schema), CONFIG, **_KEYWORDS)
