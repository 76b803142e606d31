"""A workflow in the style of the vendor's SDK; only the import line is different."""

import asyncio
from datetime import timedelta

from pydantic import BaseModel

import levante as workflows


class Order(BaseModel):
    """What the customer wants."""

    item: str
    quantity: int = 1


class Receipt(BaseModel):
    """What the customer gets."""

    total_cents: int
    parcel: str


@workflows.activity(start_to_close_timeout=timedelta(seconds=10))
async def price(item: str, quantity: int) -> int:
    """Look up what the order costs."""
    await asyncio.sleep(0.3)
    return len(item) * 100 * quantity


@workflows.activity(retry_policy_max_attempts=5)
async def charge(cents: int) -> str:
    """Charge the customer. The first attempt of each amount fails, as payment services do."""
    if cents not in _SEEN:
        _SEEN.add(cents)
        raise ConnectionError("the payment service did not answer")
    return f"payment-{cents}"


@workflows.activity()
def pack(item: str, payment: str) -> str:
    """Pack the parcel: a plain function runs in a thread."""
    return f"parcel with {item}, paid by {payment}"


_SEEN: set[int] = set()


@workflows.workflow.define(name="order", workflow_description="Charges and ships an order.")
class OrderWorkflow:
    """Price, payment, a pause, a parcel."""

    @workflows.workflow.entrypoint
    async def run(self, order: Order) -> Receipt:
        """Return the receipt of the order."""
        cents = await price(order.item, order.quantity)
        payment = await charge(cents)
        await asyncio.sleep(1)
        return Receipt(total_cents=cents, parcel=await pack(order.item, payment))
