"""What the examples share: a host on a free port with a temporary directory, a worker, and the official client.

    with example(__file__) as site:
        drive(site.client)

On leaving the block, all of it is stopped and removed.
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

import httpx2
from mistralai.client import Mistral
from mistralai.client.errors import SDKError

DEPLOYMENT = "examples"
LEVANTE = [sys.executable, "-m", "levante"]
PATIENCE_SECONDS = 30.0
DRAIN_SECONDS = 20.0
"""A process that was asked to end gets more time than it gives its own work, which is 10 s."""


class Site:
    """A running host, the worker of one example, and a client of both."""

    def __init__(self, url: str, key: str, module: Path) -> None:
        self.client = Mistral(api_key=key, server_url=url)
        self._url = url
        self._key = key
        self._module = module
        self._worker: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> None:
        """Start a worker that serves the example, without waiting for it. What its activities print is seen here."""
        environment = {
            **os.environ,
            "LEVANTE_SERVER_URL": self._url,
            "LEVANTE_API_KEY": self._key,
            "DEPLOYMENT_NAME": DEPLOYMENT,
            "LOG_LEVEL": "error",
        }
        command = [*LEVANTE, "worker", self._module.stem]
        self._worker = subprocess.Popen(command, env=environment, cwd=self._module.parent)  # noqa: S603 - our own command

    def replace_worker(self) -> None:
        """Kill the worker so that it cannot say goodbye, and start another one."""
        if self._worker:
            self._worker.kill()
            self._worker.wait()
        self.start_worker()

    def stop_worker(self) -> None:
        """Ask the worker to end, and wait until it has."""
        if self._worker:
            stop(self._worker)

    def wait_for_worker(self) -> None:
        """Wait until what the worker serves can be started. Raises: TimeoutError; RuntimeError when the worker ended."""
        wait_until(self._has_worker, "a worker")

    def _has_worker(self) -> bool:
        if self._worker and self._worker.poll() is not None:
            raise RuntimeError("the worker has ended; what it said is above")
        return bool(self.client.workflows.deployments.list_deployment_workers(name=DEPLOYMENT).workers)


@contextmanager
def example(file: str) -> Iterator[Site]:
    """Run a host and a worker that serves the workflows of a file, for the length of the block. Raises: TimeoutError."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # the worker prints, too, and lines are to come in their order
    key = f"lev_{secrets.token_urlsafe(24)}"
    with host(key) as url:
        site = Site(url, key, Path(file).resolve())
        site.start_worker()
        try:
            site.wait_for_worker()
            yield site
        finally:
            site.stop_worker()


@contextmanager
def host(key: str) -> Iterator[str]:
    """Start a host in a temporary directory, whose first API key is this one. Yields its URL."""
    with tempfile.TemporaryDirectory(prefix="levante-example-") as data:
        port = free_port()
        command = [*LEVANTE, "dev", "--data", data, "--port", str(port)]
        environment = {**os.environ, "LEVANTE_API_KEY": key}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and wait until it has. Raises: subprocess.TimeoutExpired."""
    process.terminate()
    process.wait(timeout=DRAIN_SECONDS)


def free_port() -> int:
    """Return a port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], there: str) -> None:
    """Wait until a condition holds; one that the API refuses, or does not answer, does not hold. Raises: TimeoutError."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    problem: object = "the API lists none"
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (SDKError, httpx2.TransportError) as error:
            problem = error
        time.sleep(0.05)
    raise TimeoutError(f"{there} is not there after {PATIENCE_SECONDS:g} s: {problem}")
