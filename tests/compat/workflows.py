"""What the scenarios call, written as for the vendor's SDK. One worker serves it all; another one serves `shared` alone."""

from datetime import timedelta
from typing import Any, Literal

from pydantic import BaseModel, Field

import levante as workflows


class Address(BaseModel):
    """Where an order goes."""

    city: str


class Order(BaseModel):
    """What somebody wants."""

    customer: str
    quantity: int = Field(ge=1)
    address: Address | None = None


class Receipt(BaseModel):
    """What somebody gets."""

    customer: str
    total: float
    city: str | None


@workflows.activity(retry_policy_max_attempts=1)
async def greeting(name: str, times: int) -> str:
    """Write a greeting."""
    return ", ".join(["hello " + name] * times)


@workflows.activity(retry_policy_max_attempts=1)
async def broken(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


@workflows.workflow.define(
    name="greet", workflow_display_name="Greet somebody", workflow_description="One activity, and its result"
)
class Greet:
    """Parameters that are no models, one of them with a default; a result that is none."""

    @workflows.workflow.entrypoint
    async def run(self, name: str, times: int = 1) -> str:
        """Return the greeting."""
        return await greeting(name, times)


@workflows.workflow.define(name="order")
class PlaceOrder:
    """A model in, a model out."""

    @workflows.workflow.entrypoint
    async def run(self, order: Order) -> Receipt:
        """Return the receipt."""
        city = order.address.city if order.address else None
        return Receipt(customer=order.customer, total=order.quantity * 1.5, city=city)


@workflows.activity()
async def speak(text: str) -> None:
    """Log."""
    workflows.logger.warning("heard %s", text, extra={"volume": 11})


@workflows.workflow.define(name="talk")
class Talk:
    """Logs in workflow code and in activities."""

    @workflows.workflow.entrypoint
    async def run(self, words: int) -> None:
        """Log words."""
        for word in range(words):
            workflows.logger.info("says %d", word)
            await speak(str(word))


@workflows.workflow.define(name="nothing")
class Nothing:
    """No parameters, no result."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Return nothing."""


@workflows.workflow.define(name="echo")
class Echo:
    """Any JSON."""

    @workflows.workflow.entrypoint
    async def run(self, value: Any) -> Any:
        """Return what came."""
        return value


@workflows.workflow.define(name="large")
class Large:
    """A result of any size."""

    @workflows.workflow.entrypoint
    async def run(self, size: int) -> str:
        """Return so many characters."""
        return "x" * size


@workflows.workflow.define(name="nap")
class Nap:
    """Runs as long as one likes."""

    @workflows.workflow.entrypoint
    async def run(self, seconds: float) -> str:
        """Return when the time is over."""
        await workflows.workflow.sleep(timedelta(seconds=seconds))
        return "rested"


@workflows.workflow.define(name="refuse")
class Refuse:
    """Fails on purpose."""

    @workflows.workflow.entrypoint
    async def run(self, reason: str) -> str:
        """Fail."""
        raise workflows.WorkflowError(reason)


@workflows.workflow.define(name="stumble")
class Stumble:
    """Fails because its activity does."""

    @workflows.workflow.entrypoint
    async def run(self, reason: str) -> str:
        """Fail."""
        return await broken(reason)


@workflows.workflow.define(name="hurry", execution_timeout=timedelta(seconds=0.5))
class Hurry:
    """Has less time than it takes."""

    @workflows.workflow.entrypoint
    async def run(self) -> None:
        """Never return."""
        await workflows.workflow.wait_condition(lambda: False)


@workflows.workflow.define(name="listed", search_keys=["fate"])
class Listed:
    """Started by nobody but the scenarios about listings."""

    @workflows.workflow.entrypoint
    async def run(self, fate: Literal["complete", "fail", "wait"], label: str | None = None) -> None:
        """End as asked, or not at all."""
        if label:
            workflows.workflow.add_search_keys({"label": label, "labelled": None})
        if fate == "fail":
            raise workflows.WorkflowError("as asked")
        if fate == "wait":
            await workflows.workflow.wait_condition(lambda: False)


@workflows.workflow.define(name="counter")
class Counter:
    """Counts what it is told, until it is stopped or cancelled."""

    def __init__(self) -> None:
        self.count = 0
        self.is_stopped = False

    @workflows.workflow.entrypoint
    async def run(self, start: int = 0) -> int:
        """Wait to be stopped."""
        self.count += start
        await workflows.workflow.wait_condition(lambda: self.is_stopped)
        return self.count

    @workflows.workflow.signal(name="add")
    def add(self, number: int) -> None:
        """Add."""
        self.count += number

    @workflows.workflow.signal(name="stop")
    def stop(self) -> None:
        """End."""
        self.is_stopped = True

    @workflows.workflow.query(name="current")
    def current(self) -> int:
        """Tell the count."""
        return self.count

    @workflows.workflow.update(name="double")
    async def double(self, times: int = 1) -> dict[str, int]:
        """Double the count, and tell it."""
        if times > 10:
            raise workflows.WorkflowError("that is too much")
        self.count *= 2**times
        return {"count": self.count}


class Approval(BaseModel):
    """What an approver says."""

    approved: bool
    amount: int = Field(ge=0)


@workflows.workflow.define(name="approval")
class Approve(workflows.InteractiveWorkflow):
    """Asks two people, then handles what they approved in parallel."""

    @workflows.workflow.entrypoint
    async def run(self, requester: str) -> list[str]:
        """Return a greeting for each unit that was approved."""
        first = await self.wait_for_input(Approval, label=f"First approval for {requester}")
        second = await self.wait_for_input(Approval, label="Second approval", timeout=timedelta(minutes=1))
        items = [{"name": requester, "times": number + 1} for number in range(min(first.amount, second.amount))]
        return await workflows.execute_activities_in_parallel(greeting, items=items)


@workflows.workflow.define(name="shared")
class Shared:
    """Served by two deployments."""

    @workflows.workflow.entrypoint
    async def run(self) -> str:
        """Return something."""
        return "shared"
