"""Random type hints with random values of them, for tests of what becomes of values at a boundary."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import partial
from itertools import count
from pathlib import PurePosixPath
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Optional, TypeVar, Union
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, SecretBytes, SecretStr, computed_field, create_model
from typing_extensions import TypeAliasType, TypedDict

T = TypeVar("T")
Listed: Any = TypeAliasType("Listed", list[T], type_params=(T,))  # type: ignore[arg-type]  # TypeVars of either module do
_numbers = count()


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Word(StrEnum):
    YES = "yes"
    DATE = "2026-01-01"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Box(BaseModel, Generic[T]):
    content: T


class Shape(BaseModel):
    name: str


class Circle(Shape):
    radius: float = 1.0


class Same(Shape):
    pass


class Only(BaseModel):
    result: int


class Node(BaseModel):
    label: str
    children: list[Node] = []


class Noted(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    hidden: int = Field(default=0, exclude=True)

    @computed_field
    def length(self) -> int:
        return len(self.name)


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    given_name: str = Field(validation_alias="givenName", serialization_alias="given-name")

    @computed_field
    def greeting(self) -> str:
        return f"hello {self.given_name}"


class Texts(RootModel[list[str]]):
    pass


@dataclass
class Point:
    x: int
    label: str = ""
    moved: bool = dataclasses.field(default=False, init=False)


class Pair(NamedTuple):
    first: int
    second: str = ""


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


@dataclass(frozen=True)
class Kind:
    """A type hint, and values of it. key: whether they can be keys and members of sets."""

    hint: Any
    values: st.SearchStrategy[Any]
    is_key: bool = False


# --- scalars ----------------------------------------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["2026-01-01T00:00:00Z", "1", "1.5", "true", "red", "cGxhaW4=", "NaN", "\ud800", ""]),
)
offsets = st.one_of(
    st.none(),
    st.just(UTC),
    st.sampled_from([ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns")]),
    st.integers(-86_399, 86_399).map(lambda seconds: timezone(timedelta(seconds=seconds))),
)
floats = st.floats()
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
odd_values = st.one_of(
    st.sampled_from(
        [(1, 2), {1}, {1: 2}, Color.RED, Word.YES, Level.LOW, b"\xff", 1j, Pair(1), Shape(name="a"), UUID(int=1)]
    ),
    floats,
    st.datetimes(timezones=st.just(UTC)),
    st.just(SecretStr("hunter2")),
)

scalars = st.sampled_from(
    [
        Kind(int, st.integers(), is_key=True),
        Kind(str, texts, is_key=True),
        Kind(bool, st.booleans(), is_key=True),
        Kind(None, st.none()),
        Kind(float, floats, is_key=True),
        Kind(bytes, st.binary(max_size=6), is_key=True),
        Kind(datetime, st.datetimes(timezones=offsets), is_key=True),
        Kind(date, st.dates(), is_key=True),
        Kind(time, st.times(), is_key=True),
        Kind(timedelta, st.timedeltas(), is_key=True),
        Kind(UUID, st.uuids(), is_key=True),
        Kind(Decimal, st.decimals(), is_key=True),
        Kind(complex, st.complex_numbers()),
        Kind(Color, st.sampled_from(Color), is_key=True),
        Kind(Word, st.sampled_from(Word), is_key=True),
        Kind(Level, st.sampled_from(Level), is_key=True),
        Kind(Literal["a", 1, True], st.sampled_from(["a", 1, True]), is_key=True),
        Kind(PurePosixPath, st.sampled_from([PurePosixPath("/a/b"), PurePosixPath(".")]), is_key=True),
        Kind(SecretStr, st.text(max_size=4).map(SecretStr)),
        Kind(SecretBytes, st.binary(max_size=4).map(SecretBytes)),
        Kind(Any, st.one_of(json_values, odd_values)),
    ]
)


def _nodes() -> st.SearchStrategy[Node]:
    leaves = st.builds(Node, label=texts)
    return st.recursive(
        leaves, lambda inner: st.builds(Node, label=texts, children=st.lists(inner, max_size=2)), max_leaves=4
    )


def _cycle() -> Node:
    node = Node(label="a")
    node.children.append(node)
    return node


def _moved(point: Point) -> Point:
    point.moved = True
    return point


shapes = st.one_of(st.builds(Shape, name=texts), st.builds(Circle, name=texts, radius=floats), st.builds(Same, name=texts))
noted = st.builds(
    lambda name, hidden, more: Noted(name=name, hidden=hidden, **more),
    texts,
    st.integers(),
    st.dictionaries(st.sampled_from(["more", "less"]), st.one_of(json_values, odd_values), max_size=2),
)
classes = st.sampled_from(
    [
        Kind(Shape, shapes),
        Kind(Circle, st.builds(Circle, name=texts, radius=floats)),
        Kind(Only, st.builds(Only, result=st.integers())),
        Kind(Node, st.one_of(_nodes(), st.builds(_cycle))),
        Kind(Noted, noted),
        Kind(Closed, st.builds(lambda name: Closed(givenName=name), texts)),
        Kind(Texts, st.lists(texts, max_size=2).map(Texts)),
        Kind(Point, st.one_of(st.builds(Point, st.integers(), texts), st.builds(Point, st.integers()).map(_moved))),
        Kind(Pair, st.builds(Pair, st.integers(), texts), is_key=True),
        Kind(Box[int], st.builds(Box[int], content=st.integers())),
        Kind(
            Annotated[Cat | Dog, Field(discriminator="kind")], st.one_of(st.builds(Cat), st.builds(Dog, lives=st.integers()))
        ),
    ]
)

# --- made of others ---------------------------------------------------------------------------------------------------


def _union(kinds: list[Kind]) -> Kind:
    hint: Any = Union[tuple(kind.hint for kind in kinds)]  # noqa: UP007 - made at run time
    return Kind(hint, st.one_of([kind.values for kind in kinds]), is_key=all(kind.is_key for kind in kinds))


def _model(kinds: list[Kind], *, has_aliases: bool, is_closed: bool) -> Kind:
    fields: dict[str, Any] = {
        f"field_{index}": (kind.hint, Field(alias=f"alias{index}") if has_aliases else ...)
        for index, kind in enumerate(kinds)
    }
    config = ConfigDict(extra="forbid" if is_closed else "ignore", arbitrary_types_allowed=True)
    cls = create_model(f"Model{next(_numbers)}", __config__=config, **fields)
    values = st.tuples(*(kind.values for kind in kinds))

    def build(given: tuple[Any, ...]) -> Any:
        names = (f"alias{index}" if has_aliases else f"field_{index}" for index in range(len(given)))
        return cls(**dict(zip(names, given, strict=True)))

    return Kind(cls, values.map(build))


def _dataclass(kinds: list[Kind]) -> Kind:
    fields = [(f"field_{index}", kind.hint) for index, kind in enumerate(kinds)]
    cls = dataclasses.make_dataclass(f"Data{next(_numbers)}", fields)
    return Kind(cls, st.tuples(*(kind.values for kind in kinds)).map(lambda given: cls(*given)))


def _typed_dict(kinds: list[Kind], *, is_total: bool) -> Kind:
    fields = {f"field_{index}": kind.hint for index, kind in enumerate(kinds)}
    hint = TypedDict(f"Dict{next(_numbers)}", fields, total=is_total)  # type: ignore[misc]
    values = {name: kind.values for name, kind in zip(fields, kinds, strict=True)}
    return Kind(hint, st.fixed_dictionaries(values) if is_total else st.fixed_dictionaries({}, optional=values))


def _named_tuple(kinds: list[Kind]) -> Kind:
    fields = [(f"field_{index}", kind.hint) for index, kind in enumerate(kinds)]
    cls: Any = NamedTuple(f"Tuple{next(_numbers)}", fields)  # type: ignore[misc]
    values = st.tuples(*(kind.values for kind in kinds))
    return Kind(cls, values.map(lambda given: cls(*given)))


def _tuple(kinds: list[Kind]) -> Kind:
    is_key = all(kind.is_key for kind in kinds)
    hint: Any = tuple.__class_getitem__(tuple(kind.hint for kind in kinds))
    return Kind(hint, st.tuples(*(kind.values for kind in kinds)), is_key=is_key)


def _made_of_one(kind: Kind) -> Iterator[Kind]:
    """Yield what can be made of one kind."""
    hint: Any = kind.hint
    yield Kind(list[hint], st.lists(kind.values, max_size=3))
    yield Kind(tuple[hint, ...], st.lists(kind.values, max_size=3).map(tuple), is_key=kind.is_key)
    yield Kind(dict[str, hint], st.dictionaries(texts, kind.values, max_size=3))
    yield Kind(Optional[hint], st.none() | kind.values)  # noqa: UP045 - made at run time
    yield Kind(Annotated[hint, Field(description="it")], kind.values, is_key=kind.is_key)
    yield Kind(NewType("New", hint), kind.values, is_key=kind.is_key)
    yield Kind(TypeAliasType("Alias", hint), kind.values, is_key=kind.is_key)
    yield Kind(Listed[hint], st.lists(kind.values, max_size=2))
    yield Kind(Box[hint], kind.values.map(lambda value: Box[hint](content=value)))
    if kind.is_key:
        yield Kind(set[hint], st.sets(kind.values, max_size=3))
        yield Kind(frozenset[hint], st.frozensets(kind.values, max_size=3))
        yield Kind(dict[hint, int], st.dictionaries(kind.values, st.integers(), max_size=3))


def _larger(inner: st.SearchStrategy[Kind]) -> st.SearchStrategy[Kind]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        inner.flatmap(lambda kind: st.sampled_from(list(_made_of_one(kind)))),
        st.lists(inner, min_size=2, max_size=3).map(_union),
        several.map(_tuple),
        several.map(_dataclass),
        several.map(_named_tuple),
        st.builds(lambda kinds, is_total: _typed_dict(kinds, is_total=is_total), several, st.booleans()),
        st.builds(
            lambda kinds, has_aliases, is_closed: _model(kinds, has_aliases=has_aliases, is_closed=is_closed),
            several,
            st.booleans(),
            st.booleans(),
        ),
    )


kinds = st.recursive(scalars | classes, _larger, max_leaves=5)

# --- an opinion of its own on what is the same ------------------------------------------------------------------------


def parts_of(value: Any, *, is_loose: bool = False) -> Any:
    """Return what a value is made of, classes included, as something that compares by what it shows.

    is_loose: members of text and int enums count as what they equal.
    """
    rest: Callable[[Any], Any] = partial(parts_of, is_loose=is_loose)
    if is_loose and isinstance(value, StrEnum | IntEnum):
        value = value.value
    kind = type(value)
    if isinstance(value, BaseModel):
        within: Any = [(name, rest(getattr(value, name))) for name in kind.model_fields]
        within += sorted((name, rest(field)) for name, field in (value.model_extra or {}).items())
    elif dataclasses.is_dataclass(value):
        within = [(field.name, rest(getattr(value, field.name))) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        within = sorted((repr(rest(key)), rest(field)) for key, field in value.items())
    elif isinstance(value, set | frozenset):
        within = sorted(repr(rest(member)) for member in value)
    elif isinstance(value, list | tuple):
        within = [rest(member) for member in value]
    elif isinstance(value, SecretStr | SecretBytes):
        within = value.get_secret_value()
    elif isinstance(value, datetime | time):
        within = (value.replace(tzinfo=None).isoformat(), value.utcoffset())
    elif isinstance(value, complex):
        within = repr(value + 0)  # the sign of a zero is not kept
    else:
        within = repr(value)
    name = kind.__module__ + "." + kind.__qualname__
    return [name, str(typing.get_origin(kind)), within]
