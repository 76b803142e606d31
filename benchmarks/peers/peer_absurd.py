"""Absurd: stored procedures in PostgreSQL + absurd-sdk (async client and worker).

Variants: "" (worker poll 10 ms, concurrency 100) and "default" (poll 250 ms, SDK's own result back-off).
"""

import asyncio
import itertools
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import harness
from absurd_sdk import AsyncAbsurd
from pg import Postgres

QUEUE = "bench"


class Peer(harness.Peer):
    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        self.label = "absurd-pg" + ("-" + variant if variant else "")
        if variant == "default":
            self.skip = dict.fromkeys(("w3", "w3k", "w6s", "w8"), "tuned variant covers it")
        self.facts = {
            "sdk": "absurd-sdk " + version("absurd-sdk"),
            "poll_s": 0.25 if variant == "default" else 0.01,
            "concurrency": 100,
            "claim_timeout_s": "5 (default 120)",
        }

    def boot(self) -> None:
        self.postgres = Postgres(self.place)
        self.postgres.start()
        self.url = self.postgres.url()
        control = str(Path(sys.executable).parent / "absurdctl")
        for command in (["init"], ["create-queue", QUEUE]):
            env = {**os.environ, "ABSURD_DATABASE_URL": self.url}
            subprocess.run([control, *command], env=env, check=True, stdout=subprocess.DEVNULL)
        self.facts["durability"] = self.postgres.durability()

    def worker_environment(self) -> dict[str, str]:
        return {"BENCH_URL": self.url, "BENCH_POLLING": str(self.facts["poll_s"])}

    async def connect(self) -> None:
        clients = [AsyncAbsurd(self.url, queue_name=QUEUE) for _ in range(4)]
        for client in clients:
            await client.list_queues()
        self.clients = clients
        self.turns = itertools.cycle(clients)

    async def close(self) -> None:
        for client in self.clients:
            await client.close()

    async def launch(self, kind: str, arg: Any) -> Any:
        return (await next(self.turns).spawn(kind, arg, queue=QUEUE))["task_id"]

    async def outcome(self, handle: Any) -> Any:
        if self.variant == "default":
            return (await next(self.turns).await_task_result(handle, queue_name=QUEUE)).result
        delay = 0.005
        while True:
            task = await next(self.turns).fetch_task_result(handle, queue_name=QUEUE)
            if task is not None and task.state in ("completed", "failed", "cancelled"):
                assert task.state == "completed", task
                return task.result
            await asyncio.sleep(delay)
            delay = min(delay * 1.5, 0.05)

    async def echo_open(self) -> Any:
        return await self.launch("echo", 0)

    async def echo(self, handle: Any, n: int) -> None:
        await next(self.turns).emit_event(f"in-{handle}-{n}", n, queue_name=QUEUE)
        seen = f"select 1 from absurd.e_{QUEUE} where event_name=%s and emitted_at is not null"  # noqa: S608 - our own constant
        connection = self.clients[0]._conn  # noqa: SLF001 - the SDK cannot read an event
        while True:
            cursor = await connection.execute(seen, (f"out-{handle}-{n}",))
            if await cursor.fetchone():
                return
            await asyncio.sleep(0.003)

    def disk_mb(self) -> float:
        return self.postgres.disk_mb()

    def pids(self) -> dict[str, list[int]]:
        return {"postgres": [self.postgres.process.pid], "worker": [worker.pid for worker in self.workers]}

    def halt(self) -> None:
        if hasattr(self, "postgres"):
            self.postgres.stop()


def giver(i: int) -> Callable[[], Awaitable[int]]:
    async def give() -> int:
        return i

    return give


async def worker() -> None:
    app = AsyncAbsurd(os.environ["BENCH_URL"], queue_name=QUEUE)

    @app.register_task("one")
    async def one(x: int, ctx: Any) -> int:
        return await ctx.step("give", giver(x))

    @app.register_task("chain")
    async def chain(n: int, ctx: Any) -> int:
        for i in range(n):
            await ctx.step(f"g{i}", giver(i))
        return n

    @app.register_task("fan")
    async def fan(n: int, ctx: Any) -> int:
        return sum(await asyncio.gather(*[ctx.step(f"g{i}", giver(i)) for i in range(n)]))

    @app.register_task("slow")
    async def slow(path: str, ctx: Any) -> int:
        for i in range(20):

            async def step50(i: int = i) -> int:
                return await asyncio.to_thread(harness.noted_step, path, i)

            await ctx.step(f"s{i}", step50)
        return 20

    @app.register_task("nap")
    async def nap(sec: int, ctx: Any) -> int:
        await ctx.sleep_for("nap", sec)
        return sec

    @app.register_task("echo")
    async def echo(_: int, ctx: Any) -> int:
        me = ctx._task["task_id"] if hasattr(ctx, "_task") else ctx.task_id  # noqa: SLF001 - where one SDK version keeps it
        for n in range(105):
            v = await ctx.await_event(f"in-{me}-{n}")
            await ctx.emit_event(f"out-{me}-{n}", v)
        return 0

    await app.start_worker(concurrency=100, claim_timeout=5, poll_interval=float(os.environ["BENCH_POLLING"]))


if __name__ == "__main__" and sys.argv[1:] == ["worker"]:
    asyncio.run(worker())
