"""What a worker has of a run that is paused while it holds it: attempts in place, which end, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, assert_never
from uuid import uuid4

from levante.worker.activities.attempt import Attempt
from levante.worker.activities.attempt_end import AttemptEnd, Deferred, Failed, Stopped, Succeeded
from levante.worker.context import WorkerContext
from levante.worker.runs.history_size import recorded_bytes
from levante.worker.runs.ledger import STOPPED
from levante.worker.runs.loading import load_whole
from levante.worker.transport.reporting import report_end
from levante_core.protocol import (
    ActivityCompleted,
    ActivityFailed,
    ActivityHandedOver,
    ActivityState,
    Failure,
    HistoryBatch,
    HistoryEvent,
    HistorySize,
    Json,
    RetryAfter,
    RunState,
    after_failure,
    fold,
)
from levante_core.protocol.activities import ActivityReport
from levante_core.protocol.workers import Commit, CommitOutcome, LoadRequest


class PausedRun:
    """Sees attempts in place out, of which no commit can tell any more.

    What has an outcome is reported, as if it had come from the queue, and waits for the run to be resumed. What is to be
    made anew is handed over to the queue by notes, which a paused run takes. An attempt of which not even the beginning was
    recorded leaves a result alone: if it has none, it is made anew as if it had never been.
    """

    def __init__(
        self, context: WorkerContext, state: RunState, attempts: Mapping[int, Attempt], stop: asyncio.Future[None]
    ) -> None:
        """state: what is recorded. attempts: those made in place, by seq. stop: done once they are to end."""
        self._context = context
        self._state = state
        self._attempts = attempts
        self._stop = stop
        self._handed_over: list[ActivityHandedOver] = []

    async def see_out(
        self, running: Mapping[int, asyncio.Task[AttemptEnd]], had: Sequence[HistoryEvent]
    ) -> list[ActivityHandedOver]:
        """Wait for the end of attempts, and report what has an outcome. Returns the notes that are to be recorded.

        had: how others ended, which was to be recorded when the run was paused.
        """
        for event in had:
            match event:
                case ActivityHandedOver(activity=seq):
                    self._hand_over(seq, event.attempt, event.delay_seconds, event.failure)
                case ActivityCompleted(seq=seq, result=result):
                    await self._report(seq, result=await self._encoded(seq, result))
                case ActivityFailed(seq=seq, failure=failure):
                    await self._report(seq, failure=failure)
                case _:
                    pass  # timers fire without this worker
        left = dict(running)
        while left and not self._stop.done():
            watched: list[asyncio.Future[Any]] = [*left.values(), self._stop]
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for seq in [seq for seq, task in left.items() if task.done()]:
                await self._end(seq, left.pop(seq).result())
        for seq, task in left.items():
            task.cancel()
            self._hand_over(seq, self._attempts[seq].number, 0.0, STOPPED)
        return self._handed_over

    async def _end(self, seq: int, end: AttemptEnd) -> None:
        attempt = self._attempts[seq]
        match end:
            case Succeeded(_, sent):
                await self._report(seq, result=sent)
            case Failed(failure):
                decision = after_failure(attempt.work.options.retry, attempt.number, failure)
                if isinstance(decision, RetryAfter) and attempt.demand.is_there:
                    self._hand_over(seq, decision.attempt, decision.delay.total_seconds(), failure)
                else:
                    await self._report(seq, failure=failure)
            case Deferred():
                self._hand_over(seq, attempt.number, 0.0, None)
            case Stopped():
                self._hand_over(seq, attempt.number, 0.0, STOPPED)
            case _:
                assert_never(end)

    def _hand_over(self, seq: int, number: int, delay_seconds: float, failure: Failure | None) -> None:
        activity = self._state.activities.get(seq)
        if activity and activity.state is ActivityState.OWNED:
            self._handed_over.append(
                ActivityHandedOver(
                    activity=seq,
                    scheduled_in=activity.batch_index,
                    attempt=number,
                    delay_seconds=delay_seconds,
                    failure=failure,
                    session=activity.scheduled.options.session,
                )
            )

    async def _report(self, seq: int, result: Json = None, failure: Failure | None = None) -> None:
        attempt = self._attempts[seq]
        if failure and seq not in self._state.activities:
            return
        report = ActivityReport(token=attempt.token, result=result, failure=failure)
        await report_end(self._context.reports, attempt, report)

    async def _encoded(self, seq: int, result: Json) -> Json:
        attempt = self._attempts[seq]
        return await self._context.payloads.encoded(result, attempt.execution_id, f"the result of {attempt.work.name}")


async def record_notes(context: WorkerContext, token: str, notes: Sequence[ActivityHandedOver]) -> bool:
    """Record where attempts in place of a paused run have gone. Tells whether it was paused still. token: of its task."""
    loaded = await load_whole(context.api, LoadRequest(token=token))
    state = fold(loaded.batches, {fact.key: fact.input for fact in loaded.facts})
    if not state.paused or loaded.token is None:
        return False
    batch = HistoryBatch(index=state.last_index + 1, commit_id=uuid4().hex, events=tuple(notes))
    size = HistorySize(events=sum(len(one.events) for one in loaded.batches), bytes=recorded_bytes(loaded, state))
    commit = Commit(token=loaded.token, batch=batch, mail_taken=state.mail_taken, history=size)
    return (await context.commits.submit(commit.model_dump_json().encode())).outcome is CommitOutcome.RECORDED
