"""What an open execution waits for: the open work that the engine acts by, as people read it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.dispatch.plan import AttemptEnded, OpenWork
from levante_core.domain.dispatch.tasks import Fact
from levante_core.domain.executions.by_hand import ByHand, describe_pause
from levante_core.domain.executions.failure import Failure, describe_failure
from levante_core.domain.frozen import Frozen, Time, wire_time
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityFailed,
    ChildCompleted,
    ChildFailed,
    Input,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.history.run_messages import RUN_MESSAGES, SignalReceived, UpdateRequested
from levante_core.domain.history.state import OpenActivity, OpenChild
from levante_core.domain.history.transitions import ActivityState, ChildState

ENDS = (ActivityCompleted, ActivityFailed, TimerFired, ChildCompleted, ChildFailed)
NEWS_NAMED = 3
"""So many facts that wait for a worker are named; the others are counted."""


class WaitKind(StrEnum):
    """What an execution waits for."""

    STARTING = "starting"
    """A worker has not begun it yet."""
    WORKFLOW_TASK_QUEUED = "workflow_task_queued"
    """Something has happened that its code has not taken in yet."""
    ACTIVITY_QUEUED = "activity_queued"
    """An activity waits for a worker, or runs on one that has said nothing yet."""
    ACTIVITY_RUNNING = "activity_running"
    """A worker, or somebody outside of workers, is at an activity."""
    ACTIVITY_FAILING = "activity_failing"
    """An activity has failed, and waits for its next attempt."""
    RATE_LIMITED = "rate_limited"
    """An activity waits until its rate limit lets it begin."""
    TIMER = "timer"
    """A sleep, or the timeout of something."""
    CHILD = "child"
    """A child workflow."""
    CONDITION = "condition"
    """A condition on the code's own state, which a signal or an update may change."""
    CODE_FAILING = "code_failing"
    """The workflow code raises where it must not, or a worker cannot run it."""
    NO_WORKER = "no_worker"
    """No worker of its deployment, or build, is there."""
    PARKED = "parked"
    """Something of it could not be handled."""
    CANCEL_REQUESTED = "cancel_requested"
    """It is asked to end, and its code has not ended yet."""
    PAUSED = "paused"
    """It is paused, until somebody resumes it."""


class Actor(StrEnum):
    """Who has to act so that an execution goes on."""

    NOBODY = "nobody"
    """It goes on by itself."""
    WORKER = "worker"
    """A worker that is there."""
    CALLER = "caller"
    """Whoever sends it messages, or completes what goes on elsewhere."""
    OPERATOR = "operator"
    """Whoever runs the workers."""
    DEVELOPER = "developer"
    """Whoever writes its code."""


class Remedy(StrEnum):
    """A repair by hand that applies to what an execution waits for."""

    RETRY = "retry"
    """Let the next attempt of the activity begin now."""
    COMPLETE = "complete"
    """Give the activity, or the child, a result."""
    FAIL = "fail"
    """Let the activity, or the child, fail."""
    SKIP = "skip"
    """Let the timer fire now."""
    RESET = "reset"
    """Go on from an earlier event of the history."""
    RESUME = "resume"
    """Let the execution go on."""


class Wait(Frozen):
    """Something that an open execution waits for. What does not apply is null."""

    kind: WaitKind
    """What is waited for."""
    message: str
    """The same for people, in one line, and what to do about it."""
    since: Time | None = None
    """Since when; null if that is not known."""
    until: Time | None = None
    """When it is over, or changes, without anybody's doing."""
    seq: int | None = None
    """Number of the command that asked for the activity, timer or child."""
    name: str | None = None
    """Name of the activity, or of the child's workflow."""
    attempt: int | None = None
    """The attempt of the activity that runs or comes next; for activity_failing and code_failing, that failed last."""
    max_attempts: int | None = None
    """How many attempts of the activity are made."""
    failure: Failure | None = None
    """What the last attempt raised."""
    worker: str | None = None
    """Id of the worker that runs it."""
    heartbeat_at: Time | None = None
    """When the activity sent its last heartbeat."""
    child_execution_id: str | None = None
    """Id of the child's execution."""
    signals: tuple[str, ...] | None = None
    """For condition: the signals that the workflow takes."""
    updates: tuple[str, ...] | None = None
    """For condition: the updates that the workflow takes."""
    actor: Actor
    """Who has to act."""
    remedies: tuple[Remedy, ...] = ()
    """What can be done about it by hand."""


@dataclass(frozen=True, slots=True)
class Observed:
    """An open run at one moment.

    asked_at: by seq, when each open command was recorded. facts_at: by key, when facts were. failed: by seq, how the last
    attempt of an activity ended that another one follows. heartbeats: by seq, when each activity sent its last one.
    workers: by seq, which worker has the task of an activity; of None, the workflow task. places: by seq, when the rate
    limit of an activity has its next place. code_failure: what the code raised over the last batch. is_code_failing: whether
    it is known otherwise that it fails. cancel_requested_at: when it was asked to end, if it was. signals, updates: names of
    the handlers.
    """

    work: OpenWork
    now: datetime
    started_at: datetime
    asked_at: Mapping[int, datetime] = field(default_factory=dict)
    facts_at: Mapping[str, datetime] = field(default_factory=dict)
    failed: Mapping[int, FailedAttempt] = field(default_factory=dict)
    heartbeats: Mapping[int, datetime] = field(default_factory=dict)
    workers: Mapping[int | None, str] = field(default_factory=dict)
    places: Mapping[int, datetime] = field(default_factory=dict)
    code_failure: Failure | None = None
    is_code_failing: bool = False
    cancel_requested_at: datetime | None = None
    signals: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()


