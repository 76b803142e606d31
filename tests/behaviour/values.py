"""What crosses a boundary arrives equal and with its type, or is refused at the line that made it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, computed_field

import levante as workflows
from levante import workflow
from tests.behaviour.driving import Behaviour, Ended, completed


class Colour(Enum):
    """A value that is no text by itself."""

    RED = "red"


class Place(NamedTuple):
    """A tuple with names."""

    row: int
    column: str


@dataclass
class Span:
    """A class that pydantic does not make."""

    length: timedelta
    exact: bool | None = None


class Everything(BaseModel):
    """Values that JSON has no form of its own for."""

    model_config = ConfigDict(alias_generator=str.title, populate_by_name=True)

    raw: bytes
    price: Decimal
    at: datetime
    colour: Colour
    place: Place
    span: Span
    names: frozenset[str]
    by_number: dict[int, UUID]
    mixed: list[int] | set[int] | str | None = None

    @computed_field
    def size(self) -> int:
        """Count the bytes."""
        return len(self.raw)


class Login(BaseModel):
    """What nobody outside sees."""

    user: str = Field(validation_alias=AliasChoices("userId", "user"), serialization_alias="u")
    password: SecretStr
    tries: int = Field(default=0, exclude=True)


class Only(BaseModel):
    """A model whose only field has the name under which other results stand."""

    result: int


class Shape(BaseModel):
    """A model that others derive from."""

    name: str


class Circle(Shape):
    """A model with a field of its own."""

    radius: float


def _everything() -> Everything:
    return Everything(
        raw=b"\xff\x00",
        price=Decimal("1.10"),
        at=datetime(2026, 1, 2, tzinfo=UTC),
        colour=Colour.RED,
        place=Place(1, "a"),
        span=Span(timedelta(days=-1, microseconds=1)),
        names=frozenset({"a", "b"}),
        by_number={1: UUID(int=1)},
        mixed=[1],
    )


@workflows.activity(name="behaviour-handed")
async def handed(
    value: Everything, raw: bytes, *, note: int | str | None = None
) -> tuple[Everything, bytes, int | str | None]:
    """Give everything back."""
    return value, raw, note


@workflows.activity(name="behaviour-log-in")
async def log_in(login: Login) -> Login:
    """Look at the password, and give everything back."""
    assert login.password.get_secret_value() == "s3cret", "the password arrives"
    return login


@workflow.define(name="behaviour-handing-child")
class HandingChild:
    """Returns what it gets, as a model."""

    @workflow.entrypoint
    async def run(self, value: Everything) -> Everything:
        return value


@workflow.define(name="behaviour-only-child")
class OnlyChild:
    """Returns a model that looks like something wrapped."""

    @workflow.entrypoint
    async def run(self) -> Only | int:
        return 5


@workflow.define(name="behaviour-only-model-child")
class OnlyModelChild:
    """The same, where nothing else is possible."""

    @workflow.entrypoint
    async def run(self) -> Only:
        return Only(result=5)


@workflow.define(name="behaviour-told-child")
class ChildWithValues:
    """Returns what it is sent."""

    def __init__(self) -> None:
        self.login: Login | None = None

    @workflow.entrypoint
    async def run(self, login: Login) -> list[str | int]:
        await workflow.wait_condition(lambda: self.login is not None)
        assert self.login is not None, "the condition holds"
        return [login.password.get_secret_value(), login.tries, self.login.user, self.login.tries]

    @workflow.signal()
    def tell(self, login: Login) -> None:
        self.login = login


@workflow.define(name="behaviour-handing")
class Handing:
    """Everything goes to activities and children, and comes back."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        value, login = _everything(), Login(user="ann", password=SecretStr("s3cret"), tries=3)
        assert await handed(value, b"\xfe", note="1") == (value, b"\xfe", "1"), "an activity gets and gives back what it is"
        assert await log_in(login) == login, "secrets and excluded fields stay between our own workers"
        assert await workflow.execute_workflow(HandingChild, value) == value, "so does a child"
        assert await workflow.execute_workflow(OnlyModelChild) == Only(result=5), "a model is never unwrapped"
        assert await workflow.execute_workflow(OnlyChild) == 5, "what is no model is"
        child = await workflow.execute_workflow(ChildWithValues, login, wait=False)
        child.signal("tell", login)
        return list(await child)


