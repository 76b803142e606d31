"""Single values that are read exactly as they were written."""

from __future__ import annotations

import marshal
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic_core import PydanticSerializationError, from_json, to_json

from levante.values.core_schemas import CoreSchema
from levante.values.losses import ValueLost, check_finite, is_doubtful

Fits = Callable[[Any], bool]

_MINUTE: Final = timedelta(minutes=1)
_SAID_OF_ALL: Final = frozenset({"metadata", "microseconds_precision", "ref", "strict", "type"})


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


def _of_class(cls: type) -> Callable[[CoreSchema], Fits | None]:
    def build(schema: CoreSchema) -> Fits | None:
        return None if schema.keys() - _SAID_OF_ALL else lambda value: type(value) is cls

    return build


def _datetime(schema: CoreSchema) -> Fits | None:
    """Texts hold offsets in minutes."""
    if schema.keys() - _SAID_OF_ALL:
        return None
    return lambda value: type(value) is datetime and not (value.utcoffset() or _MINUTE) % _MINUTE


def _time(schema: CoreSchema) -> Fits | None:
    return None if schema.keys() - _SAID_OF_ALL else lambda value: type(value) is time and value.tzinfo is None


def _decimal(schema: CoreSchema) -> Fits | None:
    return None if schema.keys() - _SAID_OF_ALL else lambda value: type(value) is Decimal and value.is_finite()


def _literal(schema: CoreSchema) -> Fits | None:
    expected = schema["expected"]
    if schema.keys() - _SAID_OF_ALL - {"expected"} or any(type(one) is not str for one in expected):
        return None
    return lambda value: type(value) is str and value in expected


def _enum(schema: CoreSchema) -> Fits | None:
    """Members are told apart by their values, if these are all of one JSON type."""
    cls, kinds = schema["cls"], {type(member.value) for member in schema["members"]}
    if schema.keys() - _SAID_OF_ALL - {"cls", "members", "sub_type"} or kinds not in ({str}, {int}):
        return None
    return lambda value: type(value) is cls


LEAVES: Final[Mapping[str, Callable[[CoreSchema], Fits | None]]] = {
    "bytes": _of_class(bytes),
    "date": _of_class(date),
    "datetime": _datetime,
    "decimal": _decimal,
    "enum": _enum,
    "literal": _literal,
    "time": _time,
    "timedelta": _of_class(timedelta),
    "uuid": _of_class(UUID),
}
"""What shows that the values of a kind of schema are read as they were written; None if the schema says too much."""
