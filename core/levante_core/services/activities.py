"""Activities of the queue: is this attempt wanted, and what follows from how it ended."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levante_core.domain.events import ActivityCompleted, ActivityFailed, ActivityScheduled
from levante_core.domain.execution import RunKey
from levante_core.domain.failure import Failure, FailureKind
from levante_core.domain.names import Workspace, unstuck
from levante_core.domain.plan import AttemptEnded, CancelActivity, FactRecorded, Record
from levante_core.domain.retry import FailedAttempt, RetryAfter, after_failure
from levante_core.domain.tasks import ActivityTask, ActivityWork
from levante_core.errors import NotFound
from levante_core.ports.item_store import Absent, AbsentOrMatches, ConditionFailed, ItemStore, Put
from levante_core.ports.surroundings import Clock
from levante_core.protocol.activities import ActivityHeartbeatRequest, ActivityReport, ActivityReportResult, DeferRequest
from levante_core.records import keys
from levante_core.records.attempts import (
    Deferral,
    attempt_item,
    attempt_number,
    deferral_item,
    deferral_of,
    details_of,
    failed_attempts,
    heartbeat_item,
)
from levante_core.records.runs import Recorded, batch_of, fact_item, is_open_run, outcome_fact
from levante_core.services.dispatch import Dispatch

WORKER_LOST = Failure(
    kind=FailureKind.WORKER_LOST,
    type="WorkerLost",
    message="the worker that ran this attempt stopped reporting before it ended",
)
CANCELED = Failure(
    kind=FailureKind.CANCELED, type="ActivityCanceled", message="the workflow no longer waits for this activity"
)


SESSION_LOST = Failure(
    kind=FailureKind.WORKER_LOST,
    type="StickyWorkerSessionLost",
    message="the worker of the sticky session is gone: begin another session",
    non_retryable=True,
)
OVERDUE = Failure(
    kind=FailureKind.TIMEOUT,
    type="StartToCloseTimeout",
    message="the attempt went on elsewhere, and nobody completed it in time",
)
SILENT = Failure(
    kind=FailureKind.TIMEOUT,
    type="HeartbeatTimeout",
    message="the attempt went on elsewhere, and nobody sent a heartbeat for it in time",
)
EARLY = timedelta(seconds=1)
"""Messages may come so much before they are due, by clocks that differ."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a report leads to."""

    write: Put
    record: Record


