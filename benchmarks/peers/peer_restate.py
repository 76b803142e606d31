"""Restate: npm @restatedev/restate-server (one node, all roles, stock config) + restate-sdk on hypercorn.

Steps are ctx.run blocks inside a Workflow's `run` handler; messages are durable promises.
"""

import asyncio
import json
import sys
import urllib.request
import uuid
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import harness
import restate

PACKAGES = harness.home() / "npm/node_modules/@restatedev"
INGRESS, ADMIN, NODE, SERVICE = 18080, 19070, 15122, 19080

one_workflow = restate.Workflow("bench")
chain_workflow = restate.Workflow("chain")
fan_workflow = restate.Workflow("fan")
slow_workflow = restate.Workflow("slow")
nap_workflow = restate.Workflow("nap")
echo_workflow = restate.Workflow("echo")


async def give(x: int) -> int:
    return x


@one_workflow.main()
async def one(ctx: restate.WorkflowContext, x: int) -> int:
    return await ctx.run_typed("give", give, x=x)


@chain_workflow.main()
async def chain(ctx: restate.WorkflowContext, n: int) -> int:
    for i in range(n):
        await ctx.run_typed("give", give, x=i)
    return n


@fan_workflow.main()
async def fan(ctx: restate.WorkflowContext, n: int) -> int:
    futures = [ctx.run_typed("give", give, x=i) for i in range(n)]
    await restate.gather(*futures)
    return sum([await future for future in futures])


@slow_workflow.main()
async def slow(ctx: restate.WorkflowContext, path: str) -> int:
    for i in range(20):
        await ctx.run_typed("step", harness.noted_step, path=path, i=i)  # sync function: the SDK runs it in a thread
    return 20


@nap_workflow.main()
async def nap(ctx: restate.WorkflowContext, sec: int) -> int:
    await ctx.sleep(timedelta(seconds=sec))
    return sec


@echo_workflow.main()
async def echo_main(ctx: restate.WorkflowContext, _: int) -> int:
    n = 0
    while True:
        v = await ctx.promise(f"in{n}").value()
        if v < 0:
            return n
        await ctx.promise(f"out{n}").resolve(v)
        n += 1


@echo_workflow.handler()
async def ask(ctx: restate.WorkflowSharedContext, n: int) -> int:
    if n < 0:
        await ctx.promise(f"in{-n}").resolve(-1)
        return -1
    await ctx.promise(f"in{n}").resolve(n)
    return await ctx.promise(f"out{n}").value()


app = restate.app(services=[one_workflow, chain_workflow, fan_workflow, slow_workflow, nap_workflow, echo_workflow])
RUNS = {"one": one, "chain": chain, "fan": fan, "slow": slow, "nap": nap}


class Peer(harness.Peer):
    label = "restate"
    no_spare = "needs a load balancer in front of the endpoint; not set up"

    def __init__(self, variant: str) -> None:
        super().__init__(variant)
        server = json.loads((PACKAGES / "restate-server/package.json").read_text())["version"]
        self.facts = {
            "sdk": "restate_sdk " + version("restate_sdk"),
            "server": "restate-server " + server,
            "asgi": "hypercorn " + version("hypercorn"),
            "durability": "RocksDB, WAL fsync on (default rocksdb-disable-wal-fsync=false), 1 node replicated loglet",
            "partitions": "24 (default)",
        }
        self.server = None

    def boot(self) -> None:
        harness.expect_free(INGRESS, ADMIN, NODE, SERVICE)
        program = next(PACKAGES.glob("restate-server-*/bin/restate-server"))
        self.server = harness.spawn(
            [str(program), "--no-logo", "--base-dir", str(self.place / "data")],
            self.place / "server.log",
            {
                "RESTATE_INGRESS__BIND_PORT": str(INGRESS),
                "RESTATE_ADMIN__BIND_PORT": str(ADMIN),
                "RESTATE_BIND_PORT": str(NODE),
                "RESTATE_BIND_IP": "127.0.0.1",
                "RESTATE_LISTEN_MODE": "tcp",
                "RESTATE_DISABLE_TELEMETRY": "true",
                "RESTATE_LOG_FILTER": "warn",
                "DO_NOT_TRACK": "1",
            },
        )
        harness.wait_port(ADMIN, self.server)
        harness.wait_port(INGRESS, self.server)

    def worker_command(self) -> list[str]:
        serve = ["peer_restate:app", "--bind", f"127.0.0.1:{SERVICE}", "--log-level", "warning"]
        return [sys.executable, "-m", "hypercorn", *serve]

    async def connect(self) -> None:
        harness.wait_port(SERVICE, self.workers[0])
        request = urllib.request.Request(
            f"http://127.0.0.1:{ADMIN}/deployments",
            json.dumps({"uri": f"http://127.0.0.1:{SERVICE}"}).encode(),
            {"content-type": "application/json"},
        )
        for attempt in range(100):
            try:
                await asyncio.to_thread(lambda: urllib.request.urlopen(request).read())
                break
            except OSError:
                if attempt == 99:
                    raise
                await asyncio.sleep(0.05)
        self.opened = restate.create_client(f"http://127.0.0.1:{INGRESS}")
        self.client = await self.opened.__aenter__()
        self.client.client.timeout = 120

    async def close(self) -> None:
        await self.opened.__aexit__(None, None, None)

    # start and wait is one HTTP call in Restate; `launch` only submits for the sleepers
    async def launch(self, kind: str, arg: Any) -> Any:
        key = uuid.uuid4().hex
        if kind == "nap":
            await self.client.workflow_send(nap, key, arg)
            return None
        return asyncio.ensure_future(self.client.workflow_call(RUNS[kind], key, arg))

    async def outcome(self, handle: Any) -> Any:
        return await handle

    async def echo_open(self) -> Any:
        key = uuid.uuid4().hex
        await self.client.workflow_send(echo_main, key, 0)
        return [key, 0]

    async def echo(self, handle: Any, n: int) -> None:
        assert await self.client.workflow_call(ask, handle[0], n) == n
        handle[1] = n + 1

    async def echo_shut(self, handle: Any) -> None:
        await self.client.workflow_call(ask, handle[0], -handle[1])

    def disk_mb(self) -> float:
        return round(sum(f.stat().st_size for f in (self.place / "data").rglob("*") if f.is_file()) / 2**20, 1)

    def pids(self) -> dict[str, list[int]]:
        return {"server": [self.server.pid], "worker": [worker.pid for worker in self.workers]}

    def halt(self) -> None:
        harness.stop_tree(self.server)
