"""Inputs of handlers and of activities: what fits, what does not, and what schemas say of it."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from levante.definition.mapping import activity_input, handler_input
from levante.errors import ErrorCode, InvalidArguments, WorkflowsException
from tests.unit.levante.definition.mapped import (
    OWNER,
    Aliased,
    Box,
    Card,
    Cash,
    Color,
    Handlers,
    Item,
    Names,
    Node,
    NotJson,
    Open,
    Optional,
    Order,
    bind,
    number,
    person,
)


@pytest.mark.parametrize(
    ("method", "value", "expected"),
    [
        pytest.param("nothing", None, {}, id="no parameters: no input is fine"),
        pytest.param("nothing", {}, {}, id="no parameters: neither is an empty object wrong"),
        pytest.param("one_model", {"items": []}, {"order": Order(items=[])}, id="one model: its fields are the keys"),
        pytest.param("one_primitive", {"name": "a"}, {"name": "a"}, id="one primitive: keyed by name"),
        pytest.param("optional_primitive", None, {"name": None}, id="no input: defaults stand in"),
        pytest.param("optional_primitive", {"name": "a"}, {"name": "a"}, id="an optional primitive is no union of models"),
        pytest.param("several", {"name": "a"}, {"name": "a", "times": 2, "loud": False}, id="defaults are honoured"),
        pytest.param("several", {"name": "a", "loud": True}, {"name": "a", "times": 2, "loud": True}, id="keyword-only"),
        pytest.param(
            "model_and_more",
            {"order": {"items": []}, "urgent": True},
            {"order": Order(items=[]), "urgent": True},
            id="a model among several parameters is keyed too",
        ),
        pytest.param("union", {"number": "1"}, {"payment": Card(number="1")}, id="the first that fits, though both do not"),
        pytest.param("union", {"amount": 1, "number": "1"}, {"payment": Cash(amount=1, number="1")}, id="extra keys decide"),
        pytest.param(
            "alias_of_union", {"amount": 1}, {"payment": Cash(amount=1)}, id="a `type` alias does not hide the union"
        ),
        pytest.param("nullable_union", None, {"payment": None}, id="null where None is allowed"),
        pytest.param("nullable_default", None, {"card": Card(number="0")}, id="no input: the default comes before None"),
        pytest.param("default_model", None, {"card": Card(number="0")}, id="no input: the default of the model parameter"),
        pytest.param("all_defaults", None, {"options": Optional()}, id="no input: no fields"),
        pytest.param("open_model", {"name": "a", "b": 1}, {"thing": Open(name="a", b=1)}, id="the model allows more"),
        pytest.param("aliased", {"givenName": "a"}, {"person": Aliased(givenName="a")}, id="by alias, as the schema says"),
        pytest.param(
            "recursive",
            {"label": "a", "children": [{"label": "b"}]},
            {"node": Node(label="a", children=[Node(label="b")])},
            id="a model that refers to itself",
        ),
        pytest.param("root", ["a"], {"names": Names(["a"])}, id="a root model takes its value as it is"),
        pytest.param("generic", {"content": 1}, {"box": Box[int](content=1)}, id="a generic model"),
        pytest.param("annotated", {"items": []}, {"order": Order(items=[])}, id="Annotated does not hide the model"),
        pytest.param(
            "model_and_rest",
            {"number": "1", "tip": 2},
            {"card": Card(number="1"), "rest": {"tip": 2}},
            id="**kwargs takes what the model does not declare",
        ),
        pytest.param("rest", {"name": "a", "b": 1}, {"name": "a", "rest": {"b": 1}}, id="**kwargs takes the rest"),
        pytest.param("sentinel", {"color": "red"}, {"color": Color.RED}, id="JSON becomes the annotated type"),
    ],
)
def test_handler_input_when_it_fits_then_the_method_gets_typed_values(
    method: str, value: Any, expected: dict[str, Any]
) -> None:
    """Every shape of parameters has one shape of input, and the API's schema agrees with what the method takes."""
    bound = bind(method, value)
    bound.apply_defaults()
    assert {name: given for name, given in bound.arguments.items() if name != "self"} == expected
    schema = Draft202012Validator(handler_input(OWNER, getattr(Handlers, method), {}, takes_extra=True).schema)
    assert schema.is_valid(value) or (value is None and schema.is_valid({}))


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        pytest.param("nothing", {"a": 1}, "'a' is unknown", id="no parameters take no fields"),
        pytest.param("one_primitive", {}, "parameter 'name' is missing", id="required"),
        pytest.param("one_primitive", "a", "keyed by parameter names", id="a bare value has no key"),
        pytest.param("one_primitive", {"name": "a", "b": 1}, "'b' is unknown", id="extra field"),
        pytest.param("several", {"name": "a", "times": "x"}, "parameter 'times': Input should be", id="wrong type"),
        pytest.param(
            "one_model", {"items": [{}]}, "parameter 'order': items.0.sku: Field required", id="path into the model"
        ),
        pytest.param("one_model", {"items": [], "b": 1}, "'b' is unknown", id="extra field beside a model"),
        pytest.param("one_model", [], "parameter 'order': Input should be an object", id="a list is no model"),
        pytest.param("one_model", None, "items: Field required", id="no input, but fields are required"),
        pytest.param("union", {"b": 1}, "as Cash: amount: Field required", id="none of the union fits"),
        pytest.param("union", None, "as Card: number: Field required", id="null is no member of the union"),
        pytest.param("aliased", {"given_name": "a"}, "'given_name' is unknown", id="the name behind an alias"),
        pytest.param("rest", {"name": "a", "b": "x"}, "parameter 'b': Input should be", id="**kwargs is typed"),
        pytest.param(
            "model_and_rest", {"number": "1", "b": "x"}, "field 'b': Input should be", id="**kwargs beside a model"
        ),
    ],
)
def test_handler_input_when_it_does_not_fit_then_the_error_names_the_place(method: str, value: Any, said: str) -> None:
    """Wrong input is the caller's to fix (422): the message names handler, parameter and path."""
    with pytest.raises(InvalidArguments) as caught:
        bind(method, value)
    assert said in caught.value.message
    assert caught.value.message.startswith("it 'x': ")
    assert caught.value.status == 422


