"""What a type checker sees of the SDK. Checked by mypy, never run."""

from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from random import Random
from typing import Any, assert_type
from uuid import UUID

from levante import ActivityError, WorkflowError, activity, get_execution_id, workflow


@activity()
async def charge(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@activity(start_to_close_timeout=timedelta(seconds=5))
def render(name: str) -> bytes:
    return name.encode()


takes_charge: Callable[[int], Awaitable[str]] = charge


@workflow.define(name="typed")
class Typed:
    @workflow.entrypoint
    async def run(self, amount: int) -> str:
        scheduled = assert_type(charge(amount), Coroutine[Any, Any, str])
        assert_type(await charge(amount, currency="CHF"), str)
        assert_type(await render("a"), bytes)
        await scheduled
        await charge("much")  # type: ignore[arg-type]
        await charge(amount, valuta="CHF")  # type: ignore[call-arg]
        await render()  # type: ignore[call-arg]

        assert_type(workflow.now(), datetime)
        assert_type(workflow.uuid4(), UUID)
        assert_type(workflow.random(), Random)
        assert_type(get_execution_id(), str | None)
        await workflow.sleep(timedelta(days=1), summary="until tomorrow")
        await workflow.wait_condition(lambda: amount > 0, timeout=5)
        return ""

    @workflow.signal()
    def rename(self, name: str) -> None: ...

    @workflow.query(description="How many")
    def count(self) -> int:
        return 1

    @workflow.update(name="change")
    async def on_change(self, by: int) -> int:
        return by


assert_type(Typed(), Typed)
run = assert_type(Typed().run(1), Coroutine[Any, Any, str])
assert_type(Typed().count(), int)
change = assert_type(Typed().on_change(2), Coroutine[Any, Any, int])


class NotAsync:
    @workflow.entrypoint  # type: ignore[type-var]
    def run(self) -> str:
        return ""


def handle(error: ActivityError) -> WorkflowError:
    assert_type(error.attempt, int)
    assert_type(error.activity_name, str)
    assert_type(error.cause, BaseException | None)
    return WorkflowError(error.message, non_retryable=True)


@activity
async def undo(amount: int, *, currency: str = "EUR") -> str:
    return f"{amount} {currency}"


@activity
def shorten(text: str) -> str:
    return text[:10]


@workflow.define
class WithoutParentheses:
    @workflow.entrypoint()
    async def run(self, amount: int) -> str:
        undone = assert_type(undo(amount), Coroutine[Any, Any, str])
        await undone
        assert_type(await undo(amount, currency="CHF"), str)
        assert_type(await shorten("a"), str)
        await undo("much")  # type: ignore[arg-type]
        return ""

    @workflow.signal
    def rename(self, name: str) -> None: ...

    @workflow.query
    def count(self) -> int:
        return 1

    @workflow.update
    async def change(self, by: int) -> int:
        return by


assert_type(WithoutParentheses(), WithoutParentheses)
without = assert_type(WithoutParentheses().run(1), Coroutine[Any, Any, str])
assert_type(WithoutParentheses().count(), int)
changed = assert_type(WithoutParentheses().change(2), Coroutine[Any, Any, int])
activity(retrys=3)  # type: ignore[call-overload]
