"""Boundaries that values cross."""

from enum import IntEnum
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SerializeAsAny,
    computed_field,
    field_serializer,
)
from typing_extensions import TypedDict

from levante.definition.outputs import ActivityOutput
from levante.definition.schemas import Owner
from levante.errors import ErrorCode

PASSWORD = SecretStr("hunter2")
OWNER = Owner("it 'x'", ErrorCode.WORKFLOW_DEFINITION_ERROR)


class Shape(BaseModel):
    name: str


class Circle(Shape):
    radius: float = 1.0


class Container(BaseModel):
    shape: SerializeAsAny[Shape]


class Level(IntEnum):
    LOW = 1


class Kept(BaseModel):
    count: int
    _note: str = PrivateAttr(default="")


class Halved(BaseModel):
    count: int

    @field_serializer("count")
    def half(self, count: int) -> int:
        return count // 2


class Bounded(BaseModel):
    count: int = Field(ge=0)


class Sum(BaseModel):
    model_config = ConfigDict(extra="forbid")
    parts: list[int]

    @computed_field
    def total(self) -> int:
        return sum(self.parts)


class Hexadecimal(BaseModel):
    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex")
    raw: bytes


class Only(BaseModel):
    result: int


class Node(BaseModel):
    children: list["Node"] = []


class Row(TypedDict):
    x: int


def through_activity(hint: Any, value: Any) -> Any:
    output = ActivityOutput(OWNER, hint)
    return output.load(output.dump(value))
