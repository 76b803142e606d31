"""Forms: models whose fields say how a client shows them. Source of the names: SDK contract §5 (read 2026-11-23).

The contract gives no JSON for them. Ours is plain JSON schema where that has a word (`pattern`, `minimum`, `format`, `oneOf`
with `const` and `title`); what it has no word for starts with `x-`. The rules of the schema are checked on submission.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from levante_core.protocol import JsonSchema

__all__ = [
    "DateField",
    "DateTimeField",
    "FileField",
    "FileWithMetadataValue",
    "FormInput",
    "MultiChoice",
    "NumberField",
    "SingleChoice",
    "TextField",
]

FIELD_KIND = "x-field"
PREFILLED = "x-prefilled-value"
INPUT_KIND = "x-input-kind"

Options: TypeAlias = Sequence[str | tuple[str, str]]
"""What can be chosen: values, or pairs of a value and the label that people see."""


class FileWithMetadataValue(BaseModel):
    """An uploaded file. url: where it can be loaded from, for a while. content_type: a MIME type."""

    filename: str
    url: str
    content_type: str


class FormInput(BaseModel):
    """Base of forms; its fields are made by TextField, NumberField and the like. It takes no fields but its own."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={INPUT_KIND: "form"})

    @field_validator("*")
    @classmethod
    def _is_an_option(cls, value: Any, info: ValidationInfo) -> Any:
        schema = cls.model_fields[info.field_name or ""].json_schema_extra
        values = _values_in(schema) if isinstance(schema, dict) else None
        if values is None or value is None:
            return value
        chosen = value if isinstance(value, list) else [value]
        if not set(chosen) <= set(values):
            raise PydanticCustomError("unknown_option", "has to be among: {options}", {"options": ", ".join(values)})
        if len(set(chosen)) < len(chosen):
            raise PydanticCustomError("repeated_option", "an option is chosen twice")
        return value


def TextField(  # noqa: N802 - the contract's name
    description: str | None = None, *, pattern: str | None = None, prefilled_value: str | None = None
) -> Any:
    """Make a field for a text. pattern: a regular expression that the whole of it has to match, if anchored.

    prefilled_value, here and below: what a client shows at first; it has to be submitted all the same, and one that does
    not fit is left out.
    """
    fits = prefilled_value is not None and (pattern is None or re.search(pattern, prefilled_value) is not None)
    return _field("text", description, prefilled_value if fits else None, pattern=pattern)


def NumberField(  # noqa: N802 - the contract's name
    description: str | None = None,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    exclusive_minimum: float | None = None,
    exclusive_maximum: float | None = None,
    prefilled_value: float | None = None,
) -> Any:
    """Make a field for a number within bounds."""
    shown = prefilled_value
    if shown is not None and not (
        (minimum is None or shown >= minimum)
        and (maximum is None or shown <= maximum)
        and (exclusive_minimum is None or shown > exclusive_minimum)
        and (exclusive_maximum is None or shown < exclusive_maximum)
    ):
        shown = None
    return _field("number", description, shown, ge=minimum, le=maximum, gt=exclusive_minimum, lt=exclusive_maximum)


def DateField(description: str | None = None, *, prefilled_value: str | None = None) -> Any:  # noqa: N802 - the contract's name
    """Make a field for a date. prefilled_value: ISO 8601."""
    return _field("date", description, _iso(prefilled_value, date))


def DateTimeField(description: str | None = None, *, prefilled_value: str | None = None) -> Any:  # noqa: N802 - as above
    """Make a field for a date and time. prefilled_value: ISO 8601."""
    return _field("date-time", description, _iso(prefilled_value, datetime))


def SingleChoice(options: Options, description: str | None = None, *, prefilled_value: str | None = None) -> Any:  # noqa: N802 - as above
    """Make a field for one of the options."""
    choices = _choices(options)
    shown = prefilled_value if any(one["const"] == prefilled_value for one in choices) else None
    return _field("single-choice", description, shown, {"oneOf": choices})


def MultiChoice(  # noqa: N802 - the contract's name
    options: Options, description: str | None = None, *, prefilled_value: Sequence[str] | None = None
) -> Any:
    """Make a field for any of the options, each at most once. Options of prefilled_value that do not exist are left out."""
    choices = _choices(options)
    known = [value for value in prefilled_value or () if any(one["const"] == value for one in choices)]
    several: JsonSchema = {"items": {"type": "string", "oneOf": choices}, "uniqueItems": True}
    return _field("multi-choice", description, known or None, several)


def FileField(description: str | None = None, *, multiple: bool = False, include_metadata: bool = False) -> Any:  # noqa: N802 - as above
    """Make a field for an uploaded file.

    The annotation says what comes: `str` for its URL or with include_metadata FileWithMetadataValue; a list of these with
    multiple.
    """
    extra: JsonSchema = {"x-multiple": multiple, "x-include-metadata": include_metadata}
    return _field("file", description, None, extra)


def _field(kind: str, description: str | None, shown: Any, extra: JsonSchema | None = None, **rules: Any) -> Any:
    schema = {FIELD_KIND: kind, **(extra or {})} | ({} if shown is None else {PREFILLED: shown})
    given = {name: value for name, value in rules.items() if value is not None}
    return Field(description=description, json_schema_extra=schema, **given)


def _choices(options: Options) -> list[JsonSchema]:
    pairs = [(option, option) if isinstance(option, str) else option for option in options]
    if not pairs or len({value for value, _ in pairs}) < len(pairs):
        raise ValueError(f"options have to be given, each with another value, not {list(options)!r}")
    return [{"const": value, "title": label} for value, label in pairs]


def _values_in(schema: JsonSchema) -> list[str] | None:
    """Return the values that a field's schema allows; None where it is no choice."""
    choices = schema.get("oneOf") or schema.get("items", {}).get("oneOf")
    return None if choices is None else [str(one["const"]) for one in choices]


def _iso(value: str | None, kind: type[date]) -> str | None:
    """Return the text of a date, or None where it is none."""
    try:
        kind.fromisoformat(value or "")
    except ValueError:
        return None
    return value
