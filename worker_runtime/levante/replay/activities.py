"""The activities of one run: asked for, given up, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, assert_never

from levante.errors import activity_error
from levante.replay.event_loop.loop import DeterministicLoop, end_if_asked
from levante_core.protocol import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityOptions,
    ActivityScheduled,
    Command,
    FailureKind,
)


class Activities:
    """The activities that code of a run waits for. ask: records a command, and returns its seq."""

    def __init__(self, loop: DeterministicLoop, ask: Callable[[Callable[[int], Command]], int]) -> None:
        self._loop = loop
        self._ask = ask
        self._open: dict[int, tuple[str, asyncio.Future[Any]]] = {}

    def start(
        self,
        name: str,
        input: Any,  # noqa: A002 - the word for it
        options: ActivityOptions,
        *,
        waits_for_end: bool,
    ) -> asyncio.Future[Any]:
        """Ask for an activity. Whoever gives up waiting for it asks it to end."""
        seq = self._ask(lambda seq: ActivityScheduled(seq=seq, name=name, input=input, options=options))
        future: asyncio.Future[Any]
        if waits_for_end:
            future = self._loop.create_awaited_future(lambda: self._ask_to_end(seq, is_awaited=True))
        else:
            future = self._loop.create_future()
            future.add_done_callback(lambda done: self._canceled(seq) if done.cancelled() else None)
        self._open[seq] = (name, future)
        return future

    def apply(self, outcome: ActivityCompleted | ActivityFailed) -> None:
        """Let the code know how an activity ended."""
        name, future = self._open.pop(outcome.seq)
        match outcome:
            case ActivityCompleted():
                future.set_result(outcome.result)
            case ActivityFailed(attempt=attempt, failure=failure):
                if failure.kind is not FailureKind.CANCELED or not end_if_asked(future):
                    future.set_exception(activity_error(name, attempt, failure))
            case _:
                assert_never(outcome)

    def _canceled(self, activity: int) -> None:
        if self._open.pop(activity, None):
            self._ask_to_end(activity, is_awaited=False)

    def _ask_to_end(self, activity: int, *, is_awaited: bool) -> None:
        self._ask(lambda seq: ActivityCancelRequested(seq=seq, activity=activity, is_awaited=is_awaited))
