"""A host that stops: whoever waits for something is answered, and nothing is broken off with a traceback."""

import asyncio
import json
import logging
from pathlib import Path

import pytest

from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, request, serving


@on_a_loop
async def test_host_when_it_stops_then_polls_streams_and_waits_are_answered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With 503 where nothing was sent yet; a stream ends. What comes later is refused alike."""
    caplog.set_level(logging.INFO)
    async with serving(tmp_path / "data") as served:
        spec = {"name": "w", "task_queue": "d", "input_schema": {}}
        registered = await served.connect()
        body = {"definitions": [spec], "deployment_name": "d", "worker_name": "w"}
        await registered.send(request("POST", "/v1/workflows/register", json.dumps(body).encode(), key=KEY))
        assert (await registered.answer()).status == 200
        waiting = await served.connect()
        poll = {"deployment_name": "d", "worker_id": "w", "queue": "workflow", "limit": 1, "wait_seconds": 20}
        await waiting.send(request("POST", "/v1/workflows/workers/poll", json.dumps(poll).encode(), key=KEY))
        stream = await served.connect()
        await stream.send(request("GET", "/v1/workflows/deployments/d/logs/stream", key=KEY))
        assert b"200" in await stream.reader.readline()
        await asyncio.sleep(0.1)
        await served.host.stop_serving()
        answer = await waiting.answer()
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert b"the host is stopping: try again once it has been started" in answer.content
        await asyncio.wait_for(stream.reader.readuntil(b"0\r\n\r\n"), 10)
        late = await served.connect()
        await late.send(request("GET", "/v1/health", key=KEY))
        assert (await late.answer()).status == 503
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
