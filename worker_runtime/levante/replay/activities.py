"""The activities of one run: asked for, given up, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, assert_never

from levante.errors import activity_error
from levante_core.protocol import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityOptions,
    ActivityScheduled,
    Command,
)


class Activities:
    """The activities that code of a run waits for. ask: records a command, and returns its seq."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ask: Callable[[Callable[[int], Command]], int]) -> None:
        self._loop = loop
        self._ask = ask
        self._open: dict[int, tuple[str, asyncio.Future[Any]]] = {}

    def start(self, name: str, input: Any, options: ActivityOptions) -> asyncio.Future[Any]:  # noqa: A002 - the word for it
        """Ask for an activity. Whoever gives up waiting for it asks for no longer."""
        seq = self._ask(lambda seq: ActivityScheduled(seq=seq, name=name, input=input, options=options))
        future = self._loop.create_future()
        self._open[seq] = (name, future)
        future.add_done_callback(lambda done: self._canceled(seq) if done.cancelled() else None)
        return future

    def apply(self, outcome: ActivityCompleted | ActivityFailed) -> None:
        """Tell the code how an activity ended."""
        name, future = self._open.pop(outcome.seq)
        match outcome:
            case ActivityCompleted():
                future.set_result(outcome.result)
            case ActivityFailed():
                future.set_exception(activity_error(name, outcome.attempt, outcome.failure))
            case _:
                assert_never(outcome)

    def _canceled(self, activity: int) -> None:
        if self._open.pop(activity, None):
            self._ask(lambda seq: ActivityCancelRequested(seq=seq, activity=activity))
