"""The one way in which domain and wire types are made: immutable, closed, validated."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, PlainSerializer, WithJsonSchema

Json: TypeAlias = Any
"""A JSON value. What is in it is the user's affair."""


def wire_time(at: datetime) -> str:
    """Write a time as UTC with microseconds and `Z`, so that texts sort as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


Time: TypeAlias = Annotated[
    AwareDatetime,
    PlainSerializer(wire_time, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An aware UTC time."""


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields. Errors do not quote what they refuse: that may be a payload."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, hide_input_in_errors=True)