class ActivityService:
    """Takes in what workers say of activity tasks."""

    def __init__(self, store: ItemStore, clock: Clock, dispatch: Dispatch) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch

    def check(self, workspace: Workspace, task: ActivityTask, receive_count: int) -> ActivityTask | None:
        """Return the task as it is to be run, or None if its message is to be dropped.

        A task that was delivered before ended in a lost worker; that is recorded like any other failure, and the attempt
        that follows, if one does, has a message of its own. So is the end of the time of an attempt that goes on elsewhere.
        """
        run = RunKey(workspace, task.execution_id, task.run_id)
        if not self._is_wanted(run, task.seq, task.attempt):
            return None
        current = self._store.get(keys.attempt(run, task.seq))
        if current and (deferral := deferral_of(current)):
            self._end_overdue(workspace, task, deferral)
            return None
        if receive_count > 1:
            self.report(workspace, [_failed(task, WORKER_LOST)])
            return None
        work = task.work or self._scheduled(run, task.scheduled_in, task.seq)
        heartbeat = self._store.get(keys.heartbeat(run, task.seq)) if task.attempt > 1 else None
        details = details_of(heartbeat) if heartbeat else ()
        return task.model_copy(update={"work": work, "verify": False, "details": details})

    def heartbeat(self, workspace: Workspace, beat: ActivityHeartbeatRequest) -> bool:
        """Keep what an attempt says of itself for the one after it. Tells whether it is wanted still.

        Cost: four reads and a write; one more write where the attempt goes on elsewhere, and has a heartbeat timeout.
        """
        run = RunKey(workspace, beat.execution_id, beat.run_id)
        if not self._is_wanted(run, beat.seq, beat.attempt):
            return False
        self._store.write(Put(heartbeat_item(run, beat.seq, beat.details)))
        current = self._store.get(keys.attempt(run, beat.seq))
        deferral = current and deferral_of(current)
        if current and deferral and deferral.heartbeat_seconds:
            self._defer(deferral, failed_attempts(current))
        return True

    def defer(self, workspace: Workspace, request: DeferRequest) -> bool:
        """Let an attempt go on elsewhere until somebody ends it with its token, or its time is up.

        Tells whether it is wanted still. Cost: four reads and a write.
        """
        attempt, now = request.attempt, self._clock.now()
        run = RunKey(workspace, attempt.execution_id, attempt.run_id)
        if not self._is_wanted(run, attempt.seq, attempt.attempt):
            return False
        deadline_at = now + timedelta(seconds=request.timeout_seconds)
        ended = AttemptEnded(
            run=run,
            deployment_name=attempt.deployment_name,
            recorded_at=now,
            due_at=deadline_at,
            seq=attempt.seq,
            scheduled_in=attempt.scheduled_in,
            attempt=attempt.attempt,
            is_deferred=True,
        )
        before = self._store.get(keys.attempt(run, attempt.seq))
        failed = failed_attempts(before) if before else ()
        return self._defer(Deferral(ended, deadline_at, request.heartbeat_seconds), failed)

    def cancel(self, effect: CancelActivity) -> None:
        """Let no attempt of an activity be wanted any more. Raises: Unavailable. Cost: a write."""
        recorded = Recorded(effect.run, effect.deployment_name, self._clock.now())
        fact = outcome_fact(ActivityFailed(seq=effect.seq, at=recorded.at, failure=CANCELED))
        with suppress(ConditionFailed):
            self._store.write(Put(fact_item(recorded, fact, is_void=True), Absent()))

    def report(self, workspace: Workspace, reports: Sequence[ActivityReport]) -> list[ActivityReportResult]:
        """Record how attempts ended: an outcome, once, or the next attempt. A repeat is answered as stale.

        Cost: a read and a write per report; four more reads for a failure.
        """
        now = self._clock.now()
        runs = (RunKey(workspace, report.execution_id, report.run_id) for report in reports)
        answers = [self._answer(run, report, now) for run, report in zip(runs, reports, strict=True)]
        refusals = iter(self._store.write_each([[answer.write] for answer in answers if answer]))
        accepted = [answer if answer and next(refusals) is None else None for answer in answers]
        self._dispatch.promptly(answer.record for answer in accepted if answer)
        return [ActivityReportResult(stale=answer is None) for answer in accepted]

    def lose_session(self, task: ActivityTask) -> None:
        """Record that an activity has failed, because the worker that it was to run in is gone.

        Cost: three reads and a write.
        """
        run = RunKey(task.workspace, task.execution_id, task.run_id)
        if not self._is_wanted(run, task.seq, task.attempt):
            return
        now = self._clock.now()
        failed = ActivityFailed(seq=task.seq, at=now, failure=SESSION_LOST, attempt=task.attempt)
        answer = _outcome(Recorded(run, unstuck(task.deployment_name), now), failed)
        with suppress(ConditionFailed):
            self._store.write(answer.write)
            self._dispatch.promptly([answer.record])

    def end(self, workspace: Workspace, report: ActivityReport) -> bool:
        """Record how an attempt ended that went on elsewhere. Tells whether somebody waited for it still.

        Raises: NotFound where its run has not scheduled it. Cost: that of `report`, and three reads.
        """
        if not self._is_wanted(RunKey(workspace, report.execution_id, report.run_id), report.seq, report.attempt):
            return False
        (result,) = self.report(workspace, [report])
        return not result.stale

    def _answer(self, run: RunKey, report: ActivityReport, now: datetime) -> _Answer | None:
        attempt = self._store.get(keys.attempt(run, report.seq))
        if attempt and attempt_number(attempt) != report.attempt:
            return None
        recorded = Recorded(run, report.deployment_name, now)
        if report.failure is None:
            return _outcome(recorded, ActivityCompleted(seq=report.seq, at=now, result=report.result))
        if not self._is_wanted(run, report.seq, report.attempt):
            return None
        policy = self._scheduled(run, report.scheduled_in, report.seq).options.retry
        decision = after_failure(policy, report.attempt, report.failure)
        if not isinstance(decision, RetryAfter):
            final = ActivityFailed(seq=report.seq, at=now, failure=report.failure, attempt=report.attempt)
            return _outcome(recorded, final)
        ended = AttemptEnded(
            run=run,
            deployment_name=report.deployment_name,
            recorded_at=now,
            due_at=now + decision.delay,
            seq=report.seq,
            scheduled_in=report.scheduled_in,
            attempt=decision.attempt,
        )
        still_current = AbsentOrMatches({"attempt": report.attempt})
        failed = FailedAttempt(seq=report.seq, attempt=report.attempt, at=now, failure=report.failure)
        before = failed_attempts(attempt) if attempt else ()
        return _Answer(Put(attempt_item(recorded, ended, (*before, failed)), still_current), ended)

    def _defer(self, deferral: Deferral, failed: Sequence[FailedAttempt]) -> bool:
        """Let somebody look after the attempt when its time is up. Tells whether it is the current one still."""
        now, due_at = self._clock.now(), deferral.deadline_at
        if deferral.heartbeat_seconds:
            due_at = min(due_at, now + timedelta(seconds=deferral.heartbeat_seconds))
        ended = replace(deferral.ended, recorded_at=now, due_at=due_at)
        item = deferral_item(Recorded(ended.run, ended.deployment_name, now), replace(deferral, ended=ended), failed)
        try:
            self._store.write(Put(item, AbsentOrMatches({"attempt": ended.attempt})))
        except ConditionFailed:
            return False
        self._dispatch.promptly([ended])
        return True

    def _end_overdue(self, workspace: Workspace, task: ActivityTask, deferral: Deferral) -> None:
        """Record that an attempt has failed if its time is up; a message that comes before that means nothing."""
        now = self._clock.now() + EARLY
        if deferral.ended.due_at <= now:
            failure = OVERDUE if deferral.deadline_at <= now else SILENT
            self.report(workspace, [_failed(task, failure)])

    def _is_wanted(self, run: RunKey, seq: int, attempt: int) -> bool:
        if not is_open_run(self._store.get(keys.execution(run.workspace, run.execution_id)), run.run_id):
            return False
        if self._store.get(keys.fact(run, keys.outcome_fact(seq))):
            return False
        current = self._store.get(keys.attempt(run, seq))
        return current is None or attempt_number(current) == attempt

    def _scheduled(self, run: RunKey, scheduled_in: int, seq: int) -> ActivityWork:
        item = self._store.get(keys.batch(run, scheduled_in))
        events = batch_of(item).events if item else ()
        for event in events:
            if isinstance(event, ActivityScheduled) and event.seq == seq:
                return ActivityWork(name=event.name, input=event.input, options=event.options)
        raise NotFound(f"run {run.run_id} has not scheduled activity {seq} in batch {scheduled_in}")


def _outcome(recorded: Recorded, outcome: ActivityCompleted | ActivityFailed) -> _Answer:
    fact = outcome_fact(outcome)
    record = FactRecorded(recorded.run, recorded.deployment_name, recorded.at, fact)
    return _Answer(Put(fact_item(recorded, fact), Absent()), record)


def _failed(task: ActivityTask, failure: Failure) -> ActivityReport:
    return ActivityReport(
        execution_id=task.execution_id,
        run_id=task.run_id,
        deployment_name=task.deployment_name,
        seq=task.seq,
        scheduled_in=task.scheduled_in,
        attempt=task.attempt,
        failure=failure,
    )
