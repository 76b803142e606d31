"""Installations with workers as real processes, and a plain HTTP client to look at them with."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_SECONDS = 45.0


def wait_until(condition: Callable[[], T], reason: str, seconds: float = PATIENCE_SECONDS) -> T:
    """Return what the condition returns as soon as that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds:g} s: {reason}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Refused(Exception):
    """An HTTP answer other than 2xx."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body
        super().__init__(f"{status}: {body}")


class Process:
    """A child process whose output goes to a file."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str], cwd: Path | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **environment}, cwd=cwd
            )
        self.pid = self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it at once, as kill -9 does, and wait until it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(timeout=PATIENCE_SECONDS)

    def stop(self) -> int:
        """Ask it to stop. Returns its exit code."""
        self._process.terminate()
        return self._process.wait(timeout=PATIENCE_SECONDS)

    def wait(self) -> int:
        """Wait for its end. Returns its exit code."""
        return self._process.wait(timeout=PATIENCE_SECONDS)

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


class Site:
    """An installation at a URL, and workers of it on this machine, which are killed at the end.

    deployment: of workers and executions, where a test does not name one. recovery_seconds: within which another worker
    takes over from one that was killed. patience_seconds: within which anything happens that is going to. rounds: of short
    steps that last while all else begins.
    """

    recovery_seconds = 15.0
    patience_seconds = PATIENCE_SECONDS
    many = (200, 20)
    rounds = 30

    def __init__(self, directory: Path, url: str, key: str, deployment: str = "d", **environment: str) -> None:
        """Reach an installation. environment: of the workers, beside their settings."""
        self.directory = directory
        self.url = url
        self.key = key
        self.deployment = deployment
        self.workers: list[Process] = []
        self._environment = environment

    def start_worker(self, target: str, cwd: Path, *, deployment: str | None = None, **environment: str) -> Process:
        """Start a worker without waiting for it. target: one, or several with spaces between them."""
        number = len(self.workers) + 1
        worker = Process(
            [sys.executable, "-m", "levante", "worker", *target.split()],
            self.directory / f"worker-{number}.log",
            {
                "LEVANTE_SERVER_URL": self.url,
                "LEVANTE_API_KEY": self.key,
                "DEPLOYMENT_NAME": deployment or self.deployment,
                "WORKER_NAME": f"w{number}",
                **self._environment,
                **environment,
            },
            cwd,
        )
        self.workers.append(worker)
        return worker

    def wait_for_workers(self, count: int, deployment: str | None = None) -> None:
        """Wait until so many workers have registered."""
        name = deployment or self.deployment
        wait_until(lambda: self._workers(name) >= count, f"{count} workers of {name} are registered")

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        seconds: float = 60,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        """Call the API. Raises: Refused; OSError if nothing answers."""
        request = urllib.request.Request(
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {key or self.key}", "Content-Type": "application/json", **headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            with error:
                text = error.read()
            raise Refused(error.code, json.loads(text) if text else None) from None
        return json.loads(content) if content else None

    def start(self, workflow: str, input_: Any, **options: Any) -> str:
        """Start an execution. Returns its id."""
        body = {"input": input_, "deployment_name": self.deployment, **options}
        return str(self.call("POST", f"/v1/workflows/{workflow}/execute", body)["execution_id"])

    def status(self, execution_id: str) -> str:
        """Return the status of an execution."""
        return str(self.call("GET", f"/v1/workflows/executions/{execution_id}")["status"])

    def history(self, execution_id: str) -> dict[str, Any]:
        """Return the history of an execution."""
        found: dict[str, Any] = self.call("GET", f"/v1/workflows/executions/{execution_id}/history")
        return found

    def wait_for_result(self, execution_id: str, seconds: float | None = None) -> Any:
        """Wait until the execution is closed. Returns its result; fails unless it completed."""
        patience = self.patience_seconds if seconds is None else seconds
        wait_until(lambda: self.status(execution_id) != "RUNNING", f"{execution_id} is closed", patience)
        execution = self.call("GET", f"/v1/workflows/executions/{execution_id}")
        assert execution["status"] == "COMPLETED", execution
        return execution["result"]

    def close(self) -> None:
        """Kill the workers."""
        for worker in self.workers:
            _end(worker)

    def _workers(self, deployment: str) -> int:
        try:
            found = self.call("GET", f"/v1/workflows/deployments/{deployment}")
        except Refused:
            return 0
        return int(found["active_worker_count"])


class LocalSite(Site):
    """One host on this machine with its data directory. It is killed at the end, too."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        super().__init__(directory, f"http://127.0.0.1:{self.port}", f"lev_{secrets.token_urlsafe(24)}")
        self.host: Process | None = None

    def start_host(self) -> Process:
        """Start the host, again on the same data if there is any, and wait until it answers."""
        self.host = Process(
            [sys.executable, "-m", "levante", "dev", "--data", str(self.directory / "data"), "--port", str(self.port)],
            self.directory / "host.log",
            {"LEVANTE_API_KEY": self.key},
        )
        wait_until(self._is_up, "the host answers")
        return self.host

    def close(self) -> None:
        """Kill everything."""
        super().close()
        if self.host:
            _end(self.host)

    def _is_up(self) -> bool:
        if self.host and not self.host.is_running():
            raise AssertionError(f"the host ended: {self.host.log.read_text()[-2000:]}")
        try:
            return bool(self.call("GET", "/v1/health"))
        except OSError:
            return False


def _end(process: Process) -> None:
    """Kill a process, even one that is stopped."""
    if process.is_running():
        process.signal(signal.SIGCONT)
    process.kill()
