"""The presence of workers on one machine: who may say that one is gone."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from levante_local.host import Host, HostSettings
from tests.integration.api.harness import on_a_loop

ADMIN = "the-first-key-of-this-host"
POLL = {"deployment_name": "prod", "worker_id": "w-1", "queue": "workflow"}


class Served:
    """A host with a task in a queue, called as uvicorn does."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def call(self, method: str, path: str, body: Any = None, key: str = ADMIN) -> tuple[int, Any]:
        """Call, and stay until there is an answer. Returns status and body."""
        messages: list[Mapping[str, Any]] = [
            {"type": "http.request", "body": b"" if body is None else json.dumps(body).encode()}
        ]
        status, text = await self._send(method, f"/v1/{path}", key, messages)
        return status, json.loads(text or b"null")

    async def leave(self, worker_id: str, key: str) -> int:
        """Hold the presence of a worker, and let it end at once. Returns the status."""
        messages: list[Mapping[str, Any]] = [{"type": "http.request", "body": b""}, {"type": "http.disconnect"}]
        return (await self._send("GET", f"/v1/workflows/workers/{worker_id}/presence", key, messages))[0]

    async def key(self, *deployments: str) -> str:
        """Make a worker's key."""
        status, made = await self.call("POST", "keys", {"name": "x", "role": "worker", "deployments": deployments})
        assert status == 200, made
        return str(made["secret"])

    async def poll(self, key: str, wait_seconds: float = 0) -> set[int]:
        """Take what is there. Returns how often tasks were delivered: the host's own look at its start may send one more."""
        status, answer = await self.call("POST", "workflows/workers/poll", {**POLL, "wait_seconds": wait_seconds}, key)
        assert status == 200, answer
        return {task["receive_count"] for task in answer["tasks"]}

    async def _send(self, method: str, path: str, key: str, messages: list[Mapping[str, Any]]) -> tuple[int, bytes]:
        parts: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(part: Any) -> None:
            parts.append(part)

        headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
        scope = {"type": "http", "method": method, "path": path, "http_version": "1.1", "query_string": b""}
        await self._host({**scope, "headers": headers}, receive, send)
        return parts[0]["status"], b"".join(part.get("body", b"") for part in parts[1:])


@asynccontextmanager
async def served(data: Path) -> AsyncIterator[Served]:
    """Serve a host on which an execution waits for a worker."""
    host = Host(HostSettings(data, first_key=SecretStr(ADMIN), synchronous="NORMAL"))
    host.local_key()
    async with host.running():
        here = Served(host)
        definitions = [{"name": "greet", "task_queue": "prod", "input_schema": {}}]
        register = {"definitions": definitions, "deployment_name": "prod", "worker_name": "w"}
        assert (await here.call("POST", "workflows/register", register))[0] == 200
        assert (await here.call("POST", "workflows/greet/execute", {"execution_id": "e"}))[0] == 200
        yield here


@on_a_loop
async def test_presence_when_another_key_says_that_a_worker_is_gone_then_its_leases_stay(tmp_path: Path) -> None:
    """A worker's id is a name that others may learn; leases end by the key that polled for them."""
    async with served(tmp_path) as here:
        mine, other = await here.key(), await here.key()
        assert await here.poll(mine, wait_seconds=20) == {1}
        assert await here.leave("w-1", other) == 200
        assert await here.leave("w-1", ADMIN) == 200
        assert await here.poll(other) == set()
        assert await here.leave("w-1", mine) == 200
        assert await here.poll(other) == {2}


@pytest.mark.parametrize("worker_id", ["w-1", "../w-1", "%2e%2e/w-1"])
@on_a_loop
async def test_presence_when_a_key_is_bound_to_another_deployment_then_it_ends_no_leases(
    tmp_path: Path, worker_id: str
) -> None:
    """A bound key holds the presence of its own workers, whatever it calls them."""
    async with served(tmp_path) as here:
        mine, bound = await here.key("prod"), await here.key("other")
        assert await here.poll(mine, wait_seconds=20) == {1}
        assert await here.leave(worker_id, bound) == 200
        assert await here.poll(mine) == set()


@on_a_loop
async def test_presence_when_the_key_is_no_workers_then_it_is_refused(tmp_path: Path) -> None:
    """Viewers and clients have no tasks to hold."""
    async with served(tmp_path) as here:
        for role in ("viewer", "client"):
            _, made = await here.call("POST", "keys", {"name": "x", "role": role})
            assert await here.leave("w-1", made["secret"]) == 403