def waits_of(run: Observed) -> list[Wait]:
    """Return all that an open run waits for; there is always something."""
    return list(_waits(run))


def _waits(run: Observed) -> Iterator[Wait]:
    state = run.work.state
    news = [fact for fact in run.work.untaken if not state.is_void(fact.input)]
    if state.paused:
        yield _paused(state.paused, news)
    else:
        yield from _workflow_task(run, news)
    answered = {fact.input.seq for fact in news if isinstance(fact.input, ENDS)}
    yield from (_activity(run, seq, one) for seq, one in sorted(state.activities.items()) if seq not in answered)
    yield from (_timer(run, timer) for seq, timer in sorted(state.timers.items()) if seq not in answered)
    yield from (_child(run, seq, child) for seq, child in sorted(state.children.items()) if seq not in answered)
    if run.cancel_requested_at:
        message = "it is asked to end, and its code has not ended yet: it may be cleaning up"
        since = run.cancel_requested_at
        yield Wait(kind=WaitKind.CANCEL_REQUESTED, message=message, since=since, actor=Actor.WORKER)
    has_code_to_run = (
        state.paused or not state.has_begun or bool(news) or run.code_failure is not None or run.is_code_failing
    )
    is_busy = has_code_to_run or state.activities or state.children
    if not is_busy and (run.signals or run.updates or not state.timers):
        yield _condition(run, may_only=bool(state.timers))


def _paused(by_hand: ByHand, news: Sequence[Fact]) -> Wait:
    meanwhile = f"; meanwhile: {_named([fact.input for fact in news])}" if news else ""
    return Wait(
        kind=WaitKind.PAUSED,
        message=f"{describe_pause(by_hand)}{meanwhile}",
        since=by_hand.at,
        actor=Actor.OPERATOR,
        remedies=(Remedy.RESUME,),
    )


def _workflow_task(run: Observed, news: Sequence[Fact]) -> Iterator[Wait]:
    """Say why the code has to be run by a worker, if it has to be."""
    worker = run.workers.get(None)
    if not run.work.state.has_begun:
        message = "it has been started, and waits for a worker to begin it"
        yield Wait(kind=WaitKind.STARTING, message=message, since=run.started_at, worker=worker, actor=Actor.WORKER)
    elif news:
        since = min((run.facts_at[fact.key] for fact in news if fact.key in run.facts_at), default=None)
        message = f"a worker has to take in what has happened: {_named([fact.input for fact in news])}"
        yield Wait(kind=WaitKind.WORKFLOW_TASK_QUEUED, message=message, since=since, worker=worker, actor=Actor.WORKER)
    elif run.code_failure and not run.is_code_failing:
        yield Wait(
            kind=WaitKind.CODE_FAILING,
            message=f"workflow code fails, and is tried again: {describe_failure(run.code_failure)}",
            failure=run.code_failure,
            actor=Actor.DEVELOPER,
            remedies=(Remedy.RESET,),
        )


def _named(facts: Sequence[Input]) -> str:
    """Name what has happened."""
    names = [_name(fact) for fact in facts[:NEWS_NAMED]]
    more = len(facts) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _name(fact: Input) -> str:
    if isinstance(fact, SignalReceived | UpdateRequested):
        return f"{fact.kind.partition('_')[0]} {fact.name!r}"
    if isinstance(fact, RUN_MESSAGES):
        return "a request to cancel"
    what, _, how = fact.kind.partition("_")
    return f"{what} {fact.seq} has {how}"


# --- activities -------------------------------------------------------------------------------------------------------


def _activity(run: Observed, seq: int, activity: OpenActivity) -> Wait:
    retry = run.work.retries.get(seq) if activity.state is ActivityState.QUEUED else None
    options, name = activity.scheduled.options, activity.scheduled.name
    last = run.failed.get(seq)
    attempt = retry.attempt if retry else activity.attempt
    after = f", after: {describe_failure(last.failure)}" if last else ""
    wait = Wait(
        kind=WaitKind.ACTIVITY_QUEUED,
        message="",
        since=retry.due_at if retry else run.asked_at.get(seq),
        seq=seq,
        name=name,
        attempt=attempt,
        max_attempts=options.retry.max_attempts,
        failure=last.failure if last else None,
        heartbeat_at=run.heartbeats.get(seq),
        actor=Actor.WORKER,
        remedies=(Remedy.COMPLETE, Remedy.FAIL),
    )
    which = f"activity {name!r} (attempt {attempt} of {options.retry.max_attempts}{after})"
    if activity.state is ActivityState.OWNED:
        owner = activity.scheduled.owner
        return _running(wait, f"{which} runs on worker {owner}, which advances the execution", worker=owner)
    if retry and retry.is_deferred:
        return _elsewhere(wait, which, retry)
    if run.work.state.paused and seq not in run.workers:
        message = f"{which} is held back as the execution is paused, unless a worker had begun it before"
        return wait.model_copy(update={"message": message, "actor": Actor.OPERATOR})
    if retry and retry.due_at > run.now:
        return _backing_off(wait, retry, last)
    return _over_the_queue(run, wait, which, is_of_session=options.session is not None)


