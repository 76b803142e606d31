"""DBOS Transact. Variants.

sqlite / pg                   client process enqueues with DBOSClient, worker process dequeues; all polling set to 20 ms
sqlite-default / pg-default   the same with stock polling (queue 1 s, result 1 s)
sqlite-embed / pg-embed       client and worker are one process (DBOS used as a library), no queue
"""

import asyncio
import os
import sqlite3
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import harness
from dbos import DBOS, DBOSClient
from pg import Postgres


def polling_seconds(variant: str) -> float:
    return 1.0 if variant.endswith("-default") else 0.02


def config(url: str, polling: float) -> dict[str, Any]:
    settings = {
        "name": "bench",
        "system_database_url": url,
        "application_version": "v1",
        "executor_id": "local",
        "log_level": "ERROR",
    }
    if polling < 1:
        settings["notification_listener_polling_interval_sec"] = polling
    return settings


def define() -> dict[str, Any]:
    """Register steps and workflows with DBOS; it keeps them in a registry of its own."""

    @DBOS.step()
    async def give(x: int) -> int:
        return x

    @DBOS.step()
    def step50(path: str, i: int) -> int:
        return harness.noted_step(path, i)

    @DBOS.workflow(name="one")
    async def one(x: int) -> int:
        return await give(x)

    @DBOS.workflow(name="chain")
    async def chain(n: int) -> int:
        for i in range(n):
            await give(i)
        return n

    @DBOS.workflow(name="fan")
    async def fan(n: int) -> int:
        return sum(await asyncio.gather(*[give(i) for i in range(n)]))

    @DBOS.workflow(name="slow")
    def slow(path: str) -> int:
        for i in range(20):
            step50(path, i)
        return 20

    @DBOS.workflow(name="nap")
    async def nap(sec: int) -> int:
        await DBOS.sleep_async(sec)
        return sec

    @DBOS.workflow(name="echo")
    async def echo() -> int:
        while True:
            v = await DBOS.recv_async("in", timeout_seconds=600)
            if v is None or v < 0:
                return 0
            await DBOS.set_event_async(f"out{v}", v)

    return {"one": one, "chain": chain, "fan": fan, "slow": slow, "nap": nap, "echo": echo}


class Peer(harness.Peer):
    def __init__(self, variant: str) -> None:
        super().__init__(variant or "sqlite")
        self.label = "dbos-" + self.variant
        self.polling = polling_seconds(self.variant)
        self.on_postgres = self.variant.startswith("pg")
        self.embedded = self.variant.endswith("-embed")
        if self.embedded:
            self.skip = dict.fromkeys(("w6", "w6s", "w8"), "client and worker are one process")
        else:
            self.no_spare = (
                "recovery is per executor id at restart; a different live executor takes over only with DBOS Conductor"
            )
        if self.variant.endswith("-default"):
            self.skip |= dict.fromkeys(("w3", "w3k", "w4", "w6s", "w8"), "tuned variant covers it")
        self.facts = {
            "sdk": "dbos " + version("dbos"),
            "polling_s": self.polling,
            "queue": "none (direct start)" if self.embedded else "one queue, no limits",
        }

    def boot(self) -> None:
        if self.on_postgres:
            self.postgres = Postgres(self.place)
            self.postgres.start()
            self.url = self.postgres.url("bench_dbos_sys")
            self.facts["durability"] = self.postgres.durability()
        else:
            self.url = f"sqlite:///{self.place}/dbos.sqlite"
            self.facts["durability"] = f"sqlite {sqlite3.sqlite_version} file, pragmas as dbos sets them"

    def worker_command(self) -> list[str]:
        return [] if self.embedded else super().worker_command()

    def worker_environment(self) -> dict[str, str]:
        return {"BENCH_URL": self.url, "BENCH_PLACE": str(self.place), "BENCH_POLLING": str(self.polling)}

    async def connect(self) -> None:
        if self.embedded:
            DBOS(config=config(self.url, self.polling))
            self.workflows = define()
            DBOS.launch()
            return
        while not (self.place / "worker.ready").exists():
            await asyncio.sleep(0.02)
            if self.workers[0].poll() is not None:
                raise RuntimeError((self.place / "worker.log").read_text()[-800:])
        self.client = DBOSClient(system_database_url=self.url, use_listen_notify=self.on_postgres)

    async def close(self) -> None:
        if self.embedded:
            await asyncio.to_thread(DBOS.destroy)
        else:
            self.client.destroy()

    async def launch(self, kind: str, *args: Any) -> Any:
        if self.embedded:
            return await DBOS.start_workflow_async(self.workflows[kind], *args)
        return await self.client.enqueue_async({"queue_name": "bench", "workflow_name": kind, "app_version": "v1"}, *args)

    async def outcome(self, handle: Any) -> Any:
        return await handle.get_result(polling_interval_sec=self.polling)

    async def echo_open(self) -> Any:
        return await self.launch("echo")

    async def echo(self, handle: Any, n: int) -> None:
        side = DBOS if self.embedded else self.client
        await side.send_async(handle.workflow_id, n, topic="in")
        assert await side.get_event_async(handle.workflow_id, f"out{n}", 30) == n

    async def echo_shut(self, handle: Any) -> None:
        side = DBOS if self.embedded else self.client
        await side.send_async(handle.workflow_id, -1, topic="in")
        await self.outcome(handle)

    def pids(self) -> dict[str, list[int]]:
        roles = {"worker": [worker.pid for worker in self.workers] or [os.getpid()]}
        if self.on_postgres:
            roles["postgres"] = [self.postgres.process.pid]
        return roles

    def halt(self) -> None:
        if self.on_postgres and hasattr(self, "postgres"):
            self.postgres.stop()


def worker() -> None:
    polling = float(os.environ["BENCH_POLLING"])
    DBOS(config=config(os.environ["BENCH_URL"], polling))
    define()
    DBOS.launch()
    DBOS.register_queue("bench", polling_interval_sec=polling)
    (Path(os.environ["BENCH_PLACE"]) / "worker.ready").touch()
    while True:
        time.sleep(3600)


if __name__ == "__main__" and sys.argv[1:] == ["worker"]:
    worker()
