"""Inputs and outputs of functions as JSON. Source of the rules: SDK contract §1 (read 2026-11-23).

Entrypoints and handlers are called from outside: a single model parameter spreads its fields over the top level of the
input. Activities are called by our own code: their input is always keyed by parameter names, their result the plain value.
"""

from __future__ import annotations

import inspect
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from types import NoneType
from typing import Any, TypeAlias, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from levante.dependencies import Dependency, check_provider
from levante.errors import ErrorCode, InvalidArguments, WorkflowsException
from levante.schemas import (
    Owner,
    ValueType,
    inlined,
    is_model,
    problems_of,
    resolved_hints,
    schemas_of,
    union_members,
    with_definitions,
)
from levante_core.protocol import Json, JsonSchema

Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""The positional and the keyword arguments of a call."""

_logger = logging.getLogger(__name__)


class Parameters:
    """The parameters of a function by name, `self` left out.

    extra: the type of what `**kwargs` takes; None without it. injected: those that providers fill, which are in no input.
    """

    def __init__(
        self, owner: Owner, function: Callable[..., Any], names: Mapping[str, Any], *, method: bool, internal: bool
    ) -> None:
        """Raises: WorkflowsException when a parameter cannot be filled from JSON that is keyed by names."""
        self.owner = owner
        self.hints = resolved_hints(owner, function, names)
        self.named: dict[str, ValueType] = {}
        self.extra: ValueType | None = None
        self.injected: set[str] = set()
        declared = list(inspect.signature(function).parameters.values())
        if method and not declared:
            raise owner.definition_error("a method needs the parameter self")
        self._signature = inspect.Signature(declared[1:] if method else declared)
        for parameter in self._signature.parameters.values():
            self._add(parameter, internal=internal)

    def _add(self, parameter: inspect.Parameter, *, internal: bool) -> None:
        name, kind = parameter.name, parameter.kind
        if kind in {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.POSITIONAL_ONLY}:
            raise self.owner.definition_error(f"parameter {name!r} cannot be given by name, which is how input is given")
        if isinstance(parameter.default, Dependency):
            if not internal:
                raise self.owner.definition_error(
                    f"parameter {name!r}: Depends is for activities, which may have side effects"
                )
            check_provider(self.owner, parameter.default.provider, {})
            self.injected.add(name)
            return
        if name not in self.hints:
            raise self.owner.definition_error(f"parameter {name!r} has no annotation")
        value = ValueType(self.owner, f"parameter {name!r}", self.hints[name], internal=internal)
        if kind is inspect.Parameter.VAR_KEYWORD:
            self.extra, self._extra_name = value, name
        else:
            self.named[name] = value

    def default(self, name: str) -> Any:
        """Return the default of a parameter; `inspect.Parameter.empty` where it is required."""
        return self._signature.parameters[name].default

    def requires(self, name: str) -> bool:
        """Tell whether a parameter has no default."""
        return self.default(name) is inspect.Parameter.empty

    def arguments(self, values: Mapping[str, Any], extra: Mapping[str, Any]) -> Arguments:
        """Arrange values for a call; defaults stand in for what is missing, but for what providers fill."""
        bound = inspect.BoundArguments(self._signature, OrderedDict(values))
        if self.extra is not None:
            bound.arguments[self._extra_name] = extra
        bound.apply_defaults()
        for name in self.injected:
            del bound.arguments[name]
        return bound.args, bound.kwargs

    def given(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a call by name, those in `**kwargs` among them. Raises: InvalidArguments."""
        try:
            values = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArguments(f"{self.owner.label}: {error}") from None
        if given := self.injected & values.keys():
            names = ", ".join(map(repr, sorted(given)))
            raise InvalidArguments(f"{self.owner.label}: a workflow cannot give {names}: providers of the worker fill that")
        extra = values.pop(self._extra_name, {}) if self.extra is not None else {}
        return {**values, **extra}


