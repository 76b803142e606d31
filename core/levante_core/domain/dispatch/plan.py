"""`plan`: what a change of the table asks for. Pure, so that the API and the dispatcher cannot disagree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias, assert_never

from levante_core.domain.dispatch.tasks import (
    ActivityTask,
    ActivityWork,
    BatchJobDue,
    DeadlineDue,
    Delayed,
    Fact,
    TimerDue,
    WorkflowTask,
)
from levante_core.domain.epoch import EPOCH
from levante_core.domain.executions.execution import Parent, RunKey, RunStart
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    ChildSignaled,
    FactTaken,
    HistoryEvent,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver, ExecutionResumed
from levante_core.domain.history.run_messages import RUN_MESSAGES
from levante_core.domain.history.state import HistoryBatch, RunState
from levante_core.domain.history.transitions import ActivityState
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.domain.worker_pool import WorkerPool

NEVER_FRESH = EPOCH
"""`fresh_at` of work that nobody can call fresh."""

SHORT_TIMEOUT = timedelta(minutes=15)
"""Execution timeouts up to this get a delayed message; longer ones are left to the one-minute sweep."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run was started."""

    run: RunKey
    pool: WorkerPool
    start: RunStart


@dataclass(frozen=True, slots=True)
class BatchAppended:
    """A batch was appended to a history."""

    run: RunKey
    pool: WorkerPool
    recorded_at: datetime
    batch: HistoryBatch


@dataclass(frozen=True, slots=True)
class FactRecorded:
    """A fact was recorded."""

    run: RunKey
    pool: WorkerPool
    recorded_at: datetime
    fact: Fact


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An activity attempt ended without an outcome; `attempt` comes next, at `due_at`.

    is_deferred: it has begun already, goes on elsewhere, and has failed if it did not end by then.
    """

    run: RunKey
    pool: WorkerPool
    recorded_at: datetime
    due_at: datetime
    seq: int
    scheduled_in: int
    attempt: int
    is_deferred: bool = False


@dataclass(frozen=True, slots=True)
class RunClosed:
    """A run ended that concerns others than itself.

    outcome: what its parent learns; None if the execution goes on.
    """

    run: RunKey
    pool: WorkerPool
    has_children: bool
    parent: Parent | None = None
    outcome: ChildCompleted | ChildFailed | None = None
    schedule_id: str | None = None


@dataclass(frozen=True, slots=True)
class BatchJobAdvanced:
    """A batch job was started, or has taken a step, and goes on."""

    due: BatchJobDue


@dataclass(frozen=True, slots=True)
class RunExpired:
    """A closed run was deleted, because its time was over. is_latest: the whole execution went with it."""

    run: RunKey
    root_execution_id: ExecutionId
    is_latest: bool


@dataclass(frozen=True, slots=True)
class PayloadsExpired:
    """An item was deleted, because its time was over, some of which is kept elsewhere. partition, sort: its key."""

    partition: str
    sort: str


Expired: TypeAlias = RunExpired | PayloadsExpired
Record: TypeAlias = RunStarted | BatchAppended | FactRecorded | AttemptEnded | RunClosed | BatchJobAdvanced | Expired


@dataclass(frozen=True, slots=True)
class SendTask:
    """Put a task on its deployment's queue now. deduplication_id: made from the record, so a repeat is dropped."""

    task: WorkflowTask | ActivityTask
    deduplication_id: str


@dataclass(frozen=True, slots=True)
class SendLater:
    """Do something at `due.fresh_at`."""

    due: Delayed


@dataclass(frozen=True, slots=True)
class CancelActivity:
    """Let no worker run, or go on running, an activity that nobody wants any more. is_awaited: how it ends is waited for."""

    run: RunKey
    pool: WorkerPool
    seq: int
    is_awaited: bool = False


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start a child, unless it has started; tell the parent what has become of it."""

    parent: RunKey
    pool: WorkerPool
    child: ChildScheduled


@dataclass(frozen=True, slots=True)
class CancelChild:
    """Ask a child to end that nobody wants any more. seq: of the command that asked for it."""

    parent: RunKey
    execution_id: ExecutionId
    seq: int


@dataclass(frozen=True, slots=True)
class SignalChild:
    """Send a child what its parent has for it, once."""

    parent: RunKey
    signal: ChildSignaled


@dataclass(frozen=True, slots=True)
class TellParent:
    """Record in the parent's run how a child ended."""

    child: RunKey
    parent: Parent
    outcome: ChildCompleted | ChildFailed


