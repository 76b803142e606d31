"""A shop whose workflows are called, an API that answers as told, and both clients in front of it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from levante import workflow
from levante.client import (
    AsyncClient,
    Client,
    steps,
    waiting,
)

EXECUTE = "/v1/workflows/shop/execute"
ONE = "/v1/workflows/executions/e1"
STREAM = "/v1/workflows/events/stream"
RUNNING = {
    "execution_id": "e1",
    "workflow_name": "shop",
    "status": "RUNNING",
    "start_time": "2026-11-23T00:00:00Z",
    "end_time": None,
    "result": None,
    "failure": None,
}
FAILURE = {
    "kind": "application",
    "message": "no refunds",
    "type": "Refused",
    "details": {"cents": -1},
    "cause": {"message": "negative", "type": "ValueError"},
}


class Order(BaseModel):
    item: str
    cents: int


class Receipt(BaseModel):
    order: Order
    day: date


@workflow.define(name="shop")
class Shop:
    @workflow.entrypoint
    async def run(self, order: Order) -> Receipt:
        return Receipt(order=order, day=date(2026, 11, 23))

    @workflow.signal(name="ok")
    def approve(self, by: str, on: date | None = None) -> None: ...

    @workflow.query()
    def total(self) -> tuple[int, date]:
        return 1, date(2026, 11, 23)

    @workflow.update()
    async def add(self, order: Order) -> date:
        return date(2026, 11, 23)


@workflow.define(name="pay")
class Pay:
    @workflow.entrypoint
    async def pay(self, cents: int) -> list[date]:
        return [date(2026, 11, 23)] * cents


RESULT = {"order": {"item": "kite", "cents": 3}, "day": "2026-11-23"}
RECEIPT = Receipt(order=Order(item="kite", cents=3), day=date(2026, 11, 23))
ORDER = Order(item="kite", cents=3)

Reply = tuple[int, Any] | Exception


@dataclass
class Api:
    """Answers in turn, the last answer for ever; an exception is raised where the network would."""

    replies: dict[tuple[str, str], list[Reply]] = field(default_factory=dict)
    asked: list[httpx.Request] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    elsewhere: Reply = (404, {"detail": "nothing", "code": "WF_1100"})

    def on(self, method: str, path: str, *replies: Reply) -> None:
        self.replies[method, path] = list(replies)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        replies = self.replies.get((request.method, request.url.path), [self.elsewhere])
        reply = replies.pop(0) if len(replies) > 1 else replies[0]
        if isinstance(reply, Exception):
            raise reply
        status, content = reply
        if isinstance(content, str):
            return httpx.Response(status, text=content, headers={"Content-Type": "text/event-stream", **self.headers})
        return httpx.Response(status, json=content, headers=self.headers)

    @property
    def paths(self) -> list[str]:
        return [f"{one.method} {one.url.path}" for one in self.asked]

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(one.content) for one in self.asked if one.content]


Use = Callable[..., Any]


@pytest.fixture(autouse=True)
def brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (steps, waiting):
        monkeypatch.setattr(module, "FIRST_PAUSE_SECONDS", 0.001)
        monkeypatch.setattr(module, "LAST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(waiting, "RECONNECT_SECONDS", 0.001)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture(params=["sync", "async"])
def use(request: pytest.FixtureRequest, api: Api) -> Use:
    """Call a method of the client, or with `of` of a handle; the same for both clients."""
    mock = httpx.MockTransport(api)

    def sync(method: str, *args: Any, of: str | None = None, workflow: Any = Shop, **options: Any) -> Any:
        with Client("http://127.0.0.1:1", "lev_k", retry_for=0.5, transport=mock, **options.pop("client", {})) as client:
            found = getattr(client.handle(of, workflow) if of else client, method)(*args, **options)
            return list(found) if isinstance(found, Iterator) else found

    async def asynchronous(method: str, *args: Any, of: str | None = None, workflow: Any = Shop, **options: Any) -> Any:
        made = AsyncClient("http://127.0.0.1:1", "lev_k", retry_for=0.5, transport=mock, **options.pop("client", {}))
        async with made as client:
            found = getattr(client.handle(of, workflow) if of else client, method)(*args, **options)
            return [one async for one in found] if hasattr(found, "__aiter__") else await found

    def run(*args: Any, **options: Any) -> Any:
        return asyncio.run(asynchronous(*args, **options))

    return sync if request.param == "sync" else run
