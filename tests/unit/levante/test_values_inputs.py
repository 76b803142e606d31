"""Values that our code gives: inputs, states, answers, and types that cannot be read."""

import math
from collections.abc import Iterable
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Literal, NewType

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    SecretStr,
)
from typing_extensions import TypeAliasType

from levante.attempts import activity_heartbeat
from levante.definition.mapping import activity_input, handler_input
from levante.definition.outputs import HandlerOutput
from levante.definition.refusals import PayloadRefused
from levante.definition.schemas import ValueType, union_members
from levante.definition.search_keys import addition
from levante.errors import InvalidArguments, WorkflowsException
from levante.parallel.calling import _plain
from levante.tasks import _json
from levante.values.forms import Form
from levante.values.plain import plain_check
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


class Word(StrEnum):
    YES = "yes"


class Login(BaseModel):
    user: str
    password: SecretStr
    tries: int = Field(default=0, exclude=True)


class Phrase(str):
    __slots__ = ()


class Choice(BaseModel):
    user_id: str = Field(validation_alias=AliasChoices("userId", "uid"), serialization_alias="user")


class Deep(BaseModel):
    first: int = Field(validation_alias=AliasPath("numbers", 0))


def _input(hint: Any) -> Any:
    def run(self: object, value: Any, other: int = 0) -> None: ...

    run.__annotations__["value"] = hint
    return handler_input(OWNER, run, {}, takes_extra=True)


def _sole_input(hint: Any) -> Any:
    def run(self: object, value: Any) -> None: ...

    run.__annotations__["value"] = hint
    return handler_input(OWNER, run, {}, takes_extra=True)


@pytest.mark.parametrize(
    ("hint", "given", "plain"),
    [
        pytest.param(Choice, Choice(uid="a"), {"userId": "a"}, id="by the first alias that is read"),
        pytest.param(Choice, {"uid": "a"}, None, id="an alias that the schema does not name"),
        pytest.param(Deep, Deep.model_validate({"numbers": [1]}), None, id="a path has no key"),
        pytest.param(
            Login,
            Login(user="a", password=SecretStr("b"), tries=2),
            {"user": "a", "password": "b", "tries": 2},
            id="secrets and excluded fields",
        ),
        pytest.param(Shape, Circle(name="a"), None, id="a derived model"),
        pytest.param(Shape | Only, Only(result=1), {"result": 1}, id="a member of a union"),
        pytest.param(Shape, {"name": "a"}, {"name": "a"}, id="JSON"),
        pytest.param(Container, {"shape": Shape(name="a")}, {"shape": {"name": "a"}}, id="a model among JSON"),
        pytest.param(Container, {"shape": {"name": "a", "b": 1}}, None, id="a key that nothing takes"),
        pytest.param(Shape, None, None, id="nothing"),
    ],
)
def test_input_when_our_code_gives_it_then_it_is_written_as_it_is_read(hint: Any, given: Any, plain: Any) -> None:
    """Children, next runs and signals get what was given, whatever aliases a model has."""
    mapper = _sole_input(hint)
    if plain is None:
        with pytest.raises(WorkflowsException, match=r"parameter 'value'|field '(uid|radius)'"):
            mapper.sent(given)
        return
    assert mapper.sent(given) == plain
    if isinstance(given, BaseModel):
        assert mapper.bind(plain) == ((given,), {})


def test_input_when_a_mapping_holds_values_of_python_then_they_are_written_by_their_annotations() -> None:
    """What is JSON already stays as it is, such as the base64 of bytes."""
    mapper = _input(dict[str, bytes])
    assert mapper.sent({"value": {"a": b"\xff"}}) == {"value": {"a": "_w=="}}
    assert mapper.sent({"value": {"a": "_w=="}, "other": 1}) == {"value": {"a": "_w=="}, "other": 1}
    with pytest.raises(InvalidArguments, match="parameter 'more' is unknown"):
        mapper.sent({"value": {}, "more": b"a"})


def test_input_when_a_model_names_the_parameters_then_their_types_decide() -> None:
    """One model may stand for several parameters."""

    class Arguments(BaseModel):
        value: datetime
        other: int

    at = datetime(2026, 1, 1, tzinfo=UTC)
    mapper = _input(datetime)
    assert mapper.bind(mapper.sent(Arguments(value=at, other=2))) == ((at, 2), {})
    with pytest.raises(PayloadRefused, match="datetime would arrive as str"):
        _input(str | datetime).sent(Arguments(value=at, other=2))


def test_argument_when_a_typed_dict_has_more_keys_then_it_is_refused() -> None:
    """They would be dropped."""

    def act(row: Row) -> None: ...

    with pytest.raises(InvalidArguments, match="parameter 'row': more: Extra inputs"):
        activity_input(OWNER, act).dump(({"x": 1, "more": 2},), {})


