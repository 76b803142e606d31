"""Histories on the one-machine host: whole ones are sent in parts, pages are answered by the API."""

import json
from pathlib import Path
from typing import Any

import pytest

from levante_core.protocol.streams import HISTORY, PAGE_PARAMETERS, is_whole_history
from tests.integration.api.harness import on_a_loop
from tests.integration.local.serving import KEY, request, serving

PATH = HISTORY.replace("<execution_id>", "e1")


@on_a_loop
async def test_history_when_a_page_is_asked_of_the_host_then_it_is_a_page(tmp_path: Path) -> None:
    """Whoever follows a long history does not get the whole of it each time."""
    async with serving(tmp_path / "data") as served:

        async def call(method: str, path: str, body: Any = None) -> Any:
            connection = await served.connect()
            content = b"" if body is None else json.dumps(body).encode()
            await connection.send(request(method, path, content, key=KEY))
            answer = await connection.answer()
            assert answer.status == 200, answer
            return json.loads(answer.content)

        spec = {"name": "w", "task_queue": "d", "input_schema": {}}
        await call("POST", "/v1/workflows/register", {"definitions": [spec], "deployment_name": "d", "worker_name": "w"})
        await call("POST", "/v1/workflows/w/execute", {"execution_id": "e1"})
        page = await call("GET", f"{PATH}?after=0&limit=5&order=asc")
        assert ([event["kind"] for event in page["events"]], page["next_after"]) == (["execution_started"], None)
        assert (await call("GET", f"{PATH}?after=1"))["events"] == []


@pytest.mark.parametrize("parameter", sorted(PAGE_PARAMETERS))
def test_history_when_a_parameter_asks_for_a_page_then_it_is_not_the_whole(parameter: str) -> None:
    """The host and the API agree which are which."""
    assert not is_whole_history(PATH, f"{parameter}=1")
    assert is_whole_history(PATH, "decode_payloads=false&ticket=t")
    assert not is_whole_history("/v1/workflows/executions/e1", "")