@dataclass(frozen=True, slots=True)
class LeaveChildren:
    """Do with the open children of a run that has ended what their policies say."""

    run: RunKey


@dataclass(frozen=True, slots=True)
class LookAtSchedule:
    """An execution of a schedule has ended, so that something may be to be done."""

    workspace: Workspace
    schedule_id: str


@dataclass(frozen=True, slots=True)
class SendOutstanding:
    """Send for everything that a run waits for: while it was paused, it was not sent for, or dropped.

    resumed_in: index of the batch that says that it was resumed.
    """

    run: RunKey
    pool: WorkerPool
    resumed_in: int


@dataclass(frozen=True, slots=True)
class DeleteRest:
    """Delete what belonged to something that is gone."""

    expired: Expired


MessageEffect: TypeAlias = SendTask | SendLater
ChildEffect: TypeAlias = StartChild | CancelChild | SignalChild | TellParent | LeaveChildren
"""What is between executions."""
Effect: TypeAlias = MessageEffect | CancelActivity | ChildEffect | LookAtSchedule | SendOutstanding | DeleteRest


def plan(record: Record) -> list[Effect]:  # noqa: PLR0911 - one for each kind of record
    """Return what the record asks for. A repeat of the effects is harmless at any later time."""
    match record:
        case RunStarted():
            return list(_started(record))
        case BatchAppended():
            return list(_appended(record))
        case FactRecorded():
            advance = WorkflowTask.of(record.run, record.pool.without_session, record.recorded_at, fact=record.fact)
            return [SendTask(advance, f"{record.run.run_id}:{record.fact.key}")]
        case RunClosed():
            return list(_closed(record))
        case AttemptEnded():
            task = ActivityTask.of(
                record.run,
                record.pool,
                record.due_at,
                seq=record.seq,
                scheduled_in=record.scheduled_in,
                attempt=record.attempt,
                is_deferred=record.is_deferred,
            )
            return [_when_due(task, record.recorded_at)]
        case BatchJobAdvanced(due):
            return [SendLater(due)]
        case RunExpired() | PayloadsExpired():
            return [DeleteRest(record)]
        case _:
            assert_never(record)


def _started(record: RunStarted) -> Iterator[Effect]:
    start, pool = record.start, record.pool.without_session
    if start.reset:
        yield advance(record.run, pool, "start")
    else:
        task = WorkflowTask.of(record.run, pool, start.started_at, start=start)
        yield SendTask(task, f"{record.run.run_id}:start")
    if start.deadline_at - start.started_at <= SHORT_TIMEOUT:
        yield SendLater(DeadlineDue.of(record.run, pool, start.deadline_at))


def _appended(record: BatchAppended) -> Iterator[Effect]:
    run, pool, now = record.run, record.pool, record.recorded_at
    ended = frozenset(resolved_in(record.batch.events))
    for event in record.batch.events:
        match event:
            case ActivityScheduled() if event.owner is None and event.seq not in ended:
                work = ActivityWork(name=event.name, input=event.input, options=event.options)
                runs_it = pool.for_session(event.options.session)
                scheduled_in = record.batch.index
                task = ActivityTask.of(
                    run, runs_it, now, seq=event.seq, scheduled_in=scheduled_in, attempt=event.attempt, work=work
                )
                yield _when_due(task, now)
            case ActivityHandedOver() if event.failure and event.activity not in ended:
                due_at, scheduled_in = now + timedelta(seconds=event.delay_seconds), event.scheduled_in
                runs_it = pool.for_session(event.session)
                task = ActivityTask.of(
                    run, runs_it, due_at, seq=event.activity, scheduled_in=scheduled_in, attempt=event.attempt
                )
                yield _when_due(task, now)
            case TimerStarted() if event.seq not in ended:
                yield SendLater(TimerDue.of(run, pool.without_session, event.fire_at, seq=event.seq))
            case ActivityCancelRequested() if event.is_queued:
                yield CancelActivity(run, pool, event.activity, event.is_awaited)
            case ChildScheduled():
                yield StartChild(run, pool, event)
            case ChildCancelRequested():
                yield CancelChild(run, event.execution_id, event.child)
            case ChildSignaled():
                yield SignalChild(run, event)
            case ExecutionResumed():
                yield advance(run, pool.without_session, f"resumed{record.batch.index}")
                yield SendOutstanding(run, pool, record.batch.index)
            case _:
                pass


