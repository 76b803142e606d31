"""Schemas of inputs and checks against them, as tests of several tiers make them."""

from typing import Any, Literal

from pydantic import BaseModel

from levante_core.errors import InvalidInput
from levante_core.services.messages.input_validation import (
    InputChecks,
    Problems,
    RunBlocking,
    refuse_schemas,
)

AT = ("body", "input")
HERE = ("body", "definitions", 0, "input_schema")


class Runs:
    """Counts the checks that run in a process of their own."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, blocking: Any) -> Problems:
        self.count += 1
        problems: Problems = blocking()
        return problems


def problems(schema: dict[str, Any], value: Any, run: RunBlocking | None = None) -> list[dict[str, Any]]:
    try:
        InputChecks(*([run] if run else [])).check(schema, value, name="n", at=AT)
    except InvalidInput as refused:
        return refused.problems
    return []


def refusals(*schemas: Any) -> list[dict[str, Any]]:
    try:
        refuse_schemas(((*HERE[:2], number, HERE[3]), schema) for number, schema in enumerate(schemas))
    except InvalidInput as refused:
        return refused.problems
    return []


def nested(depth: int, leaf: Any, **more: Any) -> Any:
    value = leaf
    for _ in range(depth):
        value = {**more, "c": value}
    return value


class Leaf(BaseModel):
    kind: Literal["leaf"] = "leaf"


class Left(BaseModel):
    c: "Left | Right | Leaf"
    kind: Literal["left", "both"]


class Right(BaseModel):
    c: "Left | Right | Leaf"
    kind: Literal["right", "both"]


UNION = Left.model_json_schema()
