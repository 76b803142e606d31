"""Activities of the queue: is this attempt wanted, and what follows from how it ended."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levante_core.domain.activities.retry import (
    ACTIVITY_CANCELED,
    FailedAttempt,
    RetryAfter,
    after_failure,
    once_asked_to_end,
)
from levante_core.domain.dispatch.plan import AttemptEnded, CancelActivity, FactRecorded, Record
from levante_core.domain.dispatch.tasks import ActivityTask, ActivityWork
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.frozen import Json
from levante_core.domain.history.events import ActivityCompleted, ActivityFailed, ActivityScheduled
from levante_core.domain.history.notes import ExecutionPaused
from levante_core.domain.history.state import HistoryBatch
from levante_core.errors import NotFound
from levante_core.ports.item_store import Absent, AbsentOrMatches, ConditionFailed, Item, ItemStore, Put
from levante_core.ports.surroundings import Clock
from levante_core.protocol.activities import ActivityReportResult
from levante_core.services.access.capabilities import AttemptGrant
from levante_core.services.dispatch.sender import Dispatch
from levante_core.storage import keys
from levante_core.storage.attempts import (
    Deferral,
    attempt_item,
    attempt_number,
    attempt_of,
    cancel_request,
    deferral_item,
    deferral_of,
    details_of,
    failed_attempts,
    heartbeat_update,
    is_cancel_requested,
)
from levante_core.storage.runs import PAUSED_AT, Recorded, batch_of, fact_item, is_open_run, outcome_fact

WORKER_LOST = Failure(
    kind=FailureKind.WORKER_LOST,
    type="WorkerLost",
    message="the worker that ran this attempt stopped reporting before it ended",
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
class GrantedReport:
    """How the attempt ended that somebody was given. failure: None when it succeeded."""

    grant: AttemptGrant
    result: Json = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class _Standing:
    """What is recorded of an activity whose outcome is waited for: the attempt that is current, and what was said of it.

    attempt: None for the first one. said: the last heartbeat, and whether the activity is asked to end.
    is_paused: the run is.
    """

    attempt: Item | None
    said: Item | None
    is_paused: bool = False

    @property
    def is_wanted(self) -> bool:
        """Whether it is to be run, or to run on; else only how it ends is of interest."""
        return not (self.said and is_cancel_requested(self.said))

    @property
    def deferral(self) -> Deferral | None:
        """What says until when the attempt goes on elsewhere, if it does."""
        return deferral_of(self.attempt) if self.attempt else None

    @property
    def failed(self) -> Sequence[FailedAttempt]:
        """How the attempts before ended."""
        return failed_attempts(self.attempt) if self.attempt else ()


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

    def check(self, grant: AttemptGrant, task: ActivityTask, receive_count: int) -> ActivityTask | None:
        """Return the task as it is to be run, or None if its message is to be dropped.

        A task that was delivered before ended in a lost worker; that is recorded like any other failure, and the attempt
        that follows, if one does, has a message of its own. So is the end of the time of an attempt that goes on elsewhere,
        and that an attempt was never begun because the activity is asked to end. None begins while its run is paused; it is
        sent for when that is resumed.
        """
        standing = self._standing(grant)
        if standing is None:
            return None
        if standing.deferral:
            self._end_overdue(grant, standing.deferral)
            return None
        if receive_count > 1:
            self.report([GrantedReport(grant, failure=WORKER_LOST)])
            return None
        if not standing.is_wanted:
            self.report([GrantedReport(grant, failure=ACTIVITY_CANCELED)])
            return None
        if standing.is_paused:
            return None
        work = task.work or self._scheduled(grant)
        details = details_of(standing.said) if standing.said else ()  # of an attempt 1 as well, if it was handed back
        return task.model_copy(update={"work": work, "verify": False, "details": details})

    def heartbeat(self, grant: AttemptGrant, details: Sequence[Json]) -> bool:
        """Keep what an attempt says of itself for the one after it. Tells whether it is wanted still.

        Cost: four reads and a write; one more write where the attempt goes on elsewhere, and has a heartbeat timeout.
        """
        standing = self._standing(grant)
        if standing is None:
            return False
        self._store.write(heartbeat_update(grant.run, grant.seq, self._clock.now(), details))
        if standing.deferral and standing.deferral.heartbeat_seconds:
            self._defer(standing.deferral, standing.failed)
        return standing.is_wanted

    def defer(self, grant: AttemptGrant, timeout: timedelta, heartbeat_seconds: float | None) -> bool:
        """Let an attempt go on elsewhere until somebody ends it with its token, or its time is up.

        Tells whether it is wanted still. Cost: four reads and a write.
        """
        standing = self._standing(grant)
        if standing is None:
            return False
        now = self._clock.now()
        deadline_at = now + timeout
        ended = AttemptEnded(
            run=grant.run,
            pool=grant.pool,
            recorded_at=now,
            due_at=deadline_at,
            seq=grant.seq,
            scheduled_in=grant.scheduled_in,
            attempt=grant.attempt,
            is_deferred=True,
        )
        return self._defer(Deferral(ended, deadline_at, heartbeat_seconds), standing.failed) and standing.is_wanted

    def cancel(self, effect: CancelActivity) -> None:
        """Let no attempt of an activity be wanted any more. Raises: Unavailable.

        An attempt that is yet to begin, after one that failed, is over by that. Cost: a write; where how it ends is waited
        for, a read too, and a report's cost for such an attempt.
        """
        if effect.is_awaited:
            self._ask_to_end(effect)
            return
        recorded = Recorded(effect.run, effect.pool, self._clock.now())
        fact = outcome_fact(ActivityFailed(seq=effect.seq, at=recorded.at, failure=ACTIVITY_CANCELED))
        with suppress(ConditionFailed):
            self._store.write(Put(fact_item(recorded, fact, is_void=True), Absent()))

    def report(self, reports: Sequence[GrantedReport]) -> list[ActivityReportResult]:
        """Record how attempts ended: an outcome, once, or the next attempt. A repeat is answered as stale.

        Cost: a read and a write per report; four more reads for a failure, one more where another attempt follows, and one
        for the success of a derived grant.
        """
        now = self._clock.now()
        answers = [self._answer(report, now) for report in reports]
        refusals = iter(self._store.write_each([[answer.write] for answer in answers if answer]))
        accepted = [answer if answer and next(refusals) is None else None for answer in answers]
        self._dispatch.dispatch_now(answer.record for answer in accepted if answer)
        for answer in accepted:
            if answer and isinstance(answer.record, AttemptEnded):
                self._end_if_asked(answer.record)
        return [ActivityReportResult(stale=answer is None) for answer in accepted]

    def lose_session(self, task: ActivityTask) -> None:
        """Record that an activity has failed, because the worker that it was to run in is gone.

        Cost: four reads and a write.
        """
        grant = AttemptGrant(task.run, task.deployment_name, task.seq, task.scheduled_in, task.attempt)
        if self._standing(grant) is None:
            return
        now = self._clock.now()
        failed = ActivityFailed(seq=task.seq, at=now, failure=SESSION_LOST, attempt=task.attempt)
        answer = _outcome(Recorded(task.run, task.deployment_name.without_session, now), failed)
        with suppress(ConditionFailed):
            self._store.write(answer.write)
            self._dispatch.dispatch_now([answer.record])

    def end(self, report: GrantedReport) -> bool:
        """Record how an attempt ended that went on elsewhere. Tells whether somebody waited for it still.

        Raises: NotFound where its run has not scheduled it. Cost: that of `report`, and four reads.
        """
        if self._standing(report.grant) is None:
            return False
        (result,) = self.report([report])
        return not result.stale

    def _ask_to_end(self, effect: CancelActivity) -> None:
        self._store.write(cancel_request(effect.run, effect.seq))
        item = self._store.get(keys.attempt(effect.run, effect.seq))
        if item:
            self._end_unbegun(attempt_of(item))

    def _end_if_asked(self, following: AttemptEnded) -> None:
        """End an activity that was asked to end after its attempt was judged, and before the next one was written."""
        heartbeat = self._store.get(keys.heartbeat(following.run, following.seq))
        if heartbeat and is_cancel_requested(heartbeat):
            self._end_unbegun(following)

    def _end_unbegun(self, following: AttemptEnded) -> None:
        if not following.is_deferred and following.due_at > self._clock.now():
            run, where = following.run, (following.seq, following.scheduled_in, following.attempt)
            grant = AttemptGrant(run, following.pool, *where)
            self.report([GrantedReport(grant, failure=ACTIVITY_CANCELED)])

    def _answer(self, report: GrantedReport, now: datetime) -> _Answer | None:
        grant = report.grant
        current = self._store.get(keys.attempt(grant.run, grant.seq))
        if current and attempt_number(current) != grant.attempt:
            return None
        recorded = Recorded(grant.run, grant.pool, now)
        if report.failure is None:
            if grant.is_derived and not self._may_be_scheduled(grant):
                return None
            return _outcome(recorded, ActivityCompleted(seq=grant.seq, at=now, result=report.result))
        awaiting = self._awaiting(grant)
        if awaiting is None:
            return None
        standing = self._standing_of(grant, current, awaiting)
        decision = after_failure(self._scheduled(grant).options.retry, grant.attempt, report.failure)
        if not isinstance(decision, RetryAfter) or not standing.is_wanted:
            failure = report.failure if standing.is_wanted else once_asked_to_end(report.failure)
            final = ActivityFailed(seq=grant.seq, at=now, failure=failure, attempt=grant.attempt)
            return _outcome(recorded, final)
        ended = AttemptEnded(
            run=grant.run,
            pool=grant.pool,
            recorded_at=now,
            due_at=now + decision.delay,
            seq=grant.seq,
            scheduled_in=grant.scheduled_in,
            attempt=decision.attempt,
        )
        still_current = AbsentOrMatches({"attempt": grant.attempt})
        failed = FailedAttempt(seq=grant.seq, attempt=grant.attempt, at=now, failure=report.failure)
        return _Answer(Put(attempt_item(recorded, ended, (*standing.failed, failed)), still_current), ended)

    def _defer(self, deferral: Deferral, failed: Sequence[FailedAttempt]) -> bool:
        """Let somebody look after the attempt when its time is up. Tells whether it is the current one still."""
        now, due_at = self._clock.now(), deferral.deadline_at
        if deferral.heartbeat_seconds:
            due_at = min(due_at, now + timedelta(seconds=deferral.heartbeat_seconds))
        ended = replace(deferral.ended, recorded_at=now, due_at=due_at)
        item = deferral_item(Recorded(ended.run, ended.pool, now), replace(deferral, ended=ended), failed)
        try:
            self._store.write(Put(item, AbsentOrMatches({"attempt": ended.attempt})))
        except ConditionFailed:
            return False
        self._dispatch.dispatch_now([ended])
        return True

    def _end_overdue(self, grant: AttemptGrant, deferral: Deferral) -> None:
        """Record that an attempt has failed if its time is up; a message that comes before that means nothing."""
        now = self._clock.now() + EARLY
        if deferral.ended.due_at <= now:
            self.report([GrantedReport(grant, failure=OVERDUE if deferral.deadline_at <= now else SILENT)])

    def _standing(self, grant: AttemptGrant) -> _Standing | None:
        """Return how an attempt stands; None if nobody waits for its outcome any more. Cost: four reads."""
        awaiting = self._awaiting(grant)
        if awaiting is None:
            return None
        current = self._store.get(keys.attempt(grant.run, grant.seq))
        if current and attempt_number(current) != grant.attempt:
            return None
        return self._standing_of(grant, current, awaiting)

    def _awaiting(self, grant: AttemptGrant) -> Item | None:
        """Return the item of the run if that is open, and the activity has no outcome yet. Cost: two reads, or one."""
        run = grant.run
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        if not is_open_run(item, run.run_id) or self._store.get(keys.fact(run, keys.outcome_fact(grant.seq))):
            return None
        return item

    def _standing_of(self, grant: AttemptGrant, current: Item | None, awaiting: Item) -> _Standing:
        said = self._store.get(keys.heartbeat(grant.run, grant.seq))
        return _Standing(current, said, is_paused=awaiting.attributes.get(PAUSED_AT) is not None)

    def _may_be_scheduled(self, grant: AttemptGrant) -> bool:
        """Tell whether the run schedules the activity, or may yet: what runs in place can end before that is recorded.

        Where the run was paused before it was, it is scheduled once the run goes on.
        """
        item = self._store.get(keys.batch(grant.run, grant.scheduled_in))
        batch = batch_of(item) if item else None
        is_there_yet = batch is None or any(isinstance(event, ExecutionPaused) for event in batch.events)
        return is_there_yet or (batch is not None and _work_in(batch, grant.seq) is not None)

    def _scheduled(self, grant: AttemptGrant) -> ActivityWork:
        item = self._store.get(keys.batch(grant.run, grant.scheduled_in))
        work = _work_in(batch_of(item), grant.seq) if item else None
        if work is None:
            problem = f"run {grant.run.run_id} has not scheduled activity {grant.seq} in batch {grant.scheduled_in}"
            raise NotFound(f"{problem}: if it is about to, try again")
        return work


def _work_in(batch: HistoryBatch, seq: int) -> ActivityWork | None:
    for event in batch.events:
        if isinstance(event, ActivityScheduled) and event.seq == seq:
            return ActivityWork(name=event.name, input=event.input, options=event.options)
    return None


def _outcome(recorded: Recorded, outcome: ActivityCompleted | ActivityFailed) -> _Answer:
    fact = outcome_fact(outcome)
    record = FactRecorded(recorded.run, recorded.pool, recorded.at, fact)
    return _Answer(Put(fact_item(recorded, fact), Absent()), record)
