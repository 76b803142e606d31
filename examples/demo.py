"""The whole path on one machine: a host, a worker, and an execution driven by the official `mistralai` client."""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mistralai.client import Mistral

EXAMPLES = Path(__file__).parent
PATIENCE_SECONDS = 60


def main() -> None:
    """Run the demo; raises if anything does not happen in time."""
    with tempfile.TemporaryDirectory(prefix="levante-demo-") as data, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        url = f"http://127.0.0.1:{port}"
        environment = {
            **os.environ,
            "LEVANTE_SERVER_URL": url,
            "LEVANTE_API_KEY": f"lev_{secrets.token_urlsafe(24)}",
            "DEPLOYMENT_NAME": "demo",
        }
        levante = [sys.executable, "-m", "levante"]
        print(f"1. starting the host on {url}")
        with process([*levante, "dev", "--data", data, "--port", str(port)], environment):
            print("2. starting a worker that serves examples/orders.py")
            with process([*levante, "worker", "orders"], environment, cwd=EXAMPLES):
                client = Mistral(api_key=environment["LEVANTE_API_KEY"], server_url=url)
                show_execution(client)


def show_execution(client: Mistral) -> None:
    """Start an execution, print its events as they happen, and its result."""
    until(lambda: client.workflows.get_workflow(workflow_identifier="order"))
    print("3. starting an execution through the official mistralai client")
    execution = client.workflows.execute_workflow(workflow_identifier="order", input={"item": "kite", "quantity": 2})
    print(f"   execution {execution.execution_id}\n4. its events, as they happen:")
    status, result = follow(client, execution.execution_id)
    print(f"5. {status}, result: {result}")
    if status != "COMPLETED":
        raise SystemExit(1)


def follow(client: Mistral, execution_id: str) -> tuple[str, Any]:
    """Print the events of an execution as they happen. Returns the status that it ends with, and its result."""
    began = time.monotonic()
    with client.workflows.executions.stream(execution_id=execution_id) as frames:
        for frame in frames:
            if frame.data:
                event: Any = frame.data.data
                name = getattr(event.attributes, "activity_name", "")
                print(f"   {time.monotonic() - began:6.2f} s  {event.event_type.lower()} {name}".rstrip())
    ended = client.workflows.executions.get_workflow_execution(execution_id=execution_id)
    return str(ended.status), ended.result


def until(attempt: Callable[[], object]) -> None:
    """Try until host and worker are there."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            attempt()
        except Exception as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"host or worker did not start: {error}") from error
            time.sleep(0.1)
        else:
            return


@contextmanager
def process(command: list[str], environment: dict[str, str], cwd: Path | None = None) -> Iterator[None]:
    """Run a process beside the block, and stop it afterwards."""
    running = subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL)  # noqa: S603 - our own command
    try:
        yield
    finally:
        running.terminate()
        running.wait(timeout=20)


if __name__ == "__main__":
    main()