class KeyedInput:
    """An input with one key for each parameter."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters

    @cached_property
    def schema(self) -> JsonSchema:
        """The JSON schema of the input. Raises: WorkflowsException when a parameter has none."""
        parameters = self._parameters
        extra = [parameters.extra] if parameters.extra else []
        schemas, definitions = schemas_of(parameters.owner, [*parameters.named.values(), *extra], "validation")
        properties = zip(parameters.named, schemas, strict=not extra)
        schema: JsonSchema = {
            "type": "object",
            "properties": {name: {**schema, **self._default(name)} for name, schema in properties},
            "required": [name for name in parameters.named if parameters.requires(name)],
            "additionalProperties": schemas[-1] if extra else False,
        }
        return with_definitions(schema, definitions)

    def _default(self, name: str) -> JsonSchema:
        if self._parameters.requires(name):
            return {}
        try:
            return {"default": self._parameters.named[name].write(self._parameters.default(name))}
        except PydanticSerializationError:  # a default outside the type, such as a sentinel, works but has no JSON
            return {}

    def bind(self, value: Json) -> Arguments:
        """Return the arguments that an input stands for; null stands for no keys. Raises: InvalidArguments."""
        parameters = self._parameters
        fields = {} if value is None else value
        if not isinstance(fields, dict):
            raise InvalidArguments(f"{parameters.owner.label}: the input has to be an object keyed by parameter names")
        missing = [name for name in parameters.named if name not in fields and parameters.requires(name)]
        problems = [f"parameter {name!r} is missing" for name in missing]
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for key, field in fields.items():
            other = None if key in parameters.injected else parameters.extra
            taken, value_type = (values, parameters.named[key]) if key in parameters.named else (extra, other)
            taken[key] = _read(value_type, field, f"parameter {key!r}", problems)
        if problems:
            raise _misfit(parameters.owner, problems)
        return parameters.arguments(values, extra)

    def dump(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Json]:
        """Return the input that stands for a call; defaults are left to whoever binds it.

        Raises: InvalidArguments when an argument does not fit its annotation; WorkflowsException when it is no JSON.
        """
        parameters = self._parameters
        fields: dict[str, Json] = {}
        problems: list[str] = []
        for name, value in parameters.given(args, kwargs).items():
            value_type = parameters.named.get(name) or parameters.extra
            assert value_type is not None, "a signature takes only what it names"  # noqa: S101
            try:
                fields[name] = value_type.write(value_type.check(value))
            except ValidationError as error:
                problems += problems_of(error, f"parameter {name!r}")
            except PydanticSerializationError as error:
                raise _unserializable(parameters.owner, f"parameter {name!r}", error) from None
        if problems:
            raise _misfit(parameters.owner, problems)
        return fields


class _Member:
    """One model of a ModelInput. Top-level fields that the model does not declare go to `**kwargs`, or are refused."""

    def __init__(self, parameters: Parameters, place: str, model: ValueType, schema: JsonSchema) -> None:
        self._extra = parameters.extra
        self._place = place
        self._model = model
        declares_all = "properties" in schema and schema.get("additionalProperties", False) is False
        self._declared = frozenset(schema["properties"]) if declares_all else None
        closed: JsonSchema = {"additionalProperties": parameters.extra is not None}
        self.schema = {**schema, **closed} if declares_all else schema

    def read(self, value: Json, problems: list[str]) -> tuple[Any, dict[str, Any]]:
        """Return the model and what goes to `**kwargs`, or add to the problems."""
        own, rest = value, {}
        if self._declared is not None and isinstance(value, dict):
            own = {key: field for key, field in value.items() if key in self._declared}
            rest = {key: field for key, field in value.items() if key not in self._declared}
        extra = {key: _read(self._extra, field, f"field {key!r}", problems) for key, field in rest.items()}
        return _read(self._model, own, self._place, problems), extra


class ModelInput:
    """An input that is one model, or one of several, tried in order; null where there is a default or None is allowed."""

    def __init__(self, parameters: Parameters, name: str) -> None:
        """Raises: WorkflowsException when the union has other members, or a model has no JSON schema."""
        self._parameters = parameters
        self._name = name
        members = union_members(parameters.hints[name])
        models = [member for member in members if member is not NoneType]
        if not all(is_model(member) for member in models):
            problem = f"parameter {name!r} mixes models with other types: wrap those in a pydantic RootModel"
            raise parameters.owner.definition_error(problem)
        self._nullable = NoneType in members
        places = [f"parameter {name!r} as {model.__name__}" for model in models]
        types = [ValueType(parameters.owner, places[index], model, internal=False) for index, model in enumerate(models)]
        if len(members) == 1:
            places, types = [f"parameter {name!r}"], [parameters.named[name]]
        schemas, definitions = schemas_of(parameters.owner, types, "validation")
        self._members = [
            _Member(parameters, place, value_type, inlined(schema, definitions))
            for place, value_type, schema in zip(places, types, schemas, strict=True)
        ]
        shapes = [member.schema for member in self._members]
        if self._nullable or not parameters.requires(name):
            shapes.append({"type": "null"})
        self.schema = with_definitions(shapes[0] if len(shapes) == 1 else {"anyOf": shapes}, definitions)

    def bind(self, value: Json) -> Arguments:
        """Return the arguments that an input stands for; the first model that fits is taken.

        Null stands for the default, for None where the annotation allows it, and else for no fields.
        Raises: InvalidArguments.
        """
        if value is None and not self._parameters.requires(self._name):
            return self._parameters.arguments({}, {})
        if value is None and self._nullable:
            return self._parameters.arguments({self._name: None}, {})
        problems: list[str] = []
        for member in self._members:
            found: list[str] = []
            model, extra = member.read({} if value is None else value, found)
            if not found:
                return self._parameters.arguments({self._name: model}, extra)
            problems += found
        raise _misfit(self._parameters.owner, problems)


HandlerInput: TypeAlias = KeyedInput | ModelInput
"""What an entrypoint, signal, query or update takes."""


def activity_input(owner: Owner, function: Callable[..., Any]) -> KeyedInput:
    """Read the input of an activity from its signature. Raises: WorkflowsException."""
    return KeyedInput(Parameters(owner, function, {}, method=False, internal=True))


def handler_input(owner: Owner, method: Callable[..., Any], names: Mapping[str, Any], *, takes_extra: bool) -> HandlerInput:
    """Read the input of a method from its signature. Raises: WorkflowsException.

    names: what string annotations may refer to besides the globals. takes_extra: whether `**kwargs` is allowed.
    """
    parameters = Parameters(owner, method, names, method=True, internal=False)
    if parameters.extra is not None and not takes_extra:
        raise owner.definition_error("**kwargs is not possible here: unknown fields of the input are refused")
    for name in parameters.named:
        if len(parameters.named) == 1 and any(is_model(member) for member in union_members(parameters.hints[name])):
            return ModelInput(parameters, name)
    return KeyedInput(parameters)


class ActivityOutput:
    """The result of an activity: checked against its annotation where it is made, read back where it is awaited."""

    def __init__(self, owner: Owner, hint: Any) -> None:
        """Raises: WorkflowsException when JSON cannot carry the type."""
        self._owner = owner
        self._type = ValueType(owner, "the result", hint, internal=True)

    def dump(self, value: Any) -> Json:
        """Return the result as JSON. Raises: WorkflowsException when it does not fit its annotation, or is no JSON."""
        try:
            return self._type.write(self._type.check(value))
        except (ValidationError, PydanticSerializationError) as error:
            raise _unserializable(self._owner, "the result", error) from None

    def load(self, value: Json) -> Any:
        """Return the result as its annotated type. Raises: WorkflowsException when the type has changed since."""
        try:
            return self._type.read(value)
        except ValidationError as error:
            raise _unserializable(self._owner, "the recorded result", error) from None


class HandlerOutput:
    """The result of an entrypoint or handler. wraps: what is neither model nor None becomes {"result": value}.

    schema: None where nothing is returned, or nothing is known of what is.
    """

    def __init__(self, owner: Owner, hint: Any, *, wraps: bool) -> None:
        """Raises: WorkflowsException when the type has no JSON schema."""
        self._owner = owner
        self._wraps = wraps
        self._type = ValueType(owner, "the result", hint, internal=False)
        self.schema = None if hint is Any or hint is NoneType else self._schema(hint)

    def _schema(self, hint: Any) -> JsonSchema:
        members = union_members(hint)
        bare = [member for member in members if member is NoneType or is_model(member) or not self._wraps]
        wrapped = [member for member in members if member not in bare]
        if not (bare and wrapped):  # keep what `Annotated` says of the whole
            bare, wrapped = ([hint] if bare else []), ([hint] if wrapped else [])
        unions = [Union[tuple(kind)] for kind in (bare, wrapped) if kind]  # noqa: UP007 - made at run time
        types = [ValueType(self._owner, "the result", union, internal=False) for union in unions]
        shapes, definitions = schemas_of(self._owner, types, "serialization")
        if wrapped:
            shapes[-1] = {"type": "object", "properties": {"result": shapes[-1]}, "required": ["result"]}
        return with_definitions(inlined(shapes[0], definitions) if len(shapes) == 1 else {"anyOf": shapes}, definitions)

    def dump(self, value: Any) -> Json:
        """Return the result as JSON; one that does not fit its annotation is logged and passed on as it is, unwrapped.

        Raises: WorkflowsException when it is no JSON at all.
        """
        try:
            if isinstance(value, BaseModel):
                return from_json(value.model_dump_json(by_alias=True, warnings="error"))
            plain = self._type.write(value) if value is not None else None
        except PydanticSerializationError:  # its message quotes the result
            _logger.warning("%s: the result does not fit its annotation, passed on as it is", self._owner.label)
            return self._raw(value)
        return {"result": plain} if self._wraps and value is not None else plain

    def load(self, value: Json) -> Any:
        """Return what was returned, from what `dump` made of it; what does not fit the annotation is passed on as it is."""
        is_wrapped = self._wraps and isinstance(value, dict) and value.keys() == {"result"}
        try:
            return self._type.read(value["result"] if is_wrapped else value)
        except ValidationError:
            return value

    def _raw(self, value: Any) -> Json:
        try:
            return from_json(to_json(value, inf_nan_mode="null"))
        except PydanticSerializationError as error:
            raise _unserializable(self._owner, "the result", error) from None


def _read(value_type: ValueType | None, field: Json, place: str, problems: list[str]) -> Any:
    """Return what a field stands for, or add to the problems. value_type: None where nothing takes the field."""
    if value_type is None:
        problems.append(f"{place} is unknown")
        return None
    try:
        return value_type.read(field)
    except ValidationError as error:
        problems += problems_of(error, place)


def _misfit(owner: Owner, problems: list[str]) -> InvalidArguments:
    return InvalidArguments(f"{owner.label}: {'; '.join(problems)}")


def _unserializable(owner: Owner, place: str, error: ValidationError | PydanticSerializationError) -> WorkflowsException:
    said = "; ".join(problems_of(error, place)) if isinstance(error, ValidationError) else f"{place} is no JSON: {error}"
    return WorkflowsException(f"{owner.label}: {said}", code=ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR)
