"""Levante: `levante dev` (one host process, SQLite file), a worker process, and a client that speaks plain HTTP.

Variants: "" (aiohttp client) and "official" (the `mistralai` client, which costs some ms of CPU a call).
"""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from importlib.metadata import version
from typing import Any

import aiohttp
import harness

import levante as workflows

KEY = "levante-bench-0123456789abcdef0123456789abcdef"
DEPLOYMENT = "bench"
WAIT_SECONDS = 120
REGISTRATION_SECONDS = 30


@workflows.activity()
async def give(x: int) -> int:
    return x


@workflows.activity()
def step50(path: str, i: int) -> int:
    return harness.noted_step(path, i)


@workflows.workflow.define(name="one")
class One:
    @workflows.workflow.entrypoint
    async def run(self, x: int) -> int:
        return await give(x)


@workflows.workflow.define(name="chain")
class Chain:
    @workflows.workflow.entrypoint
    async def run(self, n: int) -> int:
        for i in range(n):
            await give(i)
        return n


@workflows.workflow.define(name="fan")
class Fan:
    @workflows.workflow.entrypoint
    async def run(self, n: int) -> int:
        return sum(await asyncio.gather(*[give(i) for i in range(n)]))


@workflows.workflow.define(name="slow")
class Slow:
    @workflows.workflow.entrypoint
    async def run(self, path: str) -> int:
        for i in range(20):
            await step50(path, i)
        return 20


@workflows.workflow.define(name="nap")
class Nap:
    @workflows.workflow.entrypoint
    async def run(self, sec: int) -> int:
        await asyncio.sleep(sec)
        return sec


WORKFLOWS = [One, Chain, Fan, Slow, Nap]
PARAMETER = {"one": "x", "chain": "n", "fan": "n", "slow": "path", "nap": "sec"}
"""The name under which each kind takes its argument."""


class Peer(harness.Peer):
    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        if variant not in ("", "official"):
            raise ValueError(f"no such variant of levante: {variant}")
        self.label = "levante" + ("-" + variant if variant else "")
        self.skip = dict.fromkeys(("w5", "w5b"), "signals and updates are not measured yet")
        client = "mistralai " + version("mistralai") if variant else "aiohttp " + version("aiohttp")
        self.facts = {
            "version": "levante " + version("levante"),
            "client": client,
            "durability": f"sqlite {sqlite3.sqlite_version} file, WAL, synchronous=FULL",
            "settings": "defaults",
        }
        self.host: subprocess.Popen[bytes] | None = None

    def boot(self) -> None:
        port = harness.free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "levante", "dev", "--data", str(self.place / "data"), "--port", str(port)]
        self.host = harness.spawn(command, self.place / "host.log", {"LEVANTE_API_KEY": KEY})
        harness.wait_port(port, self.host)

    def worker_environment(self) -> dict[str, str]:
        return {"LEVANTE_SERVER_URL": self.url, "LEVANTE_API_KEY": KEY, "DEPLOYMENT_NAME": DEPLOYMENT}

    async def connect(self) -> None:
        self.session = aiohttp.ClientSession(
            self.url,
            headers={"Authorization": f"Bearer {KEY}"},
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=WAIT_SECONDS + 10),
        )
        if self.variant == "official":
            from mistralai.client import Mistral  # noqa: PLC0415 - its size would be counted as the worker's

            self.official = Mistral(api_key=KEY, server_url=self.url)
        end = time.monotonic() + REGISTRATION_SECONDS
        while not await self.registered():
            if self.workers[0].poll() is not None:
                raise RuntimeError(f"the worker ended with code {self.workers[0].returncode} before it registered")
            if time.monotonic() > end:
                raise TimeoutError(f"no worker registered within {REGISTRATION_SECONDS} s")
            await asyncio.sleep(0.02)

    async def registered(self) -> bool:
        async with self.session.get("/v1/workflows/one") as answer:
            return answer.status == 200

    async def close(self) -> None:
        if hasattr(self, "session"):
            await self.session.close()

    # start and wait is one HTTP call; `launch` only submits for the sleepers
    async def launch(self, kind: str, arg: Any) -> Any:
        body = {PARAMETER[kind]: arg}
        if kind == "nap":
            return await self.execute(kind, {"input": body, "wait_for_result": False})
        if self.variant == "official":
            return asyncio.ensure_future(self.execute_officially(kind, body))
        whole = {"input": body, "wait_for_result": True, "timeout_seconds": WAIT_SECONDS}
        return asyncio.ensure_future(self.execute(kind, whole))

    async def execute(self, kind: str, body: dict[str, Any]) -> Any:
        async with self.session.post(f"/v1/workflows/{kind}/execute", json=body) as answer:
            if answer.status != 200:
                raise RuntimeError(f"{kind} was answered with {answer.status}: {(await answer.text())[:300]}")
            return (await answer.json())["result"]

    async def execute_officially(self, kind: str, body: dict[str, Any]) -> Any:
        return await self.official.workflows.execute_workflow_and_wait_async(
            workflow_identifier=kind,
            input=body,
            use_api_sync=True,
            timeout_seconds=WAIT_SECONDS,
            timeout_ms=(WAIT_SECONDS + 10) * 1000,
        )

    async def outcome(self, handle: Any) -> Any:
        return (await handle)["result"]

    def disk_mb(self) -> float:
        return round(sum(f.stat().st_size for f in (self.place / "data").rglob("*") if f.is_file()) / 2**20, 1)

    def pids(self) -> dict[str, list[int]]:
        return {"host": [self.host.pid] if self.host else [], "worker": [worker.pid for worker in self.workers]}

    def halt(self) -> None:
        harness.stop_tree(self.host)


if __name__ == "__main__" and sys.argv[1:] == ["worker"]:
    os.environ.setdefault("WORKER_NAME", f"bench-{os.getpid()}")
    asyncio.run(workflows.run_worker(WORKFLOWS))
