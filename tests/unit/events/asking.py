"""Requests to the events program, and how it is asked."""

import asyncio
import functools
import json
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from tests.unit.events.reader import Reader

P = ParamSpec("P")

HISTORY = "/v1/workflows/executions/e/history"
STARTED, COMPLETED, ACTIVITY = "WORKFLOW_EXECUTION_STARTED", "WORKFLOW_EXECUTION_COMPLETED", "ACTIVITY_TASK_STARTED"


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test on an event loop of its own."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


async def refusal(reader: Reader) -> tuple[int, str]:
    """Return status and code of an answer that refuses."""
    await reader.end()
    assert reader.is_complete
    assert reader.headers["content-type"] == "application/json"
    return reader.status, json.loads(reader.body)["code"]