@workflow.define(name="behaviour-going-on")
class GoingOn:
    """A model with aliases, a secret and an excluded field goes on in the next run."""

    @workflow.entrypoint
    async def run(self, login: Login) -> list[Any]:
        if login.tries < 2:
            workflow.continue_as_new(login.model_copy(update={"tries": login.tries + 1}))
        return [login.user, login.password.get_secret_value(), login.tries]


@workflows.activity(name="behaviour-lossy", retry_policy_max_attempts=3)
async def lossy(which: str) -> dict[str, float] | Shape | list[int] | set[int]:
    """Return what would change on its way. What it does is done once."""
    assert workflows.activity.info().attempt == 1, "what cannot be recorded is not done again"
    values: Mapping[str, Any] = {"number": {"a": [1.0, math.nan][1]}, "derived": Circle(name="a", radius=1), "set": {1}}
    return values[which]  # type: ignore[no-any-return]


@workflows.activity(name="behaviour-takes-anything")
async def takes_anything(value: Any) -> str:
    """Tell the class of a value."""
    return type(value).__name__


@workflows.activity(name="behaviour-lossy-beat", retry_policy_max_attempts=3)
async def lossy_beat() -> None:
    """Say something that is no JSON."""
    assert workflows.activity.info().attempt == 1, "what cannot be said is not done again"
    workflows.activity_heartbeat(1, {"loss": math.inf})


@workflow.define(name="behaviour-lossy-result")
class LossyResult:
    """Returns what outsiders must not see, or what would arrive as something else."""

    @workflow.entrypoint
    async def run(self, which: str) -> Shape | Login | dict[str, float]:
        values: Mapping[str, Any] = {
            "secret": Login(user="ann", password=SecretStr("s3cret")),
            "derived": Circle(name="a", radius=1),
            "number": {"loss": math.nan},
        }
        return values[which]  # type: ignore[no-any-return]


@workflow.define(name="behaviour-measured")
class Measured:
    """Takes a number."""

    @workflow.entrypoint
    async def run(self, ratio: float | None) -> float | None:
        return ratio


@workflow.define(name="behaviour-lossy-calls")
class LossyCalls:
    """Passes on what would change on its way."""

    @workflow.entrypoint
    async def run(self, which: str, ratios: list[float] | None = None) -> str:
        assert ratios is None, "no run follows"
        if which == "heartbeat":
            await lossy_beat()
        if which in {"tuple", "time"}:
            return await takes_anything((1, 2) if which == "tuple" else {"at": workflow.now()})
        if which == "child":
            await workflow.execute_workflow(Measured, {"ratio": math.nan})
        if which == "next run":
            workflow.continue_as_new({"which": "a", "ratios": [1.0, math.inf]})
        return str(await lossy(which))


def result_refused(which: str, said: str) -> Behaviour:
    """Say what the failure of an execution says whose result cannot be recorded."""
    return Behaviour(LossyResult, Ended("FAILED", said=said), {"which": which})


def call_refused(which: str, said: str) -> Behaviour:
    """Say what the failure of an execution says that passes on what would change."""
    return Behaviour(LossyCalls, Ended("FAILED", said=said), {"which": which})


BEHAVIOURS: Mapping[str, Behaviour] = {
    "values arrive whole": Behaviour(Handing, completed(["s3cret", 3, "ann", 3])),
    "values go on as new": Behaviour(
        GoingOn, completed(["ann", "s3cret", 2]), {"userId": "ann", "password": "s3cret", "tries": 0}
    ),
    "a secret as a result": result_refused("secret", "result.password: SecretStr is a secret, which outsiders would see"),
    "a derived model as a result": result_refused("derived", "result: Circle would arrive as Shape"),
    "NaN as a result": result_refused("number", "result['loss']: the number is NaN or infinite"),
    "NaN as a result of an activity": call_refused("number", "result['a']: the number is NaN or infinite"),
    "a derived model as a result of an activity": call_refused("derived", "result: Circle would arrive as Shape"),
    "a set where a list is possible": call_refused("set", "result: set would arrive as list"),
    "a tuple where anything is possible": call_refused("tuple", "value: tuple would arrive as list"),
    "a time where anything is possible": call_refused("time", "value['at']: datetime would arrive as str"),
    "an infinite detail of a heartbeat": call_refused("heartbeat", "details[1]['loss']: the number is NaN or infinite"),
    "NaN as an input of a child": call_refused("child", "ratio: the number is NaN or infinite"),
    "an infinity as an input of the next run": call_refused("next run", "ratios[1]: the number is NaN or infinite"),
}
