"""What people do by hand to the open work of executions: outcomes are given, timers fire, attempts begin at once.

Each is one conditional write of what the engine itself would have written, so that the first outcome wins, and the code sees
an ordinary one. Beside it stands who did it, when and why.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from levante_core.domain.activities.retry import FailedAttempt
from levante_core.domain.dispatch.plan import AttemptEnded, FactRecorded, OpenWork
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Json, wire_time
from levante_core.domain.history.events import (
    ActivityCompleted,
    ActivityFailed,
    ChildCompleted,
    ChildFailed,
    Outcome,
    TimerFired,
)
from levante_core.domain.history.transitions import ActivityState, ExecutionStatus
from levante_core.domain.names import Workspace
from levante_core.errors import NotApplicable, NotFound, Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Matches, Put, Query
from levante_core.ports.surroundings import Clock
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.lookup import find_open_run
from levante_core.services.history.loading import History, failed_in_place, open_work, read_all, read_history
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_item, attempt_of, by_hand_of, failed_attempts, noted_by_hand
from levante_core.storage.catalogue import ApiKey
from levante_core.storage.runs import Recorded, RunSummary, fact_item, fact_of, outcome_fact

FAILED_BY_HAND = "FailedByHand"
"""Type of a failure for which nobody has named another."""
MOST_SHOWN = 20
"""Numbers of open commands that an error lists."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the latest run of an execution, and who wants to do something about it. reason: why, for people."""

    workspace: Workspace
    execution_id: str
    seq: int
    key: ApiKey
    reason: str | None = None

    def by_hand(self, at: datetime) -> ByHand:
        """Say who does it."""
        return self.key.by_hand(at, self.reason)


