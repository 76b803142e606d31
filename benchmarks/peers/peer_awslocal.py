"""AWS Lambda durable execution: the in-process runner of its testing SDK (DurableFunctionTestRunner).

Client, "service" and function share one process; the store is memory (default) or sqlite (variant `sqlite`).
"""

import asyncio
import itertools
import json
import os
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import harness
from aws_durable_execution_sdk_python.config import Duration
from aws_durable_execution_sdk_python.context import DurableContext, durable_step
from aws_durable_execution_sdk_python.execution import durable_execution
from aws_durable_execution_sdk_python_testing.runner import DurableFunctionTestRunner
from aws_durable_execution_sdk_python_testing.stores.sqlite import SQLiteExecutionStore

CALLBACKS: dict[int, str] = {}
SEEN: defaultdict[int, threading.Event] = defaultdict(threading.Event)


@durable_step
def give(_: Any, x: int) -> int:
    return x


def one(context: DurableContext, x: int) -> int:
    return context.step(give(x))


def chain(context: DurableContext, n: int) -> int:
    for i in range(n):
        context.step(give(i))
    return n


def fan(context: DurableContext, n: int) -> int:
    results = context.map(list(range(n)), lambda child, x, _i, _xs: child.step(give(x)))
    return sum(results.get_results())


def nap(context: DurableContext, sec: int) -> int:
    context.wait(Duration.from_seconds(sec))
    return sec


def echo(context: DurableContext, n: int) -> int:
    for i in range(n):
        callback = context.create_callback(name=f"in{i}")
        CALLBACKS[i] = callback.callback_id
        callback.result()
        SEEN[i].set()
    return 0


KINDS = {"one": one, "chain": chain, "fan": fan, "nap": nap, "echo": echo}


@durable_execution
def handler(event: dict[str, Any], context: DurableContext) -> int:
    return KINDS[event["kind"]](context, event["arg"])


class Peer(harness.Peer):
    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        self.label = "aws-local" + ("-" + variant if variant else "")
        self.skip = dict.fromkeys(("w6", "w6s"), "one process; nothing to kill separately")
        self.facts = {
            "sdk": "aws-durable-execution-sdk-python " + version("aws-durable-execution-sdk-python"),
            "testing": version("aws-durable-execution-sdk-python-testing"),
            "durability": "sqlite WAL synchronous=NORMAL" if variant == "sqlite" else "none (process memory)",
            "skip_time": False,
        }

    def boot(self) -> None:
        store = SQLiteExecutionStore.create_and_initialize(str(self.place / "s.db")) if self.variant == "sqlite" else None
        self.runner = DurableFunctionTestRunner(handler=handler, skip_time=False, store=store, execution_timeout=7200)
        self.pool = ThreadPoolExecutor(110)
        self.numbers = itertools.count()
        CALLBACKS.clear()
        SEEN.clear()

    def worker_command(self) -> list[str]:
        return []

    async def in_thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.pool, call)

    async def launch(self, kind: str, arg: Any) -> Any:
        name = f"e{next(self.numbers)}"  # each execution needs its own
        body = json.dumps({"kind": kind, "arg": arg})
        return await self.in_thread(lambda: self.runner.run_async(input=body, execution_name=name, execution_timeout=7200))

    async def outcome(self, handle: Any) -> Any:
        result = await self.in_thread(lambda: self.runner.wait_for_result(handle, timeout=200))
        return json.loads(result.result)

    async def echo_open(self) -> Any:
        return await self.launch("echo", 105)

    async def echo(self, _: Any, n: int) -> None:
        while n not in CALLBACKS:
            await asyncio.sleep(0.001)
        await self.in_thread(lambda: self.runner.send_callback_success(CALLBACKS[n], json.dumps(n).encode()))
        await self.in_thread(lambda: SEEN[n].wait(30))

    def pids(self) -> dict[str, list[int]]:
        return {"all_in_one": [os.getpid()]}

    def halt(self) -> None:
        if hasattr(self, "pool"):
            self.pool.shutdown(wait=False, cancel_futures=True)
            self.runner.close()
