"""Inputs of functions as JSON. Source of the rules: SDK contract §1 (read 2026-11-23).

Entrypoints and handlers are called from outside: a single model parameter spreads its fields over the top level of the
input. Activities are called by our own code: their input is always keyed by parameter names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from types import NoneType
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError

from levante.definition.parameters import Arguments, Parameters
from levante.definition.refusals import PayloadRefused
from levante.definition.schemas import (
    Owner,
    ValueType,
    inlined,
    is_model,
    own_type,
    problems_of,
    schemas_of,
    union_members,
    with_definitions,
)
from levante.diagnostics.calls import DurableCall
from levante.errors import InvalidArguments, WorkflowsException
from levante.values.exact import is_json
from levante.values.forms import Form
from levante.values.losses import Comparison, ValueLost, check_no_secret, check_taken
from levante_core.protocol import Json, JsonSchema, expected_shape, sent_shape


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
        """Show a default; not one outside the type, such as a sentinel, nor a secret: these work but are not shown."""
        if self._parameters.requires(name):
            return {}
        default = self._parameters.default(name)
        try:
            check_no_secret(default, name)
            return {"default": self._parameters.named[name].write(default, name, is_read_back=False)}
        except ValueLost:
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
        if missing or (fields.keys() - parameters.named.keys() and not parameters.extra):
            raise _misfit(parameters.owner, problems, self._shapes(value))
        if problems:
            raise _misfit(parameters.owner, problems)
        return parameters.arguments(values, extra)

    def _shapes(self, value: Json) -> str:
        """Show what is expected and what was sent: a second parameter turns a flat input into a nested one."""
        try:
            schema = self.schema
        except WorkflowsException:
            names = self._parameters.named
            schema = {"properties": {name: {} for name in names}, "required": [*filter(self._parameters.requires, names)]}
        return shapes(schema, value)

    def dump(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Json]:
        """Return the input that stands for a call; defaults are left to whoever binds it.

        Raises: InvalidArguments when an argument does not fit its annotation; PayloadRefused for one that would not arrive
        as it is.
        """
        return self._typed(self._parameters.given(args, kwargs))

    def write(self, given: object) -> Json:
        """Return the input that a model or a mapping stands for, the values of which may be those of Python or JSON.

        What is neither model nor mapping is passed on. Raises: as `dump`.
        """
        if isinstance(given, BaseModel):
            return self._from_mapping(_attributes(given, self._parameters))
        return self._from_mapping(given) if isinstance(given, Mapping) else given

    def sent(self, given: object) -> Json:
        """Return what `write` does, if it can be bound. Raises: as `dump`."""
        value = self.write(given)
        self.bind(value)
        problems: list[str] = []
        for name, field in value.items() if isinstance(value, dict) else ():
            value_type = self._parameters.type_of(name)
            try:
                if value_type is not None:
                    value_type.check_json(field)
            except ValidationError as error:
                problems += problems_of(error, f"parameter {name!r}")
        if problems:
            raise _misfit(self._parameters.owner, problems)
        return value

    def _from_mapping(self, given: Mapping[str, Any]) -> dict[str, Json]:
        typed = {name: value for name, value in given.items() if not is_json(value)}
        written = self._typed(typed) if typed else {}
        return {name: written.get(name, value) for name, value in given.items()}

    def _typed(self, values: Mapping[str, Any]) -> dict[str, Json]:
        """Write values by the annotations of their parameters."""
        owner, fields, problems = self._parameters.owner, {}, list[str]()
        for name, value in values.items():
            if type(value) is DurableCall:
                raise value.misused(f"given as {name!r} of {owner.label}")
            value_type = self._parameters.type_of(name)
            if value_type is None:
                problems.append(f"parameter {name!r} is unknown")
                continue
            try:
                fields[name] = value_type.write(value_type.check(value, name), name)
            except ValidationError as error:
                problems += problems_of(error, f"parameter {name!r}")
            except ValueLost as lost:
                raise PayloadRefused(f"{owner.label}: parameter {name!r}: {lost}") from None
        if problems:
            raise _misfit(owner, problems)
        return fields


def _attributes(given: BaseModel, parameters: Parameters) -> dict[str, Any]:
    """Return the values of a model by the parameters that take them: by alias, or else by name."""
    values = dict(given.model_extra or {})
    for name, field in type(given).model_fields.items():
        keys = [key for key in (field.serialization_alias, field.alias, field.validation_alias) if isinstance(key, str)]
        key = next((key for key in (*keys, name) if key in parameters.named), (keys or [name])[0])
        values[key] = getattr(given, name)
    return values


class _Member:
    """One model of a ModelInput. Top-level fields that the model does not declare go to `**kwargs`, or are refused."""

    def __init__(self, parameters: Parameters, place: str, cls: type[BaseModel], of: ValueType, schema: JsonSchema) -> None:
        self.cls = cls
        self.type = of
        self._extra = parameters.extra
        self._place = place
        declares_all = "properties" in schema and schema.get("additionalProperties", False) is False
        self._declared = frozenset(schema["properties"]) if declares_all else None
        closed: JsonSchema = {"additionalProperties": parameters.extra is not None}
        self.schema = {**schema, **closed} if declares_all else schema

    def read(self, value: Json, problems: list[str]) -> tuple[Any, dict[str, Any]]:
        """Return the model and what goes to `**kwargs`, or add to the problems."""
        own, rest = self._divided(value)
        extra = {key: _read(self._extra, field, f"field {key!r}", problems) for key, field in rest.items()}
        return _read(self.type, own, self._place, problems), extra

    def has_keys_of(self, value: Json) -> bool:
        """Tell whether an input has the keys that the model needs, and none that nothing takes."""
        if self._declared is None or not isinstance(value, dict):
            return isinstance(value, dict)
        return value.keys() >= set(self.schema.get("required", ())) and (bool(self._extra) or value.keys() <= self._declared)

    def check_json(self, value: Json) -> None:
        """Raises: ValidationError when the model does not take the input as a whole."""
        self.type.check_json(self._divided(value)[0])

    def _divided(self, value: Json) -> tuple[Json, dict[str, Json]]:
        """Return what is the model's, and the top-level fields that it does not declare."""
        if self._declared is None or not isinstance(value, dict):
            return value, {}
        own = {key: field for key, field in value.items() if key in self._declared}
        return own, {key: field for key, field in value.items() if key not in self._declared}

    def write(self, given: Mapping[str, Any], path: str) -> Json:
        """Return the JSON of fields whose values may be those of Python. Raises: ValidationError, ValueLost."""
        known = {*self.cls.model_fields, *(self._declared or given)}
        own = {key: value for key, value in given.items() if self._extra is None or key in known}
        fields = self.type.write(self.type.check(own, path), path)
        if self._extra is None or not isinstance(fields, dict):
            return fields
        return fields | {
            key: self._extra.write(self._extra.check(given[key], key), key) for key in given if key not in known
        }


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
        types = [ValueType(parameters.owner, places[index], model, Form.INPUT) for index, model in enumerate(models)]
        if len(members) == 1:
            places, types = [f"parameter {name!r}"], [parameters.named[name]]
        schemas, definitions = schemas_of(parameters.owner, types, "validation")
        self._members = [
            _Member(parameters, place, cls, value_type, inlined(schema, definitions))
            for place, cls, value_type, schema in zip(places, models, types, schemas, strict=True)
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
        has_keys = any(member.has_keys_of(value) for member in self._members)
        raise _misfit(self._parameters.owner, problems, None if has_keys else shapes(self.schema, value))

    def write(self, given: object) -> Json:
        """Return the input that a model or a mapping stands for, the values of which may be those of Python or JSON.

        What is neither model nor mapping is passed on. Raises: InvalidArguments; PayloadRefused for what would not arrive.
        """
        try:
            if isinstance(given, BaseModel):
                same = [member.type for member in self._members if member.cls is type(given)]
                return (same[0] if same else own_type(type(given), Form.INPUT)).write(given, self._name)
            return self._from_mapping(given) if isinstance(given, Mapping) and not is_json(given) else given
        except ValueLost as lost:
            raise self._refused(lost) from None

    def sent(self, given: object) -> Json:
        """Return what `write` does, if it can be bound, and a model arrives as it is. Raises: as `write`."""
        value = self.write(given)
        args, kwargs = self.bind(value)
        arriving = args[0] if args else kwargs[self._name]
        if not isinstance(given, BaseModel):
            self._check_taken(value, arriving)
            return value
        try:
            if isinstance(given, tuple(member.cls for member in self._members)):
                Comparison(is_exact=True).check(given, arriving, self._name)
            else:  # another class with such fields
                check_taken(value, own_type(arriving.__class__, Form.INPUT).write(arriving, self._name), self._name)
        except ValueLost as lost:
            raise self._refused(lost) from None
        return value

    def _check_taken(self, value: Json, arriving: object) -> None:
        """Raises: InvalidArguments when the input holds keys within it that nothing takes."""
        try:
            for member in self._members:
                if member.cls is type(arriving) and value is not None:
                    member.check_json(value)
        except ValidationError as error:
            raise _misfit(self._parameters.owner, [*problems_of(error, f"parameter {self._name!r}")]) from None

    def _from_mapping(self, given: Mapping[str, Any]) -> Json:
        problems: list[str] = []
        for member in self._members:
            try:
                return member.write(given, self._name)
            except ValidationError as error:
                problems += problems_of(error, f"parameter {self._name!r} as {member.cls.__name__}")
        raise _misfit(self._parameters.owner, problems)

    def _refused(self, lost: ValueLost) -> PayloadRefused:
        return PayloadRefused(f"{self._parameters.owner.label}: parameter {self._name!r}: {lost}")


HandlerInput: TypeAlias = KeyedInput | ModelInput
"""What an entrypoint, signal, query or update takes."""


def activity_input(owner: Owner, function: Callable[..., Any]) -> KeyedInput:
    """Read the input of an activity from its signature. Raises: WorkflowsException."""
    return KeyedInput(Parameters(owner, function, {}, method=False, form=Form.INTERNAL))


def handler_input(owner: Owner, method: Callable[..., Any], names: Mapping[str, Any], *, takes_extra: bool) -> HandlerInput:
    """Read the input of a method from its signature. Raises: WorkflowsException.

    names: what string annotations may refer to besides the globals. takes_extra: whether `**kwargs` is allowed.
    """
    parameters = Parameters(owner, method, names, method=True, form=Form.INPUT)
    if parameters.extra is not None and not takes_extra:
        raise owner.definition_error("**kwargs is not possible here: unknown fields of the input are refused")
    for name in parameters.named:
        if len(parameters.named) == 1 and any(is_model(member) for member in union_members(parameters.hints[name])):
            return ModelInput(parameters, name)
    return KeyedInput(parameters)


def _read(value_type: ValueType | None, field: Json, place: str, problems: list[str]) -> Any:
    """Return what a field stands for, or add to the problems. value_type: None where nothing takes the field."""
    if value_type is None:
        problems.append(f"{place} is unknown")
        return None
    try:
        return value_type.read(field)
    except ValidationError as error:
        problems += problems_of(error, place)


def shapes(schema: JsonSchema, value: Json) -> str:
    """Write what a schema takes, and the keys of what was sent."""
    return f"expected is {expected_shape(schema)}, sent was {sent_shape(value)}"


def _misfit(owner: Owner, problems: list[str], shapes: str | None = None) -> InvalidArguments:
    """Build the error for an input that does not fit. shapes: what is expected and sent, if the keys differ."""
    return InvalidArguments(f"{owner.label}: {'; '.join([*problems, *([shapes] if shapes else [])])}", problems)
