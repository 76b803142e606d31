"""What type checkers see of the client. Checked by mypy and by basedpyright, never run."""

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any, assert_type

from pydantic import BaseModel

from levante import workflow
from levante.client import AsyncClient, AsyncHandle, Client, ExecutionDescription, ExecutionEvent, Explanation, Handle


class Order(BaseModel):
    cents: int


class Receipt(BaseModel):
    cents: int


@workflow.define(name="typed-checkout")
class Checkout:
    @workflow.entrypoint
    async def run(self, order: Order, note: str = "") -> Receipt:
        return Receipt(cents=order.cents)

    @workflow.signal()
    def approve(self, by: str) -> None: ...

    @workflow.signal()
    async def reject(self, by: str) -> None: ...

    @workflow.query()
    def total(self) -> int:
        return 1

    @workflow.update()
    def rename(self, name: str) -> str:
        return name

    @workflow.update(name="add")
    async def on_add(self, order: Order) -> date:
        return date(2026, 11, 23)


@workflow.define(name="typed-pay")
class Pay:
    @workflow.entrypoint
    async def pay(self, cents: int) -> list[int]:
        return [cents]


def blocking(client: Client) -> None:
    assert_type(client.execute(Checkout, Order(cents=1)), Receipt)
    assert_type(client.execute(Checkout, {"order": Order(cents=1), "note": "x"}, timeout=5), Receipt)
    assert_type(client.execute(Pay.pay, {"cents": 1}), list[int])
    assert_type(client.execute("checkout"), Any)
    handle = assert_type(client.start(Checkout, Order(cents=1)), Handle[Receipt])
    assert_type(client.start(Pay.pay, {"cents": 1}).result(), list[int])
    assert_type(client.handle("e1", Checkout), Handle[Receipt])
    assert_type(client.handle("e1"), Handle[Any])
    assert_type(handle.result(timeout=1), Receipt)
    assert_type(handle.query(Checkout.total), int)
    assert_type(handle.query("total"), Any)
    assert_type(handle.update(Checkout.rename, {"name": "x"}), str)
    assert_type(handle.update(Checkout.on_add, Order(cents=1), timeout=1), date)
    assert_type(handle.describe(), ExecutionDescription)
    assert_type(handle.explain(), Explanation)
    assert_type(handle.stream(), Iterator[ExecutionEvent])
    handle.signal(Checkout.approve, {"by": "me"})
    handle.signal(Checkout.reject, {"by": "me"})
    client.execute(Checkout, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    handle.signal(1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def waiting(client: AsyncClient) -> None:
    assert_type(await client.execute(Checkout, Order(cents=1)), Receipt)
    assert_type(await client.execute(Pay.pay, {"cents": 1}), list[int])
    handle = assert_type(await client.start(Checkout, Order(cents=1)), AsyncHandle[Receipt])
    assert_type(client.handle("e1", Pay.pay), AsyncHandle[list[int]])
    assert_type(await handle.result(), Receipt)
    assert_type(await handle.query(Checkout.total), int)
    assert_type(await handle.update(Checkout.on_add, Order(cents=1)), date)
    assert_type(handle.stream(), AsyncIterator[ExecutionEvent])
