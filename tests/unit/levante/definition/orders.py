"""A workflow with handlers of each kind."""

from datetime import timedelta

from pydantic import BaseModel

from levante import (
    workflow,
)


class Order(BaseModel):
    sku: str


@workflow.define(
    name="order",
    workflow_display_name="Order",
    workflow_description="Sells something",
    execution_timeout=timedelta(minutes=5),
    search_keys=["sku", "customer.id"],
)
class OrderWorkflow:
    class Change(BaseModel):  # noqa: D106
        sku: str

    def __init__(self) -> None:
        self.sku = ""

    @workflow.entrypoint
    async def run(self, order: Order) -> int:
        self.sku = order.sku
        return len(order.sku)

    @workflow.signal(name="rename", description="Renames it")
    def on_rename(self, sku: str) -> None:
        self.sku = sku

    @workflow.signal()
    async def again(self) -> None: ...

    @workflow.query()
    def sku_now(self) -> str:
        return self.sku

    @workflow.update()
    async def change(self, change: "OrderWorkflow.Change") -> bool:
        self.sku = change.sku
        return True

    @workflow.update()
    def change_nested(self, change: "Change") -> bool:
        self.sku = change.sku
        return True


async def one() -> None: ...
async def other() -> None: ...
