"""Values that cross boundaries arrive equal, or are refused with their place."""

import dataclasses
import math
import re
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NamedTuple, NewType
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    SecretBytes,
    SecretStr,
)
from typing_extensions import TypeAliasType

from levante.definition.mapping import activity_input, handler_input
from levante.definition.outputs import ActivityOutput, HandlerOutput
from levante.definition.refusals import PayloadRefused
from levante.errors import ErrorCode
from tests.unit.levante.crossing import (
    OWNER,
    PASSWORD,
    Bounded,
    Circle,
    Container,
    Halved,
    Hexadecimal,
    Kept,
    Level,
    Node,
    Only,
    Row,
    Shape,
    Sum,
    through_activity,
)


class Odd(Enum):
    PAIR = (1, 2)


class Text(BaseModel):
    inner: Json[dict[str, int]]


class Spelled(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")
    ratio: float


@dataclass
class Point:
    x: int
    moved: bool = dataclasses.field(default=False, init=False)


@dataclass
class Far(Point):
    y: int = 0


class Pair(NamedTuple):
    first: int
    second: str


Count = NewType("Count", int)
Listed = TypeAliasType("Listed", list[int])


def _kept_with_note() -> Kept:
    kept = Kept(count=1)
    kept._note = "a"
    return kept


def _out_of_bounds() -> Bounded:
    bounded = Bounded(count=1)
    bounded.count = -1
    return bounded


def _moved() -> Point:
    point = Point(1)
    point.moved = True
    return point


def _cycle() -> Node:
    node = Node()
    node.children.append(Node(children=[node]))
    return node


def _through_entrypoint(hint: Any, value: Any) -> Any:
    output = HandlerOutput(OWNER, hint, wraps=True)
    return output.load(output.dump(value))


KEPT = [
    pytest.param(bytes, b"\xff\x00", id="bytes that are no text"),
    pytest.param(dict[bytes, int], {b"\xff": 1}, id="bytes as keys"),
    pytest.param(Hexadecimal, Hexadecimal(raw=b"\xff"), id="bytes in the form that a model asks for"),
    pytest.param(str | datetime, "2026-01-01T00:00:00Z", id="a text that looks like a time"),
    pytest.param(list[int] | set[int], [1], id="a list that could be a set"),
    pytest.param(int | float, 1.0, id="a whole number that is a float"),
    pytest.param(int | bool, True, id="a bool that could be an int"),
    pytest.param(dict[int, str], {1: "a"}, id="numbers as keys"),
    pytest.param(frozenset[Pair], frozenset({Pair(1, "a")}), id="named tuples in a set"),
    pytest.param(tuple[int, str], (1, "a"), id="tuple"),
    pytest.param(Point, Point(1), id="dataclass"),
    pytest.param(Row, {"x": 1}, id="TypedDict"),
    pytest.param(Count, 1, id="NewType"),
    pytest.param(Listed, [1], id="alias"),
    pytest.param(Sum, Sum(parts=[1, 2]), id="computed fields that reading would refuse"),
    pytest.param(Text, Text.model_validate({"inner": '{"a": 1}'}), id="JSON within JSON"),
    pytest.param(Spelled, Spelled(ratio=math.inf), id="an infinity that is written as a text on request"),
    pytest.param(Container, Container(shape=Shape(name="a")), id="written by its own class, which is the declared one"),
    pytest.param(Only, Only(result=1), id="a model whose only field is called result"),
    pytest.param(Only | int, 5, id="what is wrapped, beside such a model"),
    pytest.param(timedelta, timedelta.max, id="the longest duration"),
    pytest.param(datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))), id="an offset"),
    pytest.param(Decimal | UUID | date | time, Decimal("1.10"), id="decimal"),
    pytest.param(defaultdict[str, int], defaultdict(int, a=1), id="defaultdict"),
    pytest.param(Any, {"a": [1, 2.5, None, True, "x"]}, id="JSON"),
    pytest.param(Annotated[int, Field(ge=0)], 1, id="within bounds"),
    pytest.param(Any, 10**30, id="a long number"),
]

