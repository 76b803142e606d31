"""Tasks that nobody waits for, whose errors are logged all the same."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from levante.worker.transport.api import KeyRefused

logger = logging.getLogger("levante.worker")


def spawned(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Begin to do something. An error of it is logged, but for that of a refused key, which ends the worker anyway."""
    task = asyncio.create_task(work)
    task.add_done_callback(_log_error)
    return task


def _log_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() and not isinstance(task.exception(), KeyRefused):
        logger.error("a task could not be dealt with; it comes again", exc_info=task.exception())