class InterventionService:
    """Repairs executions by hand.

    Everything may be repeated: what is done already is not done twice. All methods raise: NotFound for an execution or a
    command that is not there; NotRunning; NotApplicable for what cannot be done as things stand; Unavailable.
    Cost: two reads, the history, and one write.
    """

    def __init__(self, store: ItemStore, clock: Clock, *, dispatch: Dispatch, conflicts: Conflicts) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._conflicts = conflicts

    # --- outcomes -----------------------------------------------------------------------------------------------------

    def complete_activity(self, command: Command, result: Json) -> None:
        """Give an activity a result. A running attempt stops at its next heartbeat; its outcome changes nothing."""
        self._record(command, "activity", lambda at: ActivityCompleted(seq=command.seq, at=at, result=result))

    def fail_activity(self, command: Command, message: str, kind: str | None = None) -> None:
        """Let an activity fail for good. kind: type of the failure. The rest as `complete_activity`."""
        failure = _failure(message, kind)
        self._record(command, "activity", lambda at: ActivityFailed(seq=command.seq, at=at, failure=failure))

    def skip_timer(self, command: Command) -> None:
        """Let a timer fire now: a sleep is over, a timeout has passed."""
        self._record(command, "timer", lambda at: TimerFired(seq=command.seq, at=at))

    def complete_child(self, command: Command, result: Json) -> None:
        """Give the parent a result of a child, which itself goes on if it is open."""
        self._record(command, "child", lambda at: ChildCompleted(seq=command.seq, at=at, result=result))

    def fail_child(self, command: Command, message: str, kind: str | None = None) -> None:
        """Let the parent see that a child has failed. The rest as `complete_child` and `fail_activity`."""
        failure, status = _failure(message, kind), ExecutionStatus.FAILED
        self._record(command, "child", lambda at: ChildFailed(seq=command.seq, at=at, failure=failure, status=status))

    def _record(self, command: Command, what: str, make: Callable[[datetime], Outcome]) -> None:
        """Record an outcome, unless there is one; the same one, if it was given by hand before, is as good."""
        run = find_open_run(self._store, command.workspace, command.execution_id)
        now, where = self._clock.now(), keys.fact(run.key, keys.outcome_fact(command.seq))
        outcome, recorded = make(now), self._store.get(where)
        if recorded is None:
            _, work = self._open_work(run)
            _require_open(what, command.seq, work)
            fact = outcome_fact(_with_attempt(outcome, work))
            item = noted_by_hand(fact_item(Recorded(run.key, run.pool, now), fact), command.by_hand(now))
            try:
                self._store.write(Put(item, Absent()))
            except ConditionFailed:
                recorded = self._store.get(where)
            else:
                self._dispatch.dispatch_now([FactRecorded(run.key, run.pool, now, fact)])
        if recorded is not None:
            _require_same(recorded, outcome)

    # --- attempts -----------------------------------------------------------------------------------------------------

    def retry_activity(self, command: Command) -> None:
        """Let the next attempt of an activity that has failed begin now; one that is due already is left alone."""
        for _ in self._conflicts.attempts():
            run = find_open_run(self._store, command.workspace, command.execution_id)
            history, work = self._open_work(run)
            _refuse_paused(command.execution_id, work)
            retry, now = _retry(work, command.seq), self._clock.now()
            if retry.due_at <= now or self._begin_now(run, history, work, retry, command.by_hand(now)):
                return
        raise Unavailable(f"activity {command.seq} of execution {command.execution_id!r} changes too fast: try again")

    def retry_failing(self, workspace: Workspace, execution_id: str, by_hand: ByHand) -> None:
        """Let the next attempts of all activities that have failed begin now, of each once for the same key and reason.

        by_hand: by whom, and why; its time is set here. Raises: NotApplicable if no activity waits for another attempt.
        Cost: as `retry_activity`, and a read and a write for each activity after the first one.
        """
        for _ in self._conflicts.attempts():
            run = find_open_run(self._store, workspace, execution_id)
            (history, work), now = self._open_work(run), self._clock.now()
            _refuse_paused(execution_id, work)
            failing = [retry for retry in map(partial(_retry_if_any, work), sorted(work.retries)) if retry]
            done = {retry.seq for retry in failing if self._is_done(run, retry, by_hand)}
            waiting = [retry for retry in failing if retry.due_at > now and retry.seq not in done]
            if not done and not waiting:
                raise NotApplicable(f"no activity of execution {execution_id!r} waits for another attempt")
            noted = by_hand.model_copy(update={"at": now})
            if all(self._begin_now(run, history, work, retry, noted) for retry in waiting):
                return
        raise Unavailable(f"the activities of execution {execution_id!r} change too fast: try again")

    def _begin_now(self, run: RunSummary, history: History, work: OpenWork, retry: AttemptEnded, by_hand: ByHand) -> bool:
        """Let an attempt begin now; nothing happens, and the answer is no, if it has changed meanwhile."""
        now, item = by_hand.at, self._store.get(keys.attempt(run.key, retry.seq))
        session = work.state.activities[retry.seq].scheduled.options.session
        following = replace(retry, pool=run.pool.for_session(session), recorded_at=now, due_at=now)
        failed = _noted(failed_attempts(item) if item else _in_place(history, retry.seq), by_hand)
        recorded = Recorded(run.key, following.pool, now)
        unchanged = Matches({"attempt": retry.attempt, "due_at": wire_time(retry.due_at)}) if item else Absent()
        try:
            self._store.write(Put(attempt_item(recorded, following, failed), unchanged))
        except ConditionFailed:
            return False
        self._dispatch.dispatch_now([following])
        return True

    def _is_done(self, run: RunSummary, retry: AttemptEnded, by_hand: ByHand) -> bool:
        """Tell whether this was retried before by the same key, for the same reason."""
        item = self._store.get(keys.attempt(run.key, retry.seq))
        notes = [attempt.retried_by_hand for attempt in failed_attempts(item)] if item else []
        return any(note and (note.key_id, note.reason) == (by_hand.key_id, by_hand.reason) for note in notes)

    def _open_work(self, run: RunSummary) -> tuple[History, OpenWork]:
        history = read_history(self._store, run.key)
        first, last = keys.prefixed(keys.ATTEMPT)
        attempts = read_all(self._store, Query(keys.history(run.key.workspace, run.key.run_id), first=first, last=last))
        return history, open_work(history, map(attempt_of, attempts), run.key, run.pool)


