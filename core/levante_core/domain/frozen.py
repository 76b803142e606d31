"""The one way in which domain and wire types are made: immutable, closed, validated."""

import re
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError, to_json


def is_finite(value: Any) -> bool:
    """Tell whether a JSON value holds no infinity and no NaN, which JSON does not know."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(is_finite, value))


def _finite(value: Any) -> Any:
    """Refuse infinity and NaN: written as JSON they would become null. Most values are told to have none by their text."""
    if isinstance(value, float):
        is_doubtful = True
    elif value and isinstance(value, dict | list | tuple):
        try:
            text = to_json(value, inf_nan_mode="constants")
        except ValueError:
            return value  # it is no JSON for another reason, which whoever writes it says
        is_doubtful = b"Infinity" in text or b"NaN" in text
    else:
        return value
    if is_doubtful and not is_finite(value):
        raise PydanticCustomError("finite_number", "the value holds a number beyond 1.8e308 or NaN: send it as a text")
    return value


Json: TypeAlias = Annotated[Any, AfterValidator(_finite)]
"""A JSON value. What is in it is the user's affair, but that it can be written and read."""


def wire_time(at: datetime) -> str:
    """Write a time as UTC with microseconds and `Z`, so that texts sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _in_utc(at: datetime) -> datetime:
    try:
        at.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time lies, in UTC, in the years 1 to 9999") from None
    return at


Time: TypeAlias = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(wire_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware UTC time."""


_AWARE = TypeAdapter(AwareDatetime)
_NUMBER = re.compile(r"\s*[-+]?[\d._]+(?:[eE][-+]?\d+)?\s*")


def _moment(value: Any) -> Any:
    """Read a time as it is written, in strict bodies too: what a validator has had is no JSON any more."""
    if isinstance(value, int | float) or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("a time is written as in 2026-01-31T09:30:00Z")
    if not isinstance(value, str):
        return value
    try:
        return _AWARE.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise PydanticCustomError("datetime_parsing", "{problem}", {"problem": first["msg"]}) from None


Moment: TypeAlias = Annotated[Time, BeforeValidator(_moment)]
"""A time as callers write it, in queries and filters; a number is none, whatever it may count."""


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields, and numbers that JSON does not know.

    Errors do not quote what they refuse: that may be a payload.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True, allow_inf_nan=False)


MOST_PARAMETER_CHARACTERS = 512
"""Of a text in a query string, unless its field says otherwise."""
MOST_PARAMETER_VALUES = 100
"""Of a parameter that may be given several times."""


class Parameters(Frozen):
    """The parameters of a query string. No text in them is longer than MOST_PARAMETER_CHARACTERS."""

    model_config = ConfigDict(str_max_length=MOST_PARAMETER_CHARACTERS)


Search: TypeAlias = Annotated[str, Field(max_length=200)]
"""Words to search for."""
Cursor: TypeAlias = Annotated[str, Field(max_length=4096)]
"""Where a listing goes on, as the page before said."""
Limit: TypeAlias = Annotated[int, Field(ge=1, le=1000)]
"""How much a page of a listing holds."""