def test_type_when_it_can_be_read_once_only_then_it_is_refused_at_definition() -> None:
    """An iterator cannot be compared with what was given."""
    with pytest.raises(WorkflowsException, match="which can be read only once: take a list"):
        ValueType(OWNER, "the result", Iterable[int], Form.INTERNAL)


def test_handler_answer_when_a_field_is_excluded_then_it_stays_out() -> None:
    """Answers are for outsiders, who take what the model shows."""
    output = HandlerOutput(OWNER, Sum | dict[str, float], wraps=False)
    assert output.dump(Sum(parts=[1, 2])) == {"parts": [1, 2], "total": 3}
    with pytest.raises(PayloadRefused, match="the number is NaN"):
        output.dump({"a": math.nan})


def test_handler_output_when_what_is_passed_on_is_not_finite_then_it_is_refused() -> None:
    """A wrong annotation is logged; a wrong number is not let through by it."""
    with pytest.raises(PayloadRefused, match="the number is NaN"):
        HandlerOutput(OWNER, int, wraps=True).dump({"a": math.nan})


@pytest.mark.parametrize(
    ("hint", "members"),
    [
        (NewType("Both", Shape | None), {Shape, type(None)}),
        (TypeAliasType("Some", Shape | int), {Shape, int}),
    ],
)
def test_union_when_it_has_a_name_then_its_members_are_seen(hint: Any, members: set[Any]) -> None:
    """A name for a type changes nothing of what is written."""
    assert set(union_members(hint)) == members


@pytest.mark.parametrize(
    ("hint", "is_plain"),
    [
        (list[Shape], True),
        (dict[str, float | None], True),
        (Node, True),
        (Literal["a", "b"], True),
        (int | str | None, True),
        (tuple[int, ...], True),
        (Bounded, True),
        (str | datetime, False),
        (Halved, False),
        (Kept, False),
        (dict[int, str], False),
        (Shape | Only, False),
        (Hexadecimal, False),
    ],
)
def test_type_when_json_carries_it_then_nothing_is_read_back(hint: Any, *, is_plain: bool) -> None:
    """What it costs to know that nothing is lost is paid once per type, where that is possible."""
    value_type = ValueType(OWNER, "it", hint, Form.INTERNAL)
    assert (plain_check(value_type._codec.schema) is not None) is is_plain


@pytest.mark.parametrize("key", ["a\ud800", "a"])
def test_search_key_when_it_has_half_a_character_then_it_is_refused_at_the_line(key: str) -> None:
    """No store takes it."""
    with pytest.raises(WorkflowsException, match=r"is no text|half a character"):
        addition({key: "\ud800" if key == "a" else "b"})


def test_heartbeat_when_it_is_outside_of_an_activity_then_that_is_said_first() -> None:
    """The details are looked at where somebody takes them."""
    with pytest.raises(WorkflowsException, match="works only in activities"):
        activity_heartbeat(math.nan)


def test_text_when_its_class_derives_from_a_built_in_one_then_it_arrives_as_what_is_declared() -> None:
    """It is equal, and of the declared type."""
    assert through_activity(str, Phrase("a")) == "a"
    assert type(through_activity(str, Phrase("a"))) is str


@pytest.mark.parametrize("state", [{"loss": math.nan}, Circle(name="a", radius=math.inf), {"password": PASSWORD}])
def test_state_when_outsiders_cannot_be_shown_it_then_it_is_refused(state: Any) -> None:
    """Streams would show null, or asterisks."""
    with pytest.raises(PayloadRefused, match="the state of a task has to be JSON: state"):
        _json(state)


def test_state_when_it_is_a_model_with_aliases_then_clients_see_what_they_saw() -> None:
    """A model says itself whether it is shown by its aliases."""
    assert _json(Choice(uid="a")) == {"user_id": "a"}
    assert _json({"at": date(2026, 1, 2)}) == {"at": "2026-01-02"}


def test_parallel_run_when_what_is_passed_on_is_not_finite_then_it_is_refused() -> None:
    """All items would get null."""
    with pytest.raises(PayloadRefused, match="extra_params: the number is NaN"):
        _plain(math.nan)
    assert _plain(Shape(name="a")) == {"name": "a"}


def test_text_enum_when_anything_may_be_then_an_activity_refuses_it_and_outsiders_see_the_text() -> None:
    """Between our own workers nothing changes its class; the contract's JSON of a result stays what it is."""
    with pytest.raises(PayloadRefused, match="Word would arrive as str"):
        through_activity(list[Any], [Word.YES])
    assert HandlerOutput(OWNER, list[Any], wraps=True).dump([Word.YES, Level.LOW]) == {"result": ["yes", 1]}