def _over_the_queue(run: Observed, wait: Wait, which: str, *, is_of_session: bool) -> Wait:
    """Say of an attempt that is due whether a worker has it, as far as that is known."""
    seq = wait.seq or 0
    if seq in run.workers:
        return _running(wait, f"{which} runs on worker {run.workers[seq]}", worker=run.workers[seq], since=None)
    began_at = wait.since or run.started_at
    if wait.heartbeat_at and wait.heartbeat_at > began_at:
        return _running(wait, f"{which} runs; its last heartbeat came at {wire_time(wait.heartbeat_at)}")
    if seq in run.places:
        message = f"{which} waits for its rate limit; the next free place is at {wire_time(run.places[seq])}"
        return wait.model_copy(update={"kind": WaitKind.RATE_LIMITED, "message": message, "actor": Actor.NOBODY})
    where = " of its session" if is_of_session else ""
    message = f"{which} is queued for a worker{where}, or runs on one that has sent no heartbeat"
    return wait.model_copy(update={"message": message})


def _running(wait: Wait, message: str, **more: object) -> Wait:
    return wait.model_copy(update={"kind": WaitKind.ACTIVITY_RUNNING, "message": message, **more})


def _elsewhere(wait: Wait, which: str, retry: AttemptEnded) -> Wait:
    """Say that an attempt goes on outside of workers, until somebody completes it or its time is up."""
    message = f"{which} goes on outside of workers; whoever has its token completes it before {wire_time(retry.due_at)}"
    return _running(wait, message, since=retry.recorded_at, until=retry.due_at, actor=Actor.CALLER)


def _backing_off(wait: Wait, retry: AttemptEnded, last: FailedAttempt | None) -> Wait:
    failed = retry.attempt - 1
    why = f": {describe_failure(last.failure)}" if last else ""
    message = (
        f"activity {wait.name!r} failed at attempt {failed} of {wait.max_attempts}{why}; "
        f"attempt {retry.attempt} begins at {wire_time(retry.due_at)}"
    )
    changed = {
        "kind": WaitKind.ACTIVITY_FAILING,
        "message": message,
        "since": last.at if last else retry.recorded_at,
        "until": retry.due_at,
        "attempt": failed,
        "actor": Actor.NOBODY,
        "remedies": (Remedy.RETRY, *wait.remedies),
    }
    return wait.model_copy(update=changed)


# --- timers, children, conditions -------------------------------------------------------------------------------------


def _timer(run: Observed, timer: TimerStarted) -> Wait:
    return Wait(
        kind=WaitKind.TIMER,
        message=f"timer {timer.seq}, a sleep or a timeout, fires at {wire_time(timer.fire_at)}",
        since=run.asked_at.get(timer.seq),
        until=timer.fire_at,
        seq=timer.seq,
        actor=Actor.NOBODY,
        remedies=(Remedy.SKIP,),
    )


def _child(run: Observed, seq: int, child: OpenChild) -> Wait:
    scheduled = child.scheduled
    begun = "has started" if child.state is ChildState.STARTED else "was asked for"
    return Wait(
        kind=WaitKind.CHILD,
        message=f"child {scheduled.execution_id!r} of workflow {scheduled.workflow_name!r} {begun}, and has not ended",
        since=run.asked_at.get(seq),
        seq=seq,
        name=scheduled.workflow_name,
        child_execution_id=scheduled.execution_id,
        actor=Actor.WORKER,
        remedies=(Remedy.COMPLETE, Remedy.FAIL),
    )


def _condition(run: Observed, *, may_only: bool) -> Wait:
    """Say that the code waits for its own state to change. may_only: a timer is open, which may be all that it waits for."""
    since = max([run.started_at, *run.facts_at.values()])
    handlers = [
        f"{kind} {', '.join(names)}" for kind, names in (("signals", run.signals), ("updates", run.updates)) if names
    ]
    if not handlers:
        message = "its code waits for a condition that no signal, update or timer can change: cancel it, or change the code"
        return Wait(
            kind=WaitKind.CONDITION,
            message=message,
            since=since,
            signals=(),
            updates=(),
            actor=Actor.DEVELOPER,
            remedies=(Remedy.RESET,),
        )
    may = "its code may wait for a message, too" if may_only else "its code waits for a message"
    return Wait(
        kind=WaitKind.CONDITION,
        message=f"{may}: it takes {' and '.join(handlers)}",
        since=since,
        signals=run.signals,
        updates=run.updates,
        actor=Actor.CALLER,
    )
