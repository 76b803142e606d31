"""`plan`: what a change of the table asks for. Pure, so that the API and the dispatcher cannot disagree."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, assert_never

from levante_core.domain.dispatch.tasks import ActivityTask, ActivityWork, DeadlineDue, Delayed, Fact, TimerDue, WorkflowTask
from levante_core.domain.executions.execution import Parent, RunKey, RunStart
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.events import (
    RUN_MESSAGES,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildScheduled,
    ChildSignaled,
    HistoryEvent,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.notes import ActivityHandedOver
from levante_core.domain.history.state import HistoryBatch, RunState
from levante_core.domain.history.transitions import ActivityState
from levante_core.domain.names import DeploymentName, ExecutionId, Workspace, for_session, without_session

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""`fresh_at` of work that nobody can call fresh."""

SHORT_TIMEOUT = timedelta(minutes=15)
"""Execution timeouts up to this get a delayed message; longer ones are left to the one-minute sweep."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run was started."""

    run: RunKey
    deployment_name: DeploymentName
    start: RunStart


@dataclass(frozen=True, slots=True)
class BatchAppended:
    """A batch was appended to a history."""

    run: RunKey
    deployment_name: DeploymentName
    recorded_at: datetime
    batch: HistoryBatch


@dataclass(frozen=True, slots=True)
class FactRecorded:
    """A fact was recorded."""

    run: RunKey
    deployment_name: DeploymentName
    recorded_at: datetime
    fact: Fact


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """An activity attempt ended without an outcome; `attempt` comes next, at `due_at`.

    is_deferred: it has begun already, goes on elsewhere, and has failed if it did not end by then.
    """

    run: RunKey
    deployment_name: DeploymentName
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
    deployment_name: DeploymentName
    has_children: bool
    parent: Parent | None = None
    outcome: ChildCompleted | ChildFailed | None = None
    schedule_id: str | None = None


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
Record: TypeAlias = RunStarted | BatchAppended | FactRecorded | AttemptEnded | RunClosed | Expired


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
    deployment_name: DeploymentName
    seq: int
    is_awaited: bool = False


@dataclass(frozen=True, slots=True)
class StartChild:
    """Start a child, unless it has started; tell the parent what has become of it."""

    parent: RunKey
    deployment_name: DeploymentName
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
class DeleteRest:
    """Delete what belonged to something that is gone."""

    expired: Expired


MessageEffect: TypeAlias = SendTask | SendLater
ChildEffect: TypeAlias = StartChild | CancelChild | SignalChild | TellParent | LeaveChildren
"""What is between executions."""
Effect: TypeAlias = MessageEffect | CancelActivity | ChildEffect | LookAtSchedule | DeleteRest


def plan(record: Record) -> list[Effect]:
    """Return what the record asks for. A repeat of the effects is harmless at any later time."""
    match record:
        case RunStarted():
            return list(_started(record))
        case BatchAppended():
            return list(_appended(record))
        case FactRecorded():
            task = WorkflowTask(**_address(record), fresh_at=record.recorded_at, fact=record.fact)
            return [SendTask(task, f"{record.run.run_id}:{record.fact.key}")]
        case RunClosed():
            return list(_closed(record))
        case AttemptEnded():
            of = record.deployment_name
            due = _activity_task(record, record.seq, record.scheduled_in, record.attempt, record.due_at, of=of)
            return [_when_due(due.model_copy(update={"is_deferred": record.is_deferred}), record.recorded_at)]
        case RunExpired() | PayloadsExpired():
            return [DeleteRest(record)]
        case _:
            assert_never(record)


def _started(record: RunStarted) -> Iterator[Effect]:
    start = record.start
    if start.reset:
        yield SendTask(WorkflowTask(**_address(record), fresh_at=EPOCH, verify=True), f"{record.run.run_id}:start")
    else:
        task = WorkflowTask(**_address(record), fresh_at=start.started_at, start=start)
        yield SendTask(task, f"{record.run.run_id}:start")
    if start.deadline_at - start.started_at <= SHORT_TIMEOUT:
        yield SendLater(DeadlineDue(**_address(record), fresh_at=start.deadline_at))