def _closed(record: RunClosed) -> Iterator[Effect]:
    if record.parent and record.outcome:
        yield TellParent(record.run, record.parent, record.outcome)
    if record.has_children:
        yield LeaveChildren(record.run)
    if record.schedule_id:
        yield LookAtSchedule(record.run.workspace, record.schedule_id)


def resolved_in(events: Iterable[HistoryEvent]) -> Iterator[int]:
    """Yield the seq of every activity and timer that these events resolve or abandon."""
    for event in events:
        match event:
            case ActivityCompleted() | ActivityFailed() | TimerFired():
                yield event.seq
            case ActivityCancelRequested(is_awaited=False):
                yield event.activity
            case TimerCanceled():
                yield event.timer
            case FactTaken(fact=key) if key.isdigit():  # the outcome of the command with this seq
                yield int(key)
            case _:
                pass


def _when_due(task: ActivityTask, now: datetime) -> Effect:
    return SendLater(task) if task.fresh_at > now else SendTask(task, task_id(task))


def task_id(task: ActivityTask) -> str:
    """Return the deduplication id of an attempt's task: the same for every repeat of it."""
    deadline = f":{wire_time(task.fresh_at)}" if task.is_deferred else ""
    return f"{task.run_id}:{task.seq}:{task.attempt}{deadline}"


def advance(run: RunKey, pool: WorkerPool, why: str) -> SendTask:
    """Let some worker look at a run. why: tells this task from others that ask for the same."""
    return SendTask(WorkflowTask.of(run, pool, NEVER_FRESH, verify=True), f"{run.run_id}:{why}")


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What is known of an open run. untaken: facts not in its history yet. retries: by seq, attempts that follow others."""

    state: RunState
    untaken: Sequence[Fact]
    retries: Mapping[int, AttemptEnded]


def outstanding(run: RunKey, pool: WorkerPool, work: OpenWork, now: datetime) -> list[Effect]:
    """Return what an open run needs to go on when every message may have been lost.

    A workflow task only if somebody has to look at the run: no step is recorded yet, a fact waits, or the claim of an owner
    may have died with its message. Queued activities and timers that no fact answers are asked for again; all of it is to be
    checked on arrival. Of a run that is paused, timers and children alone go on.
    """
    state = work.state
    effects: list[Effect] = []
    owned = [activity for activity in state.activities.values() if activity.state is ActivityState.OWNED]
    if not state.paused and (not state.has_begun or owned or any(not state.is_void(fact.input) for fact in work.untaken)):
        effects.append(advance(run, pool, "advance"))
    answered = {fact.input.seq for fact in work.untaken if not isinstance(fact.input, RUN_MESSAGES)}
    ended = {fact.input.seq for fact in work.untaken if isinstance(fact.input, ChildCompleted | ChildFailed)}
    for seq, activity in state.activities.items():
        if activity.state is ActivityState.QUEUED and seq not in answered and not state.paused:
            retry = work.retries.get(seq)
            attempt, due_at = (retry.attempt, retry.due_at) if retry else (activity.attempt, NEVER_FRESH)
            scheduled_in = activity.batch_index
            runs_it = pool.for_session(activity.scheduled.options.session)
            task = ActivityTask.of(run, runs_it, due_at, seq=seq, scheduled_in=scheduled_in, attempt=attempt, verify=True)
            effects.append(_when_due(task, now))
            if activity.is_cancel_requested:
                effects.append(CancelActivity(run, pool, seq, is_awaited=True))
    timers = [timer for seq, timer in state.timers.items() if seq not in answered]
    effects += [SendLater(TimerDue.of(run, pool, timer.fire_at, seq=timer.seq, verify=True)) for timer in timers]
    for seq, child in state.children.items():
        if seq not in ended:
            effects.append(StartChild(run, pool, child.scheduled))
            if child.is_cancel_requested:
                effects.append(CancelChild(run, child.scheduled.execution_id, seq))
    return effects
