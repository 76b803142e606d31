"""A shop, for the tests of the console: orders with parcels, one that is stuck, an approval, an agent and a long history."""

import asyncio
import os
from datetime import timedelta
from typing import Literal

from pydantic import BaseModel, Field

import levante as workflows
from levante import workflow


class Item(BaseModel):
    """One line of an order."""

    article: str
    quantity: int = Field(1, ge=1)


class Order(BaseModel):
    """What a customer wants."""

    customer: str = Field(description="Whose order it is.")
    items: list[Item]
    total_cents: int = Field(ge=0, description="What all of it costs, in cents.")
    speed: Literal["standard", "express"] = "standard"
    gift: bool = False
    note: str | None = None


class Approval(BaseModel):
    """The answer of whoever approves."""

    approved: bool
    by: str = Field(description="Who decides.")
    limit_cents: int = Field(10_000, ge=0)


@workflows.activity(retry_policy_max_attempts=1000, retry_policy_backoff_coefficient=1.5)
async def charge(customer: str, cents: int) -> str:
    """Charge the customer: refused as long as the file that the environment names is there."""
    if os.path.exists(os.environ["SHOP_BROKEN"]):  # noqa: ASYNC240, PTH110 - a look at a file
        raise ConnectionError("the payment service answered 503 Service Unavailable")
    await asyncio.sleep(0.05)
    return f"payment-{customer}-{cents}"


@workflows.activity()
async def reserve(article: str, quantity: int) -> str:
    """Reserve an article."""
    await asyncio.sleep(0.12)
    return f"{quantity} x {article}"


@workflow.define(name="parcel", workflow_description="Packs and ships one parcel.")
class Parcel:
    @workflow.entrypoint
    async def run(self, contents: list[str]) -> str:
        await asyncio.sleep(0.4)
        return f"parcel of {', '.join(contents)}"


@workflow.define(name="order", workflow_description="Charges an order and ships it.", search_keys=["customer"])
class OrderWorkflow:
    def __init__(self) -> None:
        self.state = "received"
        self.address = "the one on file"

    @workflow.entrypoint
    async def run(self, order: Order) -> dict[str, str | int]:
        self.state = "reserving"
        reserved = await asyncio.gather(*(reserve(item.article, item.quantity) for item in order.items))
        self.state = "charging"
        payment = await charge(order.customer, order.total_cents)
        self.state = "shipping"
        child = f"{workflows.get_execution_id()}-parcel"
        parcel = await workflow.execute_workflow(Parcel, {"contents": list(reserved)}, execution_id=child)
        return {"payment": payment, "parcel": parcel, "address": self.address, "total_cents": order.total_cents}

    @workflow.signal(name="change_address", description="Send the parcel elsewhere.")
    def change_address(self, address: str) -> None:
        self.address = address

    @workflow.update(name="rename", description="Change the address, and hear the one before.")
    def rename(self, address: str) -> str:
        before, self.address = self.address, address
        return before

    @workflow.query(name="state", description="How far the order has come.")
    def show_state(self) -> str:
        return self.state


@workflow.define(name="expense", execution_timeout=timedelta(days=30), workflow_description="Waits for an approval.")
class Expense(workflows.InteractiveWorkflow):
    @workflow.entrypoint
    async def run(self, title: str) -> str:
        answer = await self.wait_for_input(Approval, label=f"Approve {title}")
        return f"{answer.by}: {'approved' if answer.approved else 'rejected'}"


@workflow.define(name="reminder", workflow_description="Waits for days, and can be asked to stop.")
class Reminder:
    def __init__(self) -> None:
        self.is_done = False

    @workflow.entrypoint
    async def run(self, days: int = 3) -> str:
        await reserve("reminder", days)
        await workflow.wait_condition(lambda: self.is_done, timedelta(days=days))
        return "done"

    @workflow.signal(name="done", description="Nothing more to remind of.")
    def done(self) -> None:
        self.is_done = True


@workflow.define(name="echo", workflow_description="Returns what it is given.")
class Echo:
    @workflow.entrypoint
    async def run(self, number: int, label: str = "") -> int:
        return number


@workflow.define(name="broken", workflow_description="Its code raises where it must not.")
class Broken:
    @workflow.entrypoint
    async def run(self) -> None:
        await reserve("tea", 1)
        raise KeyError("parcel")


@workflow.define(name="refused", workflow_description="Fails, as a declined payment does.")
class Refused:
    @workflow.entrypoint
    async def run(self, customer: str) -> None:
        await reserve("tea", 1)
        raise workflows.WorkflowError(f"the card of {customer} was declined")
