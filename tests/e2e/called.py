"""Workflows that the client calls."""

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import UUID

from pydantic import BaseModel

from levante import WorkflowError, activity, execute_workflow, workflow


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True)
class Point:
    x: int
    y: float


class Values(BaseModel):
    day: date
    at: datetime
    took: timedelta
    price: Decimal
    id: UUID
    data: bytes
    colour: Colour
    point: Point
    pair: tuple[int, str]
    names: frozenset[str]
    by_number: dict[int, str]
    nothing: None = None
    text: str = ""


class Approval(BaseModel):
    by: str


@activity(name="called-charge")
async def charge(cents: int) -> str:
    return f"{cents} charged"


@workflow.define(name="echo")
class Echo:
    @workflow.entrypoint
    async def run(self, values: Values) -> Values:
        return values


@workflow.define(name="echo-by-child")
class EchoByChild:
    @workflow.entrypoint
    async def run(self, values: Values) -> Values:
        found: Values = await execute_workflow(Echo, values)
        return found


@workflow.define(name="echo-pairs")
class EchoPairs:
    @workflow.entrypoint
    async def echo(self, pairs: list[tuple[date, Point]]) -> list[tuple[date, Point]]:
        return pairs


@workflow.define(name="approved")
class Approved:
    def __init__(self) -> None:
        self.by: list[str] = []

    @workflow.entrypoint
    async def run(self, cents: int) -> str:
        if cents < 0:
            raise WorkflowError("no refunds", details={"cents": cents}) from ValueError("negative")
        paid = await charge(cents)
        await workflow.wait_condition(lambda: bool(self.by))
        return f"{paid}, approved by {', '.join(self.by)}"

    @workflow.signal()
    def approve(self, approval: Approval) -> None:
        self.by.append(approval.by)

    @workflow.query()
    def approvals(self) -> tuple[str, ...]:
        return tuple(self.by)

    @workflow.update()
    async def ask(self, seconds: float) -> timedelta:
        if seconds < 0:
            raise WorkflowError("not in the past")
        await asyncio.sleep(seconds)
        return timedelta(seconds=seconds)
