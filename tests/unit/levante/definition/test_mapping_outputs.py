"""Outputs of activities and handlers, on their way out and back."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from jsonschema_rs import Draft202012Validator
from pydantic import Field

from levante.definition.outputs import ActivityOutput, HandlerOutput
from levante.errors import ErrorCode, InvalidArguments, WorkflowsException
from tests.unit.levante.definition.mapped import OWNER, Aliased, Card, Cash, Color, Node, NotJson, Order, bind


@dataclass
class Point:
    x: int
    y: int = 0


UNCHECKED: Any = 1


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
