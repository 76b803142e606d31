"""What one type hint says: how its values are read and written as JSON, and the JSON schemas that describe them."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, Union

from pydantic import BaseModel, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from levante.errors import ErrorCode, WorkflowsException
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
    """One annotated type. internal: we write its values and we read them.

    Internal values keep the names of fields, and nothing computed, so that what is read equals what was written. Other
    values go by the aliases of fields, as the JSON schema says.
    """

    def __init__(self, owner: Owner, place: str, hint: Any, *, internal: bool) -> None:
        """Raises: WorkflowsException when JSON cannot carry values of this type."""
        try:
            self.adapter: TypeAdapter[Any] = TypeAdapter(hint)
        except (PydanticUserError, NameError) as error:
            raise owner.definition_error(f"{place} has type {hint!r}, which JSON cannot carry: {error}") from None
        self.internal = internal

    def read(self, value: Json) -> Any:
        """Return the value of this type that the JSON stands for. Raises: ValidationError."""
        by_name = True if self.internal else None
        by_alias = False if self.internal else None
        return self.adapter.validate_json(to_json(value), by_alias=by_alias, by_name=by_name)

    def check(self, value: Any) -> Any:
        """Return the value as this type, converted where that loses nothing. Raises: ValidationError."""
        return self.adapter.validate_python(value, by_alias=True, by_name=True)

    def write(self, value: Any) -> Json:
        """Return a value of this type as JSON. Raises: PydanticSerializationError, also where the type is another one."""
        text = self.adapter.dump_json(value, by_alias=not self.internal, round_trip=self.internal, warnings="error")
        return from_json(text)


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
    if hasattr(hint, "__value__"):  # made by a `type` statement
        return union_members(hint.__value__)
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
    by_alias = not any(value.internal for value in values)
    keyed = [(index, mode, value.adapter) for index, value in enumerate(values)]
    try:
        schemas, shared = TypeAdapter.json_schemas(keyed, by_alias=by_alias)
    except PydanticUserError as error:
        raise owner.definition_error(f"a type has no JSON schema: {error}") from None
    return [schemas[index, mode] for index, _, _ in keyed], shared.get("$defs", {})


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
