"""§1: how inputs and results of workflows, handlers and activities become JSON, and come back."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, RootModel

import levante as workflows
from levante import workflow
from tests.behaviour.driving import Behaviour, Driver, Ended, completed, refused
from tests.behaviour.programs import echo


class Size(StrEnum):
    """How large."""

    SMALL = "small"
    LARGE = "large"


class Parcel(BaseModel):
    """What is sent."""

    to: str
    size: Size = Size.SMALL
    due: date | None = None


class Labels(RootModel[list[str]]):
    """Texts on a parcel."""


@workflows.activity(name="behaviour-pack")
async def pack(parcel: Parcel, price: Decimal, *, is_fragile: bool = False) -> tuple[Parcel, Decimal]:
    """Make it larger and dearer."""
    return parcel.model_copy(update={"size": Size.LARGE}), price + (Decimal(1) if is_fragile else Decimal(0))


@workflows.activity(name="behaviour-collect")
async def collect(first: int, **others: int) -> dict[str, int]:
    """Return whatever comes."""
    return {"first": first, **others}


@workflows.activity(name="behaviour-inner", retry_policy_max_attempts=5)
async def inner() -> int:
    """Fail, as it runs within another one's first attempt."""
    attempt = workflows.activity.info().attempt
    if attempt == 1:
        raise RuntimeError("inside")
    return attempt


@workflows.activity(name="behaviour-outer", retry_policy_max_attempts=2)
async def outer() -> list[Any]:
    """Call another one, which has no attempts of its own here."""
    return [workflows.activity.info().activity_name, await inner()]


@workflow.define(name="behaviour-model")
class Modelled:
    """§1: one model is the input, and the result, without anything around it."""

    @workflow.entrypoint
    async def run(self, parcel: Parcel) -> Parcel:
        packed, price = await pack(parcel, Decimal("9.99"), is_fragile=True)
        assert (type(packed), price) == (Parcel, Decimal("10.99")), "an activity gives back the types that it says"
        return packed


@workflow.define(name="behaviour-several")
class Several:
    """§1: several parameters are keyed by their names, and may have defaults."""

    @workflow.entrypoint
    async def run(self, name: str, parcels: list[Parcel], size: Size = Size.LARGE, count: int = 3) -> list[Any]:
        return [await echo(name), [type(one).__name__ for one in parcels], size, count]


@workflow.define(name="behaviour-root")
class Rooted:
    """§1: a RootModel takes what is no object."""

    @workflow.entrypoint
    async def run(self, labels: Labels, count: int) -> Labels:
        return Labels(labels.root * count)


@workflow.define(name="behaviour-nothing")
class Nothing:
    """§1: nothing in, nothing out."""

    @workflow.entrypoint
    async def run(self) -> None:
        await echo("something")


@workflow.define(name="behaviour-unexpected")
class Unexpected:
    """§1: a result that does not fit its annotation is passed on as it is."""

    @workflow.entrypoint
    async def run(self) -> int:
        return await echo("seven")  # type: ignore[return-value]


@workflow.define(name="behaviour-keywords")
class Keywords:
    """§1: handlers and activities may take whatever is sent."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.is_over = False

    @workflow.entrypoint
    async def run(self) -> dict[str, Any]:
        await workflow.wait_condition(lambda: self.is_over)
        return {**self.found, **await collect(1, second=2, third=3)}

    @workflow.signal(name="noted", description="What somebody notes")
    def note(self, size: Size, **others: str) -> None:
        self.found |= {"size": size, **others}

    @workflow.update(name="ended")
    def end(self, parcel: Parcel, **others: int) -> Parcel:
        self.found |= others
        self.is_over = True
        return parcel

    @workflow.query(name="have")
    def has(self, *, names: list[str]) -> list[bool]:
        return [name in self.found for name in names]


@workflow.define(name="behaviour-nested")
class Nested:
    """§1: an activity that another one calls runs inside it, and is tried again with it."""

    @workflow.entrypoint
    async def run(self) -> list[Any]:
        return await outer()


async def _keywords(driver: Driver) -> None:
    wrong = driver.signal("noted", size="medium", colour="red")
    await refused(wrong, 422, "WF_1001", "small")
    await driver.signal("noted", size="small", colour="red")
    assert await driver.query("have", names=["size", "weight"]) == [True, False]
    assert await driver.update("ended", to="Faro", grams=3) == {"to": "Faro", "size": "small", "due": None}


BEHAVIOURS: Mapping[str, Behaviour] = {
    "one model": Behaviour(
        Modelled,
        Ended("COMPLETED", {"to": "Porto", "size": "large", "due": "2026-02-01"}),
        {"to": "Porto", "due": "2026-02-01"},
    ),
    "several parameters": Behaviour(
        Several, completed(["a", ["Parcel"], "large", 3]), {"name": "a", "parcels": [{"to": "Faro"}]}
    ),
    "a model of something else": Behaviour(
        Rooted, Ended("COMPLETED", ["a", "b", "a", "b"]), {"labels": ["a", "b"], "count": 2}
    ),
    "nothing": Behaviour(Nothing, Ended("COMPLETED", None), given=None),
    "a result of another type": Behaviour(Unexpected, Ended("COMPLETED", "seven")),
    "whatever is sent": Behaviour(
        Keywords,
        completed({"size": "small", "colour": "red", "grams": 3, "first": 1, "second": 2, "third": 3}),
        drive=_keywords,
    ),
    "activities within activities": Behaviour(Nested, completed(["behaviour-outer", 2])),
}
