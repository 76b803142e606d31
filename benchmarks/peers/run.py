"""Measure one peer: `python run.py PEER[:variant] --out FILE [--reps 3] [--only w1,w2,...] [--sleepers 10000]`.

Each repetition boots a fresh server on empty storage and one worker process, runs the workloads in order, stops
everything, and appends one JSON line per workload to the file. `benchmarks/bench.py` calls this in the peer's environment.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TextIO

import harness

Figures = dict[str, Any]
Workload = Callable[[harness.Peer, argparse.Namespace], Awaitable[Figures]]

STEPS = 20
RECOVERY_LIMIT = 45
"""Seconds after which a recovery counts as not finished."""


async def latency(peer: harness.Peer, sizes: argparse.Namespace) -> Figures:
    """W1: start -> one activity -> result, one after another."""
    for i in range(sizes.warm):
        await peer.outcome(await peer.launch("one", i))
    ms = []
    for i in range(sizes.n1):
        began = time.perf_counter()
        result = await peer.outcome(await peer.launch("one", i))
        ms.append((time.perf_counter() - began) * 1e3)
        assert result == i, (result, i)
    return {"p50_ms": harness.percentile(ms, 50), "p99_ms": harness.percentile(ms, 99), "min_ms": min(ms), "n": len(ms)}


async def throughput(peer: harness.Peer, sizes: argparse.Namespace) -> Figures:
    """W2: executions of one activity, 100 in flight."""

    async def job(i: int) -> None:
        assert await peer.outcome(await peer.launch("one", i)) == i

    began = time.perf_counter()
    await harness.windowed(sizes.n2, 100, job)
    seconds = time.perf_counter() - began
    return {"wf_per_s": sizes.n2 / seconds, "total_s": seconds, "n": sizes.n2}


def chain(n: int) -> Workload:
    """W3: n activities, one after another."""

    async def measure(peer: harness.Peer, _: argparse.Namespace) -> Figures:
        began = time.perf_counter()
        assert await peer.outcome(await peer.launch("chain", n)) == n
        seconds = time.perf_counter() - began
        return {"act_per_s": n / seconds, "total_s": seconds, "ms_per_step": seconds / n * 1e3, "n": n}

    return measure


async def fan_out(peer: harness.Peer, _: argparse.Namespace) -> Figures:
    """W4: 200 activities at once."""
    began = time.perf_counter()
    assert await peer.outcome(await peer.launch("fan", 200)) == sum(range(200))
    return {"total_s": time.perf_counter() - began, "n": 200}


def messages(send: str) -> Workload:
    """W5: round trips of a message to a running workflow. send: the peer's method for one of them."""

    async def measure(peer: harness.Peer, _: argparse.Namespace) -> Figures:
        if not hasattr(peer, send):
            return {"skipped": "it has no such message"}
        handle = await peer.echo_open()
        ping = getattr(peer, send)
        for n in range(5):
            await ping(handle, n)
        ms: list[float] = []
        all_began = time.perf_counter()
        for n in range(5, 105):
            began = time.perf_counter()
            await ping(handle, n)
            ms.append((time.perf_counter() - began) * 1e3)
            if time.perf_counter() - all_began > 20 and len(ms) >= 10:
                break
        await peer.echo_shut(handle)
        return {"p50_ms": harness.percentile(ms, 50), "p99_ms": harness.percentile(ms, 99), "n": len(ms)}

    return measure


def noted(path: Path) -> list[list[str]]:
    """Return what the 50 ms activities have noted so far: [S or E, step, pid, time]."""
    try:
        return [line.split() for line in path.read_text().splitlines()]
    except FileNotFoundError:
        return []


async def until_half_done(path: Path, waiter: "asyncio.Future[Any]") -> int:
    """Wait until half of the steps have ended. Returns the pid of the process that ended the last of them."""
    while sum(line[0] == "E" for line in noted(path)) < STEPS // 2:
        if waiter.done():
            waiter.result()
        await asyncio.sleep(0.005)
    return int(noted(path)[-1][2])


