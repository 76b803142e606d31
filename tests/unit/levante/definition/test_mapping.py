"""Inputs and outputs as JSON: SDK contract §1."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field
from typing_extensions import TypeAliasType

from levante.definition.mapping import activity_input, handler_input
from levante.definition.outputs import ActivityOutput, HandlerOutput
from levante.definition.schemas import Owner
from levante.errors import ErrorCode, InvalidArguments, WorkflowsException

OWNER = Owner("it 'x'", ErrorCode.WORKFLOW_DEFINITION_ERROR)
T = TypeVar("T")


class Item(BaseModel):
    sku: str
    count: int = 1


class Order(BaseModel):
    items: list[Item]
    note: str | None = None


class Card(BaseModel):
    number: str


class Cash(BaseModel):
    amount: int
    number: str | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Aliased(BaseModel):
    given_name: str = Field(alias="givenName")

    @computed_field
    def greeting(self) -> str:
        return f"hello {self.given_name}"


class Node(BaseModel):
    label: str
    children: "list[Node]" = []


class Names(RootModel[list[str]]):
    pass


class Box(BaseModel, Generic[T]):
    content: T


class Optional(BaseModel):
    note: str = "none"


class Color(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class NotJson:
    pass


NOT_GIVEN: Any = NotJson()
UNCHECKED: Any = 1
Payment = TypeAliasType("Payment", Card | Cash)


class Handlers:
    """One method per shape of parameters."""

    def nothing(self) -> None: ...
    def one_model(self, order: Order) -> None: ...
    def one_primitive(self, name: str) -> None: ...
    def optional_primitive(self, name: str | None = None) -> None: ...
    def several(self, name: str, times: int = 2, *, loud: bool = False) -> None: ...
    def model_and_more(self, order: Order, urgent: bool) -> None: ...  # noqa: FBT001
    def union(self, payment: Card | Cash) -> None: ...
    def nullable_union(self, payment: Card | Cash | None) -> None: ...
    def nullable_default(self, card: Card | None = Card(number="0")) -> None: ...  # noqa: B008
    def default_model(self, card: Card = Card(number="0")) -> None: ...  # noqa: B008
    def all_defaults(self, options: Optional) -> None: ...
    def open_model(self, thing: Open) -> None: ...
    def aliased(self, person: Aliased) -> None: ...
    def recursive(self, node: Node) -> None: ...
    def root(self, names: Names) -> None: ...
    def generic(self, box: Box[int]) -> None: ...
    def annotated(self, order: Annotated[Order, Field(description="what to ship")]) -> None: ...
    def model_and_rest(self, card: Card, **rest: int) -> None: ...
    def rest(self, name: str, **rest: int) -> None: ...
    def alias_of_union(self, payment: Payment) -> None: ...
    def sentinel(self, color: Color = NOT_GIVEN) -> None: ...


def bind(name: str, value: Any) -> inspect.BoundArguments:
    method = getattr(Handlers, name)
    args, kwargs = handler_input(OWNER, method, {}, takes_extra=True).bind(value)
    return inspect.signature(method).bind(None, *args, **kwargs)


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
def person(who: Aliased) -> None: ...
def anything(thing: Any) -> None: ...
def number(value: int) -> None: ...


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


@pytest.mark.parametrize(
    ("hint", "value", "plain"),
    [
        pytest.param(int, 1, 1, id="not wrapped"),
        pytest.param(type(None), None, None, id="nothing"),
        pytest.param(Order, Order(items=[]), {"items": [], "note": None}, id="model"),
        pytest.param(list[Card], [Card(number="1")], [{"number": "1"}], id="models inside"),
        pytest.param(Point, Point(1), {"x": 1, "y": 0}, id="dataclass"),
        pytest.param(Color, Color.RED, "red", id="enum"),
        pytest.param(timedelta, timedelta(seconds=90), "PT1M30S", id="duration"),
        pytest.param(datetime, datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z", id="time"),
        pytest.param(UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001", id="uuid"),
        pytest.param(Decimal, Decimal("1.10"), "1.10", id="decimal"),
        pytest.param(tuple[int, str], (1, "a"), [1, "a"], id="tuple"),
        pytest.param(Card | Cash, Cash(amount=1), {"amount": 1, "number": None}, id="union"),
        pytest.param(Any, {"a": [1, None]}, {"a": [1, None]}, id="JSON as it is"),
        pytest.param(Aliased, Aliased(givenName="a"), {"given_name": "a"}, id="names of fields, nothing computed"),
    ],
)
def test_activity_output_when_loaded_then_it_equals_what_was_returned(hint: Any, value: Any, plain: Any) -> None:
    """`await act()` gives the declared type, read from what is recorded, live and on replay."""
    output = ActivityOutput(OWNER, hint)
    dumped = output.dump(value)
    assert dumped == plain
    loaded = output.load(dumped)
    assert loaded == value
    assert type(loaded) is type(value)


@pytest.mark.parametrize(
    ("hint", "value"),
    [(int, "x"), (Any, NotJson()), (Order, None)],
    ids=["other type", "no JSON", "None instead of a model"],
)
def test_activity_output_when_it_does_not_fit_then_the_attempt_fails(hint: Any, value: Any) -> None:
    """A result is checked before it is recorded, because it can never be changed afterwards."""
    with pytest.raises(WorkflowsException) as caught:
        ActivityOutput(OWNER, hint).dump(value)
    assert caught.value.code is ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR


def test_activity_output_when_its_type_has_changed_since_then_load_says_so() -> None:
    """A recorded result that the new code cannot read is a bug of the new code, not a failed activity."""
    with pytest.raises(WorkflowsException, match="the recorded result: Input should be"):
        ActivityOutput(OWNER, int).load("x")


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        pytest.param(Order, Order(items=[]), {"items": [], "note": None}, id="a model becomes an object"),
        pytest.param(Card | None, None, None, id="None becomes null"),
        pytest.param(int, 1, {"result": 1}, id="a primitive is wrapped"),
        pytest.param(dict[str, int], {"a": 1}, {"result": {"a": 1}}, id="a dict is wrapped too"),
        pytest.param(list[Card], [Card(number="1")], {"result": [{"number": "1"}]}, id="so is a list of models"),
        pytest.param(Card | int, Card(number="1"), {"number": "1"}, id="the model of a union"),
        pytest.param(Card | int, 1, {"result": 1}, id="the rest of a union"),
        pytest.param(Any, Card(number="1"), {"number": "1"}, id="without annotation, the value decides"),
        pytest.param(Node, Node(label="a"), {"label": "a", "children": []}, id="a model that refers to itself"),
    ],
)
def test_entrypoint_output_when_dumped_then_it_is_wrapped_unless_model_or_none(hint: Any, value: Any, expected: Any) -> None:
    """Source: SDK contract §1. The registered schema agrees with what is sent."""
    output = HandlerOutput(OWNER, hint, wraps=True)
    assert output.dump(value) == expected
    if output.schema is not None:
        Draft202012Validator(output.schema).validate(expected)


@pytest.mark.parametrize("hint", [Any, type(None)], ids=["not annotated", "returns nothing"])
def test_output_schema_when_nothing_is_known_of_the_result_then_there_is_none(hint: Any) -> None:
    """A schema that says nothing is left out."""
    assert HandlerOutput(OWNER, hint, wraps=True).schema is None


def test_handler_output_when_it_does_not_wrap_then_primitives_stay_as_they_are() -> None:
    """Queries and updates answer with the plain value."""
    output = HandlerOutput(OWNER, Annotated[int, Field(ge=0)], wraps=False)
    assert output.dump(1) == 1
    assert output.schema == {"type": "integer", "minimum": 0}


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        pytest.param(int, "x", "x", id="unwrapped, as the contract says"),
        pytest.param(Card, {"a": 1}, {"a": 1}, id="a dict instead of the model"),
        pytest.param(Card, Card.model_construct(number=UNCHECKED), {"number": 1}, id="a model that was not validated"),
    ],
)
def test_handler_output_when_it_does_not_fit_its_annotation_then_it_is_logged_and_passed_on(
    hint: Any, value: Any, expected: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The work of an execution is not lost to a wrong return annotation. The log does not quote the result."""
    assert HandlerOutput(OWNER, hint, wraps=True).dump(value) == expected
    assert caplog.messages == [f"{OWNER.label}: the result does not fit its annotation, passed on as it is"]


def test_handler_output_when_it_is_no_json_then_it_is_refused() -> None:
    """What cannot be recorded cannot be a result."""
    with pytest.raises(WorkflowsException) as caught:
        HandlerOutput(OWNER, Any, wraps=True).dump(NotJson())
    assert caught.value.code is ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR


def test_problems_when_a_secret_does_not_fit_then_its_value_is_not_in_the_message() -> None:
    """Messages are recorded and shown; inputs may be secret."""
    with pytest.raises(InvalidArguments) as caught:
        bind("several", {"name": "a", "times": "hunter2"})
    assert "hunter2" not in caught.value.message