@pytest.mark.parametrize(
    ("method", "value"),
    [
        pytest.param("nothing", {"a": 1}, id="no parameters"),
        pytest.param("one_model", {"items": [], "b": 1}, id="extra field beside a model"),
        pytest.param("one_primitive", {}, id="required"),
        pytest.param("union", {"number": "1", "b": 1}, id="extra field in a union"),
        pytest.param("recursive", {"label": "a", "b": 1}, id="extra field beside a recursive model"),
    ],
)
def test_schema_when_the_worker_would_refuse_then_the_api_refuses_too(method: str, value: Any) -> None:
    """What cannot be bound is refused before an execution is started."""
    schema = handler_input(OWNER, getattr(Handlers, method), {}, takes_extra=True).schema
    assert not Draft202012Validator(schema).is_valid(value)


def test_schema_when_parameters_have_defaults_then_it_shows_them() -> None:
    """People fill in forms that are made from the schema."""
    assert handler_input(OWNER, Handlers.several, {}, takes_extra=True).schema == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "times": {"type": "integer", "default": 2},
            "loud": {"type": "boolean", "default": False},
        },
        "required": ["name"],
        "additionalProperties": False,
    }


def test_schema_when_a_default_is_outside_the_type_then_it_is_left_out() -> None:
    """A sentinel as default is the function's affair."""
    schema = handler_input(OWNER, Handlers.sentinel, {}, takes_extra=True).schema
    assert "default" not in schema["properties"]["color"]


def test_schema_when_kwargs_are_taken_then_further_properties_are_allowed() -> None:
    """The API lets through what `**kwargs` takes."""
    assert handler_input(OWNER, Handlers.rest, {}, takes_extra=True).schema["additionalProperties"] == {"type": "integer"}
    assert handler_input(OWNER, Handlers.model_and_rest, {}, takes_extra=True).schema["additionalProperties"] is True


