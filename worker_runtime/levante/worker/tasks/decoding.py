"""Reading tasks as they were delivered, each by itself: one that cannot be read keeps no other one waiting."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from levante_core.protocol.workers import DeliveredTask

MessageT = TypeVar("MessageT")

logger = logging.getLogger("levante.worker")

_TASK = TypeAdapter(DeliveredTask)


def readable_tasks(answer: bytes) -> tuple[DeliveredTask, ...]:
    """Return the tasks in the answer to a poll that can be read. Raises: ValueError if it is no such answer at all."""
    try:
        tasks = [(one, one.get("receive_count") if isinstance(one, dict) else None) for one in from_json(answer)["tasks"]]
    except (KeyError, TypeError):
        raise ValueError("the answer to a poll has no tasks") from None
    return tuple(readable(tasks, _TASK.validate_python))


def readable(messages: Iterable[tuple[MessageT, Any]], read: Callable[[MessageT], DeliveredTask]) -> list[DeliveredTask]:
    """Return the tasks that can be read. messages: each with how often it was delivered.

    Anything else is left alone: its lease ends by itself, and a worker of a later version may know it. It is logged when it
    is delivered for the first time.
    """
    tasks = []
    for message, receive_count in messages:
        try:
            tasks.append(read(message))
        except Exception as error:  # noqa: BLE001 - whatever a message is like
            is_first = receive_count is None or receive_count == 1
            level = logging.ERROR if is_first else logging.DEBUG
            logger.log(level, "a task cannot be read and is left to other workers: %s", _brief(error))
    return tasks


def _brief(error: Exception) -> str:
    """Say what is wrong without quoting the message, which may hold payloads."""
    if not isinstance(error, ValidationError):
        return type(error).__name__
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in problems[:3])