def _failure(message: str, kind: str | None) -> Failure:
    return Failure(message=message, type=kind or FAILED_BY_HAND, non_retryable=True)


def _require_open(what: str, seq: int, work: OpenWork) -> None:
    """Check that a command of this kind and number is open. Raises: NotFound, which says what is."""
    state = work.state
    kinds: Mapping[str, Collection[int]] = {
        "activity": state.activities,
        "timer": state.timers,
        "child": state.children,
    }
    if seq in kinds[what]:
        return
    other = next((kind for kind, found in kinds.items() if seq in found), None)
    if other:
        raise NotFound(f"command {seq} is no {what}, but of kind {other}: repair it as such")
    shown = ", ".join(map(str, sorted(kinds[what])[:MOST_SHOWN])) or "none"
    raise NotFound(f"no {what} {seq} is open, it has ended or was never asked for; of this kind are open: {shown}")


def _with_attempt(outcome: Outcome, work: OpenWork) -> Outcome:
    """Say of an activity that fails which attempt was the last one."""
    if not isinstance(outcome, ActivityFailed):
        return outcome
    retry = work.retries.get(outcome.seq)
    attempt = retry.attempt if retry else work.state.activities[outcome.seq].attempt
    return outcome.model_copy(update={"attempt": attempt})


def _require_same(item: Item, outcome: Outcome) -> None:
    """Check that what is recorded was given by hand, and is the same. Raises: NotApplicable."""
    recorded = fact_of(item).input
    beside = {"at", "attempt"}
    is_same = recorded.model_dump(exclude=beside) == outcome.model_dump(exclude=beside)
    if by_hand_of(item) is None or not is_same:
        raise NotApplicable(
            f"command {outcome.seq} has an outcome already ({recorded.kind}), and the first one counts: "
            "reset the execution to an event before it, if it has to be another one"
        )


def _retry(work: OpenWork, seq: int) -> AttemptEnded:
    """Return the attempt that comes next. Raises: NotFound, NotApplicable if none waits."""
    _require_open("activity", seq, work)
    activity = work.state.activities[seq]
    if any(fact.key == keys.outcome_fact(seq) for fact in work.untaken):
        raise NotApplicable(f"activity {seq} has ended, and a worker is yet to take that in: there is nothing to retry")
    if activity.is_cancel_requested:
        raise NotApplicable(f"activity {seq} is asked to end: no other attempt of it is made")
    retry = work.retries.get(seq)
    if activity.state is ActivityState.OWNED or retry is None or retry.attempt == 1:
        raise NotApplicable(
            f"attempt {activity.attempt} of activity {seq} has not failed, it is queued or runs: "
            "complete the activity or let it fail by hand, if it cannot end otherwise"
        )
    if retry.is_deferred:
        raise NotApplicable(f"attempt {retry.attempt} of activity {seq} goes on elsewhere: complete it or let it fail")
    return retry


def _refuse_paused(execution_id: str, work: OpenWork) -> None:
    if work.state.paused:
        raise NotApplicable(f"execution {execution_id!r} is paused: its attempts begin when it is resumed")


def _retry_if_any(work: OpenWork, seq: int) -> AttemptEnded | None:
    """Return the attempt that may begin now; None if there is none."""
    with suppress(NotFound, NotApplicable):
        return _retry(work, seq)
    return None


def _in_place(history: History, seq: int) -> Sequence[FailedAttempt]:
    """Return how the attempt in place ended that the queue follows."""
    return [failed for failed in failed_in_place(history) if failed.seq == seq]


def _noted(failed: Sequence[FailedAttempt], by_hand: ByHand) -> Sequence[FailedAttempt]:
    """Note at the attempt that failed last who has let the next one begin."""
    return [*failed[:-1], *(one.model_copy(update={"retried_by_hand": by_hand}) for one in failed[-1:])]