class Refused:
    """One method per thing that cannot be read from JSON by name."""

    def unannotated(self, name) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
    def variadic(self, *names: str) -> None: ...
    def positional_only(self, name: str, /) -> None: ...
    def unknown_name(self, name: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821
    def not_json(self, thing: NotJson) -> None: ...
    def no_schema(self, function: Callable[[], int]) -> None: ...
    def mixed_union(self, payment: Card | str) -> None: ...
    def without_self() -> None: ...  # type: ignore[misc]


@pytest.mark.parametrize(
    ("method", "said"),
    [
        pytest.param("unannotated", "'name' has no annotation", id="nothing says what to read"),
        pytest.param("variadic", "'names' cannot be given by name", id="*args have no names"),
        pytest.param("positional_only", "'name' cannot be given by name", id="input is given by name"),
        pytest.param("unknown_name", "name 'Missing' is not defined", id="annotations are read at run time"),
        pytest.param("not_json", "parameter 'thing' has type", id="a class that pydantic does not know"),
        pytest.param("no_schema", "no JSON schema", id="a type that has no JSON form"),
        pytest.param("mixed_union", "RootModel", id="a union of models and primitives is ambiguous"),
        pytest.param("without_self", "needs the parameter self", id="a method is called on an instance"),
    ],
)
def test_handler_input_when_it_could_never_be_bound_then_it_is_refused_at_definition(method: str, said: str) -> None:
    """A definition that cannot work fails when it is imported, not when it is first called."""
    with pytest.raises(WorkflowsException) as caught:
        _ = handler_input(OWNER, getattr(Refused, method), {}, takes_extra=True).schema
    assert said in caught.value.message
    assert caught.value.code is ErrorCode.WORKFLOW_DEFINITION_ERROR


def test_handler_input_when_kwargs_are_not_allowed_then_it_is_refused_at_definition() -> None:
    """An entrypoint's input is closed."""
    with pytest.raises(WorkflowsException, match="kwargs is not possible"):
        handler_input(OWNER, Handlers.rest, {}, takes_extra=False)


def test_handler_input_when_a_string_names_a_nested_class_then_the_given_names_resolve_it() -> None:
    """Classes inside the workflow class are in scope for its annotations."""

    def method(self: object, inner: "Inner") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    bound = handler_input(OWNER, method, {"Inner": Card}, takes_extra=True).bind({"number": "1"})
    assert bound == ((Card(number="1"),), {})


def send(order: Order, *, retries: int = 3, **labels: str) -> None: ...
def anything(thing: Any) -> None: ...


def test_activity_input_when_dumped_then_it_is_keyed_by_name_even_for_one_model() -> None:
    """Events list an activity's arguments by name; defaults are left to the worker that runs it."""
    mapper = activity_input(OWNER, send)
    dumped = mapper.dump((Order(items=[Item(sku="a")]),), {"region": "eu"})
    assert dumped == {"order": {"items": [{"sku": "a", "count": 1}], "note": None}, "region": "eu"}
    args, kwargs = mapper.bind(dumped)
    assert inspect.signature(send).bind(*args, **kwargs).arguments == {
        "order": Order(items=[Item(sku="a")]),
        "retries": 3,
        "labels": {"region": "eu"},
    }


def test_activity_input_when_a_model_has_aliases_and_computed_fields_then_it_comes_back_equal() -> None:
    """What we write ourselves is read back as it was, whatever the model shows to others."""
    mapper = activity_input(OWNER, person)
    who = Aliased(givenName="a")
    assert mapper.bind(mapper.dump((who,), {})) == ((who,), {})
    Draft202012Validator(mapper.schema).validate(mapper.dump((who,), {}))


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        pytest.param(("x",), {}, "parameter 'value': Input should be a valid integer", id="wrong type"),
        pytest.param((), {}, "missing a required argument: 'value'", id="missing"),
        pytest.param((1, 2), {}, "too many positional arguments", id="too many"),
        pytest.param((), {"value": 1, "b": 2}, "unexpected keyword argument 'b'", id="unknown"),
    ],
)
def test_activity_input_when_arguments_do_not_fit_then_the_call_fails_at_the_caller(
    args: tuple[Any, ...], kwargs: dict[str, Any], said: str
) -> None:
    """Arguments are checked where the mistake is, before anything is recorded."""
    with pytest.raises(InvalidArguments) as caught:
        activity_input(OWNER, number).dump(args, kwargs)
    assert said in caught.value.message


@pytest.mark.parametrize("value", [NotJson(), "\ud800"], ids=["an object", "half a character"])
def test_activity_input_when_an_argument_is_no_json_then_the_error_says_so(value: Any) -> None:
    """What cannot be recorded is refused before it is asked for."""
    with pytest.raises(WorkflowsException) as caught:
        activity_input(OWNER, anything).dump((value,), {})
    assert caught.value.code is ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR
