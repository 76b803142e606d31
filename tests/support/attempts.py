"""Code that runs as an activity of no worker."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from levante.context import ActivityContext, ActivityInfo, Publish, current_activity
from levante.definition.definitions import ActivityDefinition

T = TypeVar("T")
NOTHING_SERVED: Mapping[str, ActivityDefinition] = {}


def run_as_activity(
    code: Callable[[], Coroutine[Any, Any, T]],
    publish: Publish = lambda _event: None,
    new_task_id: Callable[[], str] = lambda: "made-up",
    served: Mapping[str, ActivityDefinition] = NOTHING_SERVED,
) -> T:
    """Run code as the first attempt of an activity, and return its result. served: the activities beside it."""

    async def attempt() -> T:
        info = ActivityInfo("e", "r", "r:1", "a", 1, timedelta(minutes=5), None, "token")
        current_activity.set(ActivityContext(info, (), lambda _details: None, publish, new_task_id, lambda: "local", served))
        return await code()

    return asyncio.run(attempt())
