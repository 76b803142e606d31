"""What the host does while a process of its own checks an input."""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from levante_core.errors import InvalidInput
from levante_core.services.messages.input_validation import InputChecks
from levante_local.greenlets import call
from levante_local.host import Host, HostSettings

HARD = {"items": {"allOf": [{"type": "integer"}] * 50}}


@pytest.mark.slow
def test_check_when_it_takes_long_then_the_host_goes_on_meanwhile(tmp_path: Path) -> None:
    """Nobody waits for somebody else's input to be checked."""
    host = Host(HostSettings(data=tmp_path))
    value: list[Any] = [1] * 200_000 + ["x"]

    async def check() -> tuple[str | None, int]:
        checking = asyncio.create_task(call(_refusal, host._engine.executions._inputs, value))
        turns = 0
        while not checking.done():
            turns += 1
            await asyncio.sleep(0.001)
        return await checking, turns

    with closing(host._store):
        kind, turns = asyncio.run(check())
    assert kind == "schema.type"
    assert turns > 5


def _refusal(checks: InputChecks, value: Any) -> str | None:
    try:
        checks.check(HARD, value, name="n", at=())
    except InvalidInput as refused:
        return str(refused.problems[0]["type"])
    return None
