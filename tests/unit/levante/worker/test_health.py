"""GET /health of a worker."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import pytest

from levante.errors import WorkflowsException
from levante.worker.health import health_server


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def test_health_when_a_port_is_given_then_it_is_answered_until_the_worker_ends() -> None:
    """SDK contract §9: HTTP 200; nothing listens afterwards."""
    port = free_port()

    async def scenario() -> None:
        async with aiohttp.ClientSession() as session:
            async with (
                health_server("127.0.0.1", port, "w1"),
                session.get(f"http://127.0.0.1:{port}/health") as answer,
            ):
                assert (answer.status, await answer.json()) == (200, {"status": "ok", "worker_name": "w1"})
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{port}/health")

    run(scenario)


def test_health_when_no_port_is_given_then_nothing_listens() -> None:
    """The default."""

    async def scenario() -> None:
        async with health_server("127.0.0.1", None, "w1"):
            pass

    run(scenario)


def test_health_when_the_port_is_taken_then_the_worker_says_so_and_ends() -> None:
    """A worker that nobody can watch over is not what was asked for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])

        async def scenario() -> None:
            with pytest.raises(WorkflowsException, match=f"HEALTH_SERVER_PORT: nothing can listen on 127.0.0.1:{port}"):
                async with health_server("127.0.0.1", port, "w1"):
                    pytest.fail("it listens")

        run(scenario)