REFUSED = [
    pytest.param(float, math.nan, "result: the number is NaN", id="NaN"),
    pytest.param(
        Any, {"a": [math.inf]}, "result['a'][0]: the number is NaN or infinite", id="infinity where anything may be"
    ),
    pytest.param(float | None, -math.inf, "result: the number", id="infinity that would become None"),
    pytest.param(list[Circle], [Circle(name="a", radius=math.nan)], "result[0].radius: the number", id="NaN in a model"),
    pytest.param(Any, (1, 2), "result: tuple would arrive as list", id="tuple where anything may be"),
    pytest.param(Any, {"at": datetime(2026, 1, 1, tzinfo=UTC)}, "result['at']: datetime would arrive as str", id="time"),
    pytest.param(Any, Pair(1, "a"), "result: Pair would arrive as list", id="a named tuple where anything may be"),
    pytest.param(dict[str, Any], {"a": {1: 2}}, "result['a'][1]: the key, int,", id="a number as key"),
    pytest.param(str | datetime, datetime(2026, 1, 1, tzinfo=UTC), "result: datetime would arrive as str", id="union"),
    pytest.param(list[int] | set[int], {1}, "result: set would arrive as list", id="a set that could be a list"),
    pytest.param(int | Level, Level.LOW, "result: Level would arrive as int", id="an int enum that could be an int"),
    pytest.param(str | bytes, b"a", "result: bytes would arrive as str", id="bytes that could be a text"),
    pytest.param(dict[str | int, int], {1: 1}, "result[1]: the key, int,", id="a key that could be a text"),
    pytest.param(Shape, Circle(name="a"), "result: Circle would arrive as Shape", id="a derived model"),
    pytest.param(list[Shape], [Circle(name="a")], "result[0]: Circle would arrive", id="a derived model within"),
    pytest.param(Container, Container(shape=Circle(name="a")), "result.shape: Circle would arrive", id="SerializeAsAny"),
    pytest.param(Point, Far(1), "result: Far would arrive as Point", id="a derived dataclass"),
    pytest.param(Point, _moved(), "result.moved: this bool would arrive as another one", id="a field that no init takes"),
    pytest.param(Kept, _kept_with_note(), "result._note: this str would arrive", id="private attributes"),
    pytest.param(Halved, Halved(count=5), "result.count: this int would arrive", id="a serializer that loses"),
    pytest.param(Bounded, _out_of_bounds(), "result.count: could not be read back", id="out of bounds"),
    pytest.param(Odd, Odd.PAIR, "result: could not be read back", id="an enum of tuples"),
    pytest.param(Node, _cycle(), "children[0]: contains itself", id="a cycle"),
    pytest.param(str, "\ud800", "result: the text has half a character", id="half a character"),
    pytest.param(dict[str, int], {"\ud800": 1}, "the text has half a character", id="half a character in a key"),
    pytest.param(dict[tuple[int, int], int], {(1, 2): 3}, "could not be read back", id="tuples as keys"),
    pytest.param(deque[int], deque([1], maxlen=3), "its length would not arrive", id="a bounded deque"),
    pytest.param(defaultdict[str, int], defaultdict(lambda: 5), "its default_factory", id="a default of its own"),
    pytest.param(re.Pattern, re.compile("a", re.IGNORECASE), "this Pattern would arrive as another one", id="flags"),
    pytest.param(Decimal, Decimal("NaN"), "result", id="a decimal that is no number"),
    pytest.param(
        datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(seconds=1))), "this datetime", id="an offset of seconds"
    ),
    pytest.param(Annotated[int, AfterValidator(lambda count: count * 2)], 3, "this int would arrive", id="a validator"),
    pytest.param(int, 10**5000, "4,300 digits", id="a number that is too long"),
]


