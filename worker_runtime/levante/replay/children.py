"""The children of one run: asked for, started, ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import assert_never

from levante.context import ChildWorkflow
from levante.errors import child_error
from levante.replay.event_loop.loop import DeterministicLoop, end_if_asked
from levante_core.protocol import (
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildOutcome,
    ChildScheduled,
    ChildSignaled,
    ChildStarted,
    Command,
    ExecutionId,
    ExecutionStatus,
    Json,
)


@dataclass(slots=True)
class StartedChild:
    """What workflow code can wait for: `started` brings the run id of the first run, `ended` the JSON result."""

    scheduled: ChildScheduled
    started: asyncio.Future[str]
    ended: asyncio.Future[Json]
    _ask: Callable[[Callable[[int], Command]], int]
    _refuse_large: Callable[[str, Json], None]

    def signal(self, name: str, value: Json) -> None:
        """Send a signal. Raises: WorkflowError for a value that is too large."""
        scheduled = self.scheduled
        self._refuse_large(f"the value of signal {name!r} to a child", value)

        def signaled(seq: int) -> Command:
            execution_id = scheduled.execution_id
            return ChildSignaled(seq=seq, child=scheduled.seq, execution_id=execution_id, name=name, input=value)

        self._ask(signaled)


class Children:
    """Keeps the children of a run that have not ended. ask: records a command.

    refuse_large: raises WorkflowError for a payload that is too large.
    """

    def __init__(
        self,
        loop: DeterministicLoop,
        ask: Callable[[Callable[[int], Command]], int],
        refuse_large: Callable[[str, Json], None],
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._refuse_large = refuse_large
        self._open: dict[int, StartedChild] = {}

    def start(self, asked: ChildWorkflow, chosen: ExecutionId) -> StartedChild:
        """Ask for a child with this execution id. Whoever gives up waiting for its end asks it to end."""
        made: list[ChildScheduled] = []

        def scheduled(seq: int) -> ChildScheduled:
            made.append(
                ChildScheduled(
                    seq=seq,
                    workflow_name=asked.workflow_name,
                    execution_id=chosen,
                    input=asked.input,
                    close_policy=asked.close_policy,
                    is_awaited=asked.is_awaited,
                    timeout_seconds=asked.timeout_seconds,
                )
            )
            return made[0]

        seq = self._ask(scheduled)
        ended: asyncio.Future[Json]
        if asked.waits_for_end:
            ended = self._loop.create_awaited_future(lambda: self._ask_to_end(made[0], is_awaited=True))
        else:
            ended = self._loop.create_future()
            ended.add_done_callback(lambda done: self._canceled(seq) if done.cancelled() else None)
        self._open[seq] = StartedChild(made[0], self._loop.create_future(), ended, self._ask, self._refuse_large)
        return self._open[seq]

    def apply(self, outcome: ChildOutcome) -> None:
        """Tell the code how far a child has come."""
        match outcome:
            case ChildStarted():
                child = self._open[outcome.seq]
                if not child.started.done():
                    child.started.set_result(outcome.run_id)
            case ChildCompleted():
                _settle(self._open.pop(outcome.seq), outcome.result)
            case ChildFailed():
                child = self._open.pop(outcome.seq)
                if outcome.status is ExecutionStatus.CANCELED:
                    end_if_asked(child.ended)
                _settle(child, child_error(child.scheduled.workflow_name, child.scheduled.execution_id, outcome))
            case _:
                assert_never(outcome)

    def _canceled(self, seq: int) -> None:
        child = self._open.pop(seq, None)
        if child:
            self._ask_to_end(child.scheduled, is_awaited=False)

    def _ask_to_end(self, child: ChildScheduled, *, is_awaited: bool) -> None:
        self._ask(
            lambda seq: ChildCancelRequested(
                seq=seq, child=child.seq, execution_id=child.execution_id, is_awaited=is_awaited
            )
        )


def _settle(child: StartedChild, end: Json | Exception) -> None:
    """Resolve what is waited for. Nobody has to look at the failure of a child that was not waited for."""
    for future in (child.started, child.ended):
        if future.done():
            continue
        if isinstance(end, Exception):
            future.set_exception(end)
            future.exception()
        elif future is child.ended:
            future.set_result(end)
        else:
            future.set_result(str(child.scheduled.execution_id))