def kill_worker(peer: harness.Peer, busy_pid: int) -> None:
    """Kill (-9) the worker that this process belongs to, with all its descendants."""
    victim = next((w for w in peer.workers if busy_pid in [q.pid for q in harness.tree(w.pid)]), peer.workers[0])
    for process in harness.tree(victim.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    victim.wait()
    peer.workers.remove(victim)


def recovery(*, spare: bool) -> Workload:
    """W6: kill -9 of the busy worker half-way; the clock runs from its death to the result.

    spare: another worker is running already; otherwise one is started at once.
    """

    async def measure(peer: harness.Peer, _: argparse.Namespace) -> Figures:
        if spare and peer.no_spare:
            return {"skipped": peer.no_spare}
        path = Path(tempfile.mkdtemp(prefix="steps.", dir=peer.place)) / "steps"
        extra = peer.add_worker() if spare else None
        if spare:
            await asyncio.sleep(3)
        handle = await peer.launch("slow", str(path))
        waiter = asyncio.ensure_future(peer.outcome(handle))
        try:
            kill_worker(peer, await until_half_done(path, waiter))
            began = time.perf_counter()
            if not spare:
                peer.add_worker()
            done: float | None = None
            with contextlib.suppress(TimeoutError):
                assert await asyncio.wait_for(asyncio.shield(waiter), RECOVERY_LIMIT) == STEPS
                done = time.perf_counter() - began
            lines = noted(path)
            ended = [line[1] for line in lines if line[0] == "E"]
            started = [line[1] for line in lines if line[0] == "S"]
            return {
                "finish_s": done,
                "limit_s": RECOVERY_LIMIT,
                "steps_completed_twice": len(ended) - len(set(ended)),
                "steps_started_twice": len(started) - len(set(started)),
            }
        finally:
            waiter.cancel()
            if extra is not None and extra in peer.workers and len(peer.workers) > 1:
                harness.stop_tree(extra)
                peer.workers.remove(extra)

    return measure


async def idle(peer: harness.Peer, _: argparse.Namespace) -> Figures:
    """W7: memory, and CPU over five seconds, when nothing happens."""
    await asyncio.sleep(2)
    groups = peer.pids()
    before = {role: harness.tree_cpu(*pids) for role, pids in groups.items()}
    began = time.monotonic()
    await asyncio.sleep(5)
    wall = time.monotonic() - began
    figures = {}
    for role, pids in groups.items():
        cpu = harness.tree_cpu(*pids) - before[role]
        rss, pss = harness.memory_mb(*pids)
        figures[role] = {"rss_mb": rss, "pss_mb": pss, "cpu_pct": round(cpu / wall * 100, 2)}
    return figures


def pss_of(peer: harness.Peer) -> dict[str, float]:
    """Return PSS in MiB by role."""
    return {role: harness.memory_mb(*pids)[1] for role, pids in peer.pids().items()}


async def sleepers(peer: harness.Peer, sizes: argparse.Namespace) -> Figures:
    """W8: many sleeping executions, and whether a fresh one is still served."""
    before = pss_of(peer)

    async def job(_: int) -> None:
        await peer.launch("nap", 3600)

    began = time.perf_counter()
    await harness.windowed(sizes.sleepers, 100, job)
    seconds = time.perf_counter() - began
    await asyncio.sleep(3)
    after = pss_of(peer)
    began = time.perf_counter()
    fresh: float | None = None
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(peer.outcome(await peer.launch("one", 7)), 60)
        fresh = (time.perf_counter() - began) * 1e3
    return {
        "n": sizes.sleepers,
        "create_s": seconds,
        "per_s": sizes.sleepers / seconds,
        "pss_before": before,
        "pss_after": after,
        "fresh_workflow_ms": fresh,
        "disk_mb": peer.disk_mb(),
    }


WORKLOADS: dict[str, tuple[Workload, float]] = {
    "w1": (latency, 150),
    "w2": (throughput, 150),
    "w3": (chain(200), 60),
    "w3k": (chain(1000), 120),
    "w4": (fan_out, 60),
    "w5": (messages("echo"), 90),
    "w5b": (messages("echo2"), 60),
    "w6": (recovery(spare=False), 60),
    "w6s": (recovery(spare=True), 60),
    "idle": (idle, 100),
    "w8": (sleepers, 240),
}
"""Each workload, with the seconds after which it is given up. `cold` is measured by every repetition."""


async def measured(peer: harness.Peer, work: str, sizes: argparse.Namespace) -> Figures:
    """Run one workload. Adds the CPU seconds by role and how busy others kept the machine."""
    if work in peer.skip:
        return {"skipped": peer.skip[work]}
    run, limit = WORKLOADS[work]
    before = {role: harness.tree_cpu(*pids) for role, pids in peer.pids().items()}
    own_before = sum(os.times()[:2])
    with harness.Foreign() as foreign:
        figures = await asyncio.wait_for(run(peer, sizes), limit)
    if "skipped" in figures:
        return figures
    cpu = {role: harness.tree_cpu(*pids) - before.get(role, 0) for role, pids in peer.pids().items()}
    cpu["client"] = sum(os.times()[:2]) - own_before
    if work in ("w6", "w6s"):
        cpu = {}  # the processes are not the same ones as before
    return {**figures, "cpu_s": cpu, "foreign_cores": foreign.cores, "own_cores": foreign.own_cores}


class Record:
    """Appends one JSON line per figure, to the file and to the terminal."""

    def __init__(self, out: TextIO, label: str, repetition: int) -> None:
        self.out, self.label, self.repetition = out, label, repetition

    def put(self, work: str, figures: Figures) -> None:
        line = {"peer": self.label, "rep": self.repetition, "work": work, **figures}
        line = json.loads(json.dumps(line), parse_float=lambda digits: round(float(digits), 3))
        self.out.write(json.dumps(line) + "\n")
        self.out.flush()
        print(json.dumps({key: value for key, value in line.items() if key != "facts"}), flush=True)


async def cold(peer: harness.Peer, record: Record, busy: float) -> None:
    """From nothing to the first result."""
    began = time.perf_counter()
    peer.boot()
    server_ready = time.perf_counter() - began
    peer.add_worker()
    await peer.connect()
    assert await peer.outcome(await peer.launch("one", 5)) == 5
    first_result = time.perf_counter() - began
    facts = {"python": sys.version.split()[0], **peer.facts}
    record.put(
        "cold", {"server_ready_s": server_ready, "first_result_s": first_result, "busy_before_pct": busy, "facts": facts}
    )


async def repetition(sizes: argparse.Namespace, number: int, out: TextIO) -> None:
    """Boot, run all workloads, stop everything."""
    name, _, variant = sizes.peer.partition(":")
    name, at, revision = name.partition("@")
    runs = harness.home() / "run"
    runs.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix=f"{name}-{variant or 'std'}-", dir=runs))
    place.chmod(0o755)  # PostgreSQL runs as another user
    busy = harness.wait_quiet()
    peer: harness.Peer = importlib.import_module("peer_" + name).Peer(variant)
    peer.place = place
    record = Record(out, f"{peer.label}{at}{revision}", number)
    try:
        await cold(peer, record, busy)
        for work in sizes.only:
            if work == "cold":
                continue
            try:
                record.put(work, await measured(peer, work, sizes))
            except Exception as error:  # noqa: BLE001 - one failed workload is a result; the others still count
                record.put(work, {"error": f"{type(error).__name__}: {error}"[:300]})
                traceback.print_exc()
    except Exception:
        for log in place.glob("*.log"):
            print(f"--- end of {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
        raise
    finally:
        try:
            await asyncio.wait_for(peer.close(), 10)
        except Exception as error:  # noqa: BLE001 - what was started is stopped all the same
            print("close:", error, file=sys.stderr)
        for worker in list(peer.workers):
            harness.stop_tree(worker, limit=4)
        peer.halt()
        if not sizes.keep:
            shutil.rmtree(place, ignore_errors=True)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--rep0", type=int, default=0, help="number of the first repetition")
    parser.add_argument("--only", type=lambda text: text.split(","), default=["cold", *WORKLOADS])
    parser.add_argument("--warm", type=int, default=20)
    parser.add_argument("--n1", type=int, default=200)
    parser.add_argument("--n2", type=int, default=1000)
    parser.add_argument("--sleepers", type=int, default=10000)
    parser.add_argument("--keep", action="store_true", help="keep the data and logs of the run")
    parsed = parser.parse_args()
    unknown = set(parsed.only) - {"cold", *WORKLOADS}
    if unknown:
        parser.error(f"no such workload: {', '.join(sorted(unknown))}")
    return parsed


def main() -> None:
    """Run all repetitions."""

    def leave(*_: object) -> None:
        raise KeyboardInterrupt  # so that `finally` stops what was started

    signal.signal(signal.SIGTERM, leave)
    parsed = arguments()
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    with parsed.out.open("a") as out:
        for number in range(parsed.rep0, parsed.rep0 + parsed.reps):
            asyncio.run(repetition(parsed, number, out))


if __name__ == "__main__":
    main()
