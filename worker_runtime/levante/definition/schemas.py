"""What one type hint says: how its values are read and written as JSON, and the JSON schemas that describe them."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeGuard, Union

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError, from_json, to_json

from levante.errors import ErrorCode, WorkflowsException
from levante.values.codec import Codec
from levante.values.core_schemas import AMBIGUOUS, kinds
from levante.values.exact import is_exactly
from levante.values.forms import Form
from levante.values.losses import (
    Comparison,
    ValueLost,
    ValueMisfits,
    at_location,
    check_finite,
    check_no_secret,
    is_doubtful,
    unwritable,
)
from levante.values.plain import is_json_type, plain_check, plain_fields
from levante_core.protocol import Json, JsonSchema


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose input or output it is, for messages: "activity 'charge'". code: how a wrong definition of it is reported."""

    label: str
    code: ErrorCode

    def definition_error(self, problem: str) -> WorkflowsException:
        """Build the error for a definition that cannot work."""
        return WorkflowsException(f"{self.label}: {problem}", code=self.code)


class ValueType:
    """One annotated type, whose values are written and read in a form.

    What is read equals what was written, classes included, or nothing is written: see docs/values.md. What decides whether
    a value has to be read back for that is found once, when the type is.
    """

    def __init__(self, owner: Owner, place: str, hint: Any, form: Form) -> None:
        """Raises: WorkflowsException when JSON cannot carry values of this type."""
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(hint)
            self._codec = Codec(self.adapter.core_schema, form)
        except (PydanticUserError, NameError, SchemaError) as error:
            raise owner.definition_error(f"{place} has type {hint!r}, which JSON cannot carry: {error}") from None
        schema = self._codec.schema
        found = kinds(schema)
        if "generator" in found:
            raise owner.definition_error(f"{place} has type {hint!r}, which can be read only once: take a list")
        self.form = form
        is_open_exact = form is not Form.RESULT
        self._is_ambiguous = bool(found & AMBIGUOUS)
        is_exact = self._is_ambiguous or (is_open_exact and "any" in found)
        fields = plain_fields(schema)
        self._comparison = Comparison(is_exact=is_exact, is_open_exact=is_open_exact, plain_fields=fields)
        self._is_json = is_json_type(schema)
        self._is_open = "any" in found
        self._fits = plain_check(schema)

    def read(self, value: Json) -> Any:
        """Return the value of this type that the JSON stands for. Raises: ValidationError."""
        return self._codec.read(to_json(value))

    def check(self, value: Any, path: str) -> Any:
        """Return the value as this type, converted where that loses nothing. Raises: ValidationError, ValueLost.

        What is of a union's type already is not converted into another member of it.
        """
        converted = self._codec.check(value)
        if self._is_ambiguous and self._codec.is_instance(value):
            Comparison(is_exact=True, widens=True).check(value, converted, path)
        return converted

    def is_instance(self, value: Any) -> bool:
        """Tell whether a value is of this type, as a type checker sees it: instances of derived classes are."""
        return self._codec.is_instance(value)

    def check_json(self, value: Json) -> None:
        """Raises: ValidationError for JSON that stands for no value of this type, or holds keys that would be lost."""
        self._codec.check_json(to_json(value))

    def write(self, value: Any, path: str, *, is_read_back: bool = True) -> Json:
        """Return a value of this type as JSON. Raises: ValueLost, ValueMisfits.

        path: what the value is called, such as `result`. is_read_back: False takes what has a JSON form, even if it would
        arrive as something else.
        """
        try:
            text = self._codec.write(value)
        except Exception:  # noqa: BLE001 - whatever a serializer of a user's raises; its message may quote the value
            raise self._reason(value, path) from None
        plain = _parsed(text, value, path)
        is_whole = is_exactly(value, plain) if self._is_json else self._fits is not None and self._fits(value)
        if is_read_back and not is_whole:
            self._compare(value, text, path)
        elif self._is_open and not is_whole:
            check_no_secret(value, path)
        return plain

    def write_anyhow(self, value: Any, path: str) -> Json:
        """Return the JSON form of a value that may have another type. Raises: ValueLost when there is none."""
        try:
            text = self._codec.write(value, is_strict=False)
        except Exception:  # noqa: BLE001 - as above
            raise self._reason(value, path) from None
        check_no_secret(value, path)
        return _parsed(text, value, path)

    def _compare(self, value: Any, text: bytes, path: str) -> None:
        """Raises: ValueLost when what would be read of the text is another value."""
        try:
            arriving = self._codec.read(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise ValueLost(at_location(path, first["loc"]), f"could not be read back: {first['msg']}") from None
        self._comparison.check(value, arriving, path)

    def _reason(self, value: Any, path: str) -> ValueLost:
        """Return why a value cannot be written."""
        found = unwritable(value, path)
        if found is not None:
            return found
        if self.form.is_seen_outside:
            try:
                check_no_secret(value, path)
            except ValueLost as lost:
                return lost
        try:
            text = self._codec.write(value, is_strict=False)
        except Exception as error:  # noqa: BLE001 - as above
            return ValueLost(path, f"a serializer of its type raised {type(error).__name__}")
        try:
            self._compare(value, text, path)
        except ValueLost as lost:
            return ValueMisfits(lost.path, lost.problem)
        return ValueMisfits(path, "holds something of another type than it is annotated with")


REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


@lru_cache(maxsize=1024)
def own_type(hint: Any, form: Form) -> ValueType:
    """Return the type of values that are written as their own class says, whatever is annotated; hint: that class."""
    owner = Owner(getattr(hint, "__qualname__", str(hint)), ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR)
    return ValueType(owner, "the value", hint, form)


def _parsed(text: bytes, value: Any, path: str) -> Json:
    """Return the JSON value of a text. Raises: ValueLost for numbers that JSON does not know. value: what was written."""
    try:
        plain = from_json(text)
    except ValueError:
        raise ValueLost(path, "is nested too deeply, or holds a number of more than 4,300 digits") from None
    if is_doubtful(text):
        try:
            check_finite(plain, path)
        except ValueLost:
            check_finite(value, path)  # which knows the places by their names
            raise
    if REPLACEMENT in text and (lost := unwritable(value, path)):  # pydantic puts it into keys for half a character
        raise lost
    return plain


def resolved_hints(owner: Owner, function: Callable[..., Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """Return the annotations of a function as types; names: what strings may refer to besides the module's globals.

    Raises: WorkflowsException when a name is not known at run time.
    """
    try:
        return typing.get_type_hints(function, localns=dict(names), include_extras=True)
    except NameError as error:
        problem = f"{error}; annotations are read at run time: define or import the name at module level, above"
        raise owner.definition_error(problem) from None


def union_members(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union, in order, seen through `Annotated` and aliases; another hint is its own only member."""
    if typing.get_origin(hint) is Annotated:
        return union_members(typing.get_args(hint)[0])
    if hasattr(hint, "__value__"):  # made by a `type` statement, with parameters perhaps
        arguments = typing.get_args(hint)
        return union_members(hint.__value__[arguments] if arguments else hint.__value__)
    if hasattr(hint, "__supertype__"):  # made by NewType
        return union_members(hint.__supertype__)
    if typing.get_origin(hint) in {Union, types.UnionType}:
        return tuple(member for nested in typing.get_args(hint) for member in union_members(nested))
    return (hint,)


def is_model(hint: Any) -> TypeGuard[type[BaseModel]]:
    """Tell whether a hint is the class of a pydantic model."""
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def schemas_of(
    owner: Owner, values: Sequence[ValueType], mode: Literal["validation", "serialization"]
) -> tuple[list[JsonSchema], dict[str, JsonSchema]]:
    """Return a JSON schema for each type, and the definitions that they share.

    Raises: WorkflowsException when there is none for a type.
    """
    by_alias = not any(value.form is Form.INTERNAL for value in values)
    keyed = [(index, mode, value.adapter) for index, value in enumerate(values)]
    try:
        schemas, shared = TypeAdapter.json_schemas(keyed, by_alias=by_alias)
    except PydanticUserError as error:
        raise owner.definition_error(f"a type has no JSON schema: {error}") from None
    found = [schemas[index, mode] for index, _, _ in keyed]
    return [_with_base64(schema) for schema in found], _with_base64(shared.get("$defs", {}))


def _with_base64(schema: Any) -> Any:
    """Say of bytes that they are base64, where pydantic says that they are bytes."""
    if isinstance(schema, dict):
        changed = {key: _with_base64(value) for key, value in schema.items()}
        is_binary = schema.get("type") == "string" and schema.get("format") == "binary"
        return {**changed, "format": "base64url"} if is_binary else changed
    return [_with_base64(value) for value in schema] if isinstance(schema, list) else schema


def inlined(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """Return the definition behind a schema that only refers to one."""
    return definitions[schema["$ref"].removeprefix("#/$defs/")] if "$ref" in schema else schema


def with_definitions(schema: JsonSchema, definitions: Mapping[str, JsonSchema]) -> JsonSchema:
    """Add the definitions that a schema refers to, directly or not."""
    used: dict[str, JsonSchema] = {}
    unread = [schema]
    while unread:
        text = to_json(unread.pop()).decode()
        found = [name for name in definitions if name not in used and f'"#/$defs/{name}"' in text]
        used |= {name: definitions[name] for name in found}
        unread += [definitions[name] for name in found]
    return {**schema, "$defs": used} if used else schema


def problems_of(error: ValidationError, place: str) -> Iterator[str]:
    """Say what is wrong with a value, and where; never what the value is, which may be a secret."""
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        path = ".".join(str(step) for step in problem["loc"])
        yield f"{place}: {path}: {problem['msg']}" if path else f"{place}: {problem['msg']}"
