"""Shared pieces of the side-by-side benchmark: the contract of a peer, care of processes, clocks, statistics."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil

HERE = Path(__file__).resolve().parent


def home() -> Path:
    """Where environments, data of the running peers and results live."""
    return Path(os.environ.get("LEVANTE_BENCH_HOME") or HERE.parents[1] / ".bench").resolve()


class Peer:
    """One engine under test. A module `peer_NAME` has a subclass of this name with what differs.

    label: how the row is called in the tables. facts: versions, durability, tuning; kept with the results.
    skip: workload -> reason for leaving it out. no_spare: why there is no second worker in `w6s`, if so.

    Workflow kinds that every peer defines:
      one(x)      1 trivial activity               -> x
      chain(n)    n activities, one after another  -> n
      fan(n)      n activities at once             -> sum(range(n))
      slow(file)  20 activities of 50 ms, each a call of `noted_step` -> 20
      nap(sec)    a durable sleep
    """

    label: str
    no_spare: str | None = None

    def __init__(self, variant: str) -> None:
        self.variant = variant
        self.facts: dict[str, Any] = {}
        self.skip: dict[str, str] = {}
        self.place = Path()
        self.workers: list[subprocess.Popen[bytes]] = []

    def boot(self) -> None:
        """Start the servers that it needs, with their data under `self.place`; return when they answer."""

    def worker_command(self) -> list[str]:
        """Return the command that starts a worker process; an empty one if worker and client are one process."""
        return [sys.executable, str(HERE / f"{type(self).__module__}.py"), "worker"]

    def worker_environment(self) -> Mapping[str, str]:
        """Return what the worker gets on top of our own environment."""
        return {}

    def add_worker(self) -> subprocess.Popen[bytes] | None:
        """Start one more worker process."""
        command = self.worker_command()
        if not command:
            return None
        worker = spawn(command, self.place / "worker.log", self.worker_environment())
        self.workers.append(worker)
        return worker

    async def connect(self) -> None:
        """Open the client side; return when the first worker serves."""

    async def close(self) -> None:
        """Close the client side."""

    async def launch(self, kind: str, arg: Any) -> Any:
        """Start a workflow and return a handle."""
        raise NotImplementedError

    async def outcome(self, handle: Any) -> Any:
        """Wait for the result and return it."""
        raise NotImplementedError

    async def echo_open(self) -> Any:
        """Start a workflow that answers messages."""
        raise NotImplementedError

    async def echo(self, handle: Any, n: int) -> None:
        """Send it n and return when it has seen it."""
        raise NotImplementedError

    async def echo_shut(self, handle: Any) -> None:
        """End it."""

    def pids(self) -> dict[str, list[int]]:
        """Return the processes to be counted, by role; their children are counted too."""
        raise NotImplementedError

    def disk_mb(self) -> float | None:
        """Return what the data takes on disk, if that can be told."""
        return None

    def halt(self) -> None:
        """Stop every server that `boot` started. The workers are stopped by the caller."""


def noted_step(path: str, i: int) -> int:
    """Body of the 50 ms activity of W6: notes `S i pid t`, then `E i pid t`. O_APPEND writes are whole lines."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, f"S {i} {os.getpid()} {time.time():.4f}\n".encode())
        time.sleep(0.05)
        os.write(fd, f"E {i} {os.getpid()} {time.time():.4f}\n".encode())
    finally:
        os.close(fd)
    return i


# --- processes --------------------------------------------------------------------------------------------------------


def spawn(command: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own; what it prints goes to the log."""
    with log.open("ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=HERE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def expect_free(*ports: int) -> None:
    """Make sure that we shall not measure somebody else's server. Raises: RuntimeError."""
    for port in ports:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.3):
            raise RuntimeError(f"something listens on port {port} already; stop it first")


def wait_port(port: int, server: subprocess.Popen[bytes] | None = None, limit: float = 60) -> None:
    """Return when something listens. Raises: RuntimeError if the server ended instead, TimeoutError."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if server is not None and server.poll() is not None:
            raise RuntimeError(f"the server ended with code {server.returncode} before it listened on {port}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.3).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise TimeoutError(f"nothing listens on {port}")


def stop_tree(process: subprocess.Popen[bytes] | None, *, hard: bool = False, limit: float = 10) -> None:
    """Stop a process that we started, and its descendants."""
    if process is None or process.poll() is not None:
        return
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        children = []
    process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def tree(*pids: int) -> list[psutil.Process]:
    """Return these processes and all their descendants, those that still live."""
    seen = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(pid)
            for process in [root, *root.children(recursive=True)]:
                seen[process.pid] = process
    return list(seen.values())


# --- measures ---------------------------------------------------------------------------------------------------------


def memory_mb(*pids: int) -> tuple[float, float]:
    """Return RSS and PSS of these trees in MiB. PSS counts a page shared by n processes 1/n times."""
    rss = pss = 0
    for process in tree(*pids):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_full_info()
            rss += memory.rss
            pss += getattr(memory, "pss", memory.uss)
    return round(rss / 2**20, 1), round(pss / 2**20, 1)


def tree_cpu(*pids: int) -> float:
    """Return the CPU seconds that these trees have used."""
    total = 0.0
    for process in tree(*pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def machine_cpu() -> float:
    """Return the CPU seconds that the whole machine has used."""
    times = psutil.cpu_times()
    return sum(getattr(times, part, 0.0) for part in ("user", "system", "nice", "softirq", "irq", "steal"))


class Foreign:
    """How many cores somebody else used while a workload ran."""

    def __enter__(self) -> Self:
        self.began = time.monotonic()
        self.machine_before, self.own_before = machine_cpu(), tree_cpu(os.getpid())
        return self

    def __exit__(self, *_: object) -> None:
        wall = time.monotonic() - self.began
        own = max(0.0, tree_cpu(os.getpid()) - self.own_before)
        self.own_cores = own / wall
        self.cores = max(0.0, (machine_cpu() - self.machine_before) - own) / wall


def wait_quiet(limit: float = 45) -> float:
    """Wait until the machine is less than 12 % busy, or the limit is over. Returns the last figure in %."""
    end = time.monotonic() + limit
    while True:
        busy = psutil.cpu_percent(1.0)
        if busy < 12 or time.monotonic() > end:
            return busy


def percentile(values: Iterable[float], q: float) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(q / 100 * len(ordered) + 0.5) - 1))]


async def windowed(total: int, width: int, job: Callable[[int], Awaitable[None]]) -> None:
    """Run job(0) to job(total - 1), `width` of them at a time."""
    numbers = iter(range(total))

    async def lane() -> None:
        for i in numbers:
            await job(i)

    await asyncio.gather(*[lane() for _ in range(width)])