def _appended(record: BatchAppended) -> Iterator[Effect]:
    ended = frozenset(resolved_in(record.batch.events))
    for event in record.batch.events:
        match event:
            case ActivityScheduled() if event.owner is None and event.seq not in ended:
                work = ActivityWork(name=event.name, input=event.input, options=event.options)
                at = record.recorded_at
                of = for_session(record.deployment_name, event.options.session)
                task = _activity_task(record, event.seq, record.batch.index, event.attempt, at, of=of, work=work)
                yield _when_due(task, at)
            case ActivityHandedOver() if event.failure and event.activity not in ended:
                due_at = record.recorded_at + timedelta(seconds=event.delay_seconds)
                of = for_session(record.deployment_name, event.session)
                task = _activity_task(record, event.activity, event.scheduled_in, event.attempt, due_at, of=of)
                yield _when_due(task, record.recorded_at)
            case TimerStarted() if event.seq not in ended:
                yield SendLater(TimerDue(**_address(record), fresh_at=event.fire_at, seq=event.seq))
            case ActivityCancelRequested() if event.is_queued:
                yield CancelActivity(record.run, record.deployment_name, event.activity, event.is_awaited)
            case ChildScheduled():
                yield StartChild(record.run, record.deployment_name, event)
            case ChildCancelRequested():
                yield CancelChild(record.run, event.execution_id, event.child)
            case ChildSignaled():
                yield SignalChild(record.run, event)
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
            case _:
                pass


def _activity_task(
    record: BatchAppended | AttemptEnded,
    seq: int,
    scheduled_in: int,
    attempt: int,
    due_at: datetime,
    *,
    of: DeploymentName,
    work: ActivityWork | None = None,
) -> ActivityTask:
    address = {**_address(record), "deployment_name": of}
    return ActivityTask(**address, fresh_at=due_at, seq=seq, scheduled_in=scheduled_in, attempt=attempt, work=work)


def _when_due(task: ActivityTask, now: datetime) -> Effect:
    return SendLater(task) if task.fresh_at > now else SendTask(task, task_id(task))


def _address(record: RunStarted | BatchAppended | FactRecorded | AttemptEnded) -> dict[str, Any]:
    run = record.run
    return {
        "workspace": run.workspace,
        "execution_id": run.execution_id,
        "run_id": run.run_id,
        "deployment_name": without_session(record.deployment_name),
    }


def task_id(task: ActivityTask) -> str:
    """Return the deduplication id of an attempt's task: the same for every repeat of it."""
    deadline = f":{wire_time(task.fresh_at)}" if task.is_deferred else ""
    return f"{task.run_id}:{task.seq}:{task.attempt}{deadline}"


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What is known of an open run. untaken: facts not in its history yet. retries: by seq, attempts that follow others."""

    state: RunState
    untaken: Sequence[Fact]
    retries: Mapping[int, AttemptEnded]


def outstanding(run: RunKey, deployment_name: DeploymentName, work: OpenWork, now: datetime) -> list[Effect]:
    """Return what an open run needs to go on when every message may have been lost.

    A workflow task only if somebody has to look at the run: nothing is recorded yet, a fact waits, or the claim of an owner
    may have died with its message. Queued activities and timers that no fact answers are asked for again; all of it is to be
    checked on arrival.
    """
    state = work.state
    address = {
        "workspace": run.workspace,
        "execution_id": run.execution_id,
        "run_id": run.run_id,
        "deployment_name": deployment_name,
        "verify": True,
    }
    effects: list[Effect] = []
    owned = [activity for activity in state.activities.values() if activity.state is ActivityState.OWNED]
    if state.last_index == 0 or owned or any(not state.is_void(fact.input) for fact in work.untaken):
        effects.append(SendTask(WorkflowTask(**address, fresh_at=EPOCH), f"{run.run_id}:advance"))
    answered = {fact.input.seq for fact in work.untaken if not isinstance(fact.input, RUN_MESSAGES)}
    ended = {fact.input.seq for fact in work.untaken if isinstance(fact.input, ChildCompleted | ChildFailed)}
    for seq, activity in state.activities.items():
        if activity.state is ActivityState.QUEUED and seq not in answered:
            retry = work.retries.get(seq)
            attempt, due_at = (retry.attempt, retry.due_at) if retry else (activity.attempt, EPOCH)
            scheduled_in = activity.batch_index
            of = {**address, "deployment_name": for_session(deployment_name, activity.scheduled.options.session)}
            task = ActivityTask(**of, fresh_at=due_at, seq=seq, scheduled_in=scheduled_in, attempt=attempt)
            effects.append(_when_due(task, now))
            if activity.is_cancel_requested:
                effects.append(CancelActivity(run, deployment_name, seq, is_awaited=True))
    timers = [timer for seq, timer in state.timers.items() if seq not in answered]
    effects += [SendLater(TimerDue(**address, fresh_at=timer.fire_at, seq=timer.seq)) for timer in timers]
    for seq, child in state.children.items():
        if seq not in ended:
            effects.append(StartChild(run, deployment_name, child.scheduled))
            if child.is_cancel_requested:
                effects.append(CancelChild(run, child.scheduled.execution_id, seq))
    return effects
