"""Tasks that fail together. Source of the rule: SDK contract §2 (read 2026-11-23)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from levante.errors import ActivityError, to_failure


@asynccontextmanager
async def failing_together() -> AsyncIterator[asyncio.TaskGroup]:
    """Run tasks, the first failure of which cancels the others.

    Raises: one error of a task: the first that is not to be retried, else the first. Ending waits for all tasks.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failed:
        error = _decisive(failed.exceptions)
        raise error from error.__cause__


def _decisive(errors: Sequence[BaseException]) -> BaseException:
    return next((error for error in errors if _is_final(error)), errors[0])


def _is_final(error: BaseException) -> bool:
    raised = error.cause if isinstance(error, ActivityError) and error.cause else error
    return to_failure(raised).non_retryable