@pytest.mark.parametrize("cross", [through_activity, _through_entrypoint])
@pytest.mark.parametrize(("hint", "value"), KEPT)
def test_value_when_json_can_carry_it_then_it_arrives_equal_with_its_class(cross: Any, hint: Any, value: Any) -> None:
    """Whoever awaits a result gets what was returned."""
    arrived = cross(hint, value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize("cross", [through_activity, _through_entrypoint])
@pytest.mark.parametrize(("hint", "value", "said"), REFUSED)
def test_value_when_something_would_be_lost_then_it_is_refused_with_its_place(
    cross: Any, hint: Any, value: Any, said: str
) -> None:
    """The refusal says where and why, ends an activity for good, and fails an execution."""
    with pytest.raises(PayloadRefused) as caught:
        cross(hint, value)
    assert said in caught.value.message
    assert caught.value.code == ErrorCode.UNSERIALIZABLE_PAYLOAD_ERROR
    assert caught.value.non_retryable


def test_activity_result_when_it_is_refused_then_the_message_says_that_the_function_did_run() -> None:
    """Whoever reads the failure has to know that there may be side effects."""
    with pytest.raises(PayloadRefused, match="The function did run, and is not run again"):
        ActivityOutput(OWNER, float).dump(math.nan)


@pytest.mark.parametrize("secret", [SecretStr("hunter2"), SecretBytes(b"hunter2\xff")])
def test_secret_when_it_goes_to_an_activity_then_it_arrives_and_outsiders_see_none(secret: Any) -> None:
    """Asterisks are what pydantic writes, which no activity can use; results are seen outside, and messages never quote."""

    class Holding(BaseModel):
        held: secret.__class__

    assert through_activity(Holding, Holding(held=secret)) == Holding(held=secret)
    for output in (HandlerOutput(OWNER, Holding, wraps=True), HandlerOutput(OWNER, Any, wraps=False)):
        with pytest.raises(PayloadRefused, match=r"held.* is a secret") as caught:
            output.dump(Holding(held=secret) if output.schema else {"held": secret})
        assert "hunter2" not in caught.value.message


def test_schema_when_a_default_is_a_secret_then_it_is_not_shown() -> None:
    """Schemas are registered, and anybody may read them."""

    def run(self: object, password: SecretStr = PASSWORD, ratio: float = math.nan) -> None: ...

    properties = handler_input(OWNER, run, {}, takes_extra=True).schema["properties"]
    assert all("default" not in described for described in properties.values())


def test_schema_when_there_are_bytes_then_it_says_base64() -> None:
    """Callers know how to write them."""

    def run(self: object, raw: bytes) -> None: ...

    mapper = handler_input(OWNER, run, {}, takes_extra=True)
    assert mapper.schema["properties"]["raw"]["format"] == "base64url"
    assert mapper.bind({"raw": "_w=="}) == ((b"\xff",), {})


def as_argument(hint: Any, value: Any) -> Any:
    """Give a value to an activity."""

    def act(value: Any) -> None: ...

    act.__annotations__["value"] = hint
    mapper = activity_input(OWNER, act)
    return mapper.bind(mapper.dump((value,), {}))[0][0]


class Spot(NamedTuple):
    """A tuple that a plain one equals."""

    number: int
    text: str


@pytest.mark.parametrize(
    ("hint", "value", "said"),
    [
        (tuple[int, str] | Spot, Spot(1, "a"), "Spot would arrive as tuple"),
        (list[SecretStr | str], ["a"], "value[0]: str would arrive as SecretStr"),
    ],
)
def test_value_when_a_union_would_make_another_member_of_it_then_it_is_refused(hint: Any, value: Any, said: str) -> None:
    """Conversions are for what is of no member yet: here the first one takes what is the second one's."""
    with pytest.raises(PayloadRefused, match=re.escape(said)):
        as_argument(hint, value)


@pytest.mark.parametrize(
    ("hint", "value", "arrives"),
    [(float | str, 5, 5.0), (int | datetime, "2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC))],
)
def test_value_when_it_is_of_no_member_of_a_union_then_it_is_converted(hint: Any, value: Any, arrives: Any) -> None:
    """A whole number counts as a float, as everywhere."""
    arrived = as_argument(hint, value)
    assert (arrived, type(arrived)) == (arrives, type(arrives))
