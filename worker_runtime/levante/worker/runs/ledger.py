"""A run with its live code, the open work that its history says, and what is not recorded yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import assert_never

from levante.replay.run import WorkflowRun
from levante.worker.activities.attempt_end import AttemptEnd, Deferred, Failed, Stopped, Succeeded
from levante.worker.context import WorkerContext
from levante.worker.runs.history_size import ADVICE_SHARE, warn_of
from levante_core.protocol import (
    ACTIVITY_CANCELED,
    CLOSINGS,
    MOST_BYTES,
    MOST_PLACES,
    OUTCOMES,
    RUN_MESSAGES,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityHandedOver,
    ActivityScheduled,
    ActivityState,
    ChildScheduled,
    ChildSignaled,
    CodeFailed,
    Command,
    ExecutionContinuedAsNew,
    Fact,
    FactTaken,
    Failure,
    FailureKind,
    GiveUp,
    HandlersUnfinished,
    HistoryEvent,
    HistoryGrewLarge,
    HistorySize,
    Input,
    MessagesTaken,
    Outcome,
    RetryAfter,
    RunMessage,
    RunState,
    SearchKeys,
    SearchKeysChanged,
    UpdateCompleted,
    UpdateFailed,
    after_failure,
    closing_event,
    once_asked_to_end,
)

OWNER_LOST = Failure(
    kind=FailureKind.WORKER_LOST,
    type="WorkerLost",
    message="the worker that ran this attempt in place is gone",
)
STOPPED = Failure(kind=FailureKind.WORKER_LOST, type="WorkerStopped", message="the worker was told to stop")
NOTHING_OPEN = MOST_PLACES
"""Above every seq: no outcome is of interest."""

AWAITED = (*CLOSINGS, UpdateCompleted, UpdateFailed, ChildScheduled, ChildSignaled)
"""Commands that somebody waits for: they are recorded at once."""


class RunLedger:
    """Bookkeeping between the code of a run and its history.

    lacks_messages: some came before what was accepted before them. lacks_history: an outcome came of what this run has not
    asked for, or not any more; another worker may have advanced it since.

    has_lost: a worker may be lost that had begun the run, and nothing is recorded yet. may_run_in_place: whether this worker
    is sure to be the one that goes on, and takes on more. to_start: activities claimed but not started; they may start as
    soon as no input is unrecorded, for then everything that led to them is. recorded_bytes: see `history_size`.
    token: lets commit the next batch.
    """

    def __init__(
        self, code: WorkflowRun, state: RunState, context: WorkerContext, token: str, recorded_bytes: int = 0
    ) -> None:
        self.code = code
        self.token = token
        self.state = state
        self.pending: list[HistoryEvent] = []
        self.to_start: list[int] = []
        self.has_inputs = False
        self.is_urgent = False
        self.lacks_messages = False
        self.lacks_history = False
        self.has_lost = False
        self.may_run_in_place = False
        self._context = context
        self._facts: dict[str, Input] = {}
        self._lost = 0
        self._bytes = recorded_bytes
        self._share = 0.0

    @property
    def size(self) -> HistorySize:
        """How large the history is, about: with the events that are pending, and the bytes that are recorded."""
        return HistorySize(events=self.code.events, bytes=self._bytes)

    @property
    def changed_search_keys(self) -> SearchKeys | None:
        """The search keys of the execution, if what is pending changes them."""
        return self.code.search_keys if any(isinstance(one, SearchKeysChanged) for one in self.pending) else None

    @property
    def next_index(self) -> int:
        """Index of the batch that is being made."""
        return self.state.last_index + 1

    @property
    def is_closing(self) -> bool:
        """Whether the run ends with what is pending."""
        return closing_event(self.pending) is not None

    @property
    def open_from(self) -> int:
        """Lowest seq whose outcome is still of interest."""
        return min([*self.state.activities, *self.state.timers, *self.state.children], default=NOTHING_OPEN)

    @property
    def open_children(self) -> dict[int, str]:
        """Execution ids of the open children, by the seq of the command that asked for them."""
        return {seq: child.scheduled.execution_id for seq, child in self.state.children.items()}

    @property
    def ends_in_place(self) -> list[HistoryEvent]:
        """How attempts in place ended, of what is pending."""
        return [event for event in self.pending if isinstance(event, (*OUTCOMES, ActivityHandedOver))]

    @property
    def next_timer_at(self) -> datetime | None:
        """When the first open timer is due."""
        return min((timer.fire_at for timer in self.state.timers.values()), default=None)

    def begin(self, facts: Iterable[Fact] = (), *, lost_at: datetime | None = None) -> None:
        """Start the code, with the messages that are among these facts.

        lost_at: when it was noticed that a worker is lost that may have run in place what the code asks for, all unrecorded.
        That counts as one attempt of each activity; those that have no other, and whose outcome is not among these facts,
        are recorded as failed at this time.
        """
        facts = tuple(facts)
        messages = self._next_messages(facts)
        if messages:
            self._append(MessagesTaken(until=messages[-1].number))
            self.has_inputs = True
        if lost_at is None:
            self.ask(self.code.begin(messages))
            return
        self.has_lost = True
        self._lost = 1
        self.ask(self.code.begin(messages))
        self._lost = 0
        ended = {fact.input.seq for fact in facts if isinstance(fact.input, OUTCOMES)}
        for seq, activity in list(self.state.activities.items()):
            if activity.scheduled.options.retry.max_attempts == 1 and seq not in ended:
                self.resolve(ActivityFailed(seq=seq, at=lost_at, failure=OWNER_LOST))

    def take(self, facts: Iterable[Fact]) -> None:
        """Take facts into history, unless they are void or taken already: messages at once, then outcomes one by one.

        A message waits for those that were accepted before it.
        """
        facts = tuple(facts)
        messages = self._next_messages(facts)
        if messages and not self.is_closing:
            self._append(MessagesTaken(until=messages[-1].number))
            self.has_inputs = True
            self.ask(self.code.receive(messages))
        self.lacks_history = False
        for fact in facts:
            if not isinstance(fact.input, OUTCOMES) or fact.key in self.state.taken:
                continue
            if self.state.is_void(fact.input):
                self.lacks_history = True
                continue
            self._facts[fact.key] = fact.input
            self._input(FactTaken(fact=fact.key), fact.input)

    def _next_messages(self, facts: Iterable[Fact]) -> list[RunMessage]:
        """Return the messages that come next, in order."""
        numbered = {fact.input.number: fact for fact in facts if isinstance(fact.input, RUN_MESSAGES)}
        messages: list[RunMessage] = []
        while (fact := numbered.get(self.state.mail_taken + len(messages) + 1)) and isinstance(fact.input, RUN_MESSAGES):
            self._facts[fact.key] = fact.input
            messages.append(fact.input)
        self.lacks_messages = max(numbered, default=0) > self.state.mail_taken + len(messages)
        return messages

    def resolve(self, outcome: Outcome) -> None:
        """Record an outcome that this worker brought about itself, unless it is void."""
        if not self.state.is_void(outcome):
            self._input(outcome, outcome)

    def settle(self, seq: int, end: AttemptEnd, at: datetime) -> int:
        """Record how an attempt in place ended. Returns how many bytes it brings."""
        match end:
            case Succeeded(result, _, size_bytes):
                self.resolve(ActivityCompleted(seq=seq, at=at, result=result))
                return size_bytes
            case Failed(failure):
                self.retry(seq, failure, at)
            case Deferred():
                self.defer(seq)
            case Stopped():
                self.stopped(seq, STOPPED)
            case _:
                assert_never(end)
        return 0

    def regain(self, event: HistoryEvent) -> None:
        """Take in once more how an attempt in place ended, which was not recorded with the batch that was refused."""
        match event:
            case ActivityHandedOver(activity=seq):
                if seq in self._claimed() and not self.state.activities[seq].is_cancel_requested:
                    self._hand_over(seq, event.attempt, event.delay_seconds, event.failure)
            case _:
                if isinstance(event, OUTCOMES):
                    self.resolve(event)

    def ask(self, commands: Iterable[Command]) -> None:
        """Note what the code asked for."""
        for command in commands:
            if isinstance(command, ActivityScheduled) and not self.code.is_over:
                self._append(self._assigned(command))
            else:
                if isinstance(command, CLOSINGS) and self.code.unfinished_handlers:
                    self._append(HandlersUnfinished(handlers=self.code.unfinished_handlers))
                self.is_urgent |= isinstance(command, AWAITED)
                self._append(self._addressed(command))

    def fail(self, failure: Failure, unseen: Mapping[int, AttemptEnd], at: datetime) -> None:
        """The code failed over the last input. unseen: how attempts in place ended that it did not see any more, by seq.

        What else was claimed goes to the queue, and no attempt of it counts: nothing runs in place until the code is fixed.
        """
        self._append(CodeFailed(failure=failure))
        for seq, end in unseen.items():
            match end:
                case Succeeded(result):
                    self._note(ActivityCompleted(seq=seq, at=at, result=result))
                case Failed(why):
                    self._follow(seq, why, at, self._note)
                case Deferred():
                    self._leave(seq, None, self._note)
                case Stopped():
                    pass  # given up with the other claims
                case _:
                    assert_never(end)
        for seq in self._claimed():
            self._leave(seq, failure, self._note)
        self.to_start.clear()

    def retry(self, seq: int, failure: Failure, at: datetime) -> None:
        """An attempt made in place failed: let the queue make the next one, or record that there is none."""
        self._follow(seq, failure, at, self.resolve)

    def _follow(self, seq: int, failure: Failure, at: datetime, record: Callable[[Outcome], None]) -> None:
        activity = self.state.activities.get(seq)
        if activity is None or self.is_closing:
            return
        decision = after_failure(activity.scheduled.options.retry, activity.attempt, failure)
        match decision:
            case RetryAfter(attempt, delay) if not activity.is_cancel_requested:
                self._hand_over(seq, attempt, delay.total_seconds(), failure)
            case RetryAfter() | GiveUp():
                final = once_asked_to_end(failure) if activity.is_cancel_requested else failure
                record(ActivityFailed(seq=seq, at=at, failure=final, attempt=activity.attempt))
            case _:
                assert_never(decision)

    def _note(self, outcome: Outcome) -> None:
        """Record an outcome that the code does not see until it is replayed."""
        if not self.state.is_void(outcome):
            self._append(outcome)

    def defer(self, seq: int) -> None:
        """An attempt made in place goes on elsewhere: it is claimed no longer."""
        self._leave(seq, None, self.resolve)

    def leave_unbegun(self, at: datetime) -> None:
        """Record of activities that were claimed, and are asked to end before they began, that they did."""
        for seq in list(self.to_start):
            activity = self.state.activities.get(seq)
            if activity and activity.is_cancel_requested:
                self.to_start.remove(seq)
                self.resolve(ActivityFailed(seq=seq, at=at, failure=ACTIVITY_CANCELED))

    def stopped(self, seq: int, failure: Failure) -> None:
        """An attempt made in place was stopped on purpose: let the queue make it anew; it does not count."""
        if not self.is_closing:
            self._leave(seq, failure, self.resolve)

    def _leave(self, seq: int, failure: Failure | None, record: Callable[[Outcome], None]) -> None:
        """Let others make, or end, the attempt that is current. One that is asked to end is over by that."""
        activity = self.state.activities.get(seq)
        if activity and activity.is_cancel_requested:
            record(ActivityFailed(seq=seq, at=self._context.now(), failure=ACTIVITY_CANCELED, attempt=activity.attempt))
        elif activity:
            self._hand_over(seq, activity.attempt, 0.0, failure)

    def give_up_claims(self, failure: Failure, at: datetime | None) -> None:
        """Let the queue carry on with everything that is run in place.

        at: count the attempts that ran as failed at this time; None where they were stopped on purpose and do not count.
        """
        for seq in self._claimed():
            if at is None:
                self.stopped(seq, failure)
            else:
                self.retry(seq, failure, at)
        self.to_start.clear()

    def _claimed(self) -> list[int]:
        activities = self.state.activities.items() if not self.is_closing else ()
        return [seq for seq, activity in activities if activity.state is ActivityState.OWNED]

    def recorded(self, size_bytes: int, token: str) -> None:
        """Everything pending is recorded, and took so many bytes. token: lets commit what follows."""
        self.token = token
        self._bytes += size_bytes + sum(len(fact.model_dump_json()) for fact in self._facts.values())
        warn_of(self.code.execution_id, self.size, self._share)
        self._share = self.size.share
        self.state.last_index = self.next_index
        self.pending.clear()
        self._facts.clear()
        self.has_inputs = self.is_urgent = self.has_lost = False

    def _input(self, event: HistoryEvent, outcome: Outcome) -> None:
        """Tell the code something; once it has ended, nothing more can be told to it."""
        if not self.is_closing:
            self._append(event)
            self.has_inputs = True
            self.ask(self.code.apply(outcome))

    def _append(self, event: HistoryEvent) -> None:
        is_first = not self.pending and not self.code.has_large_history
        if is_first and self._bytes >= ADVICE_SHARE * MOST_BYTES:
            self.code.has_large_history = True
            self._append(HistoryGrewLarge())
        self.state.apply(event, self.next_index, self._facts)
        self.pending.append(event)

    def _assigned(self, command: ActivityScheduled) -> ActivityScheduled:
        owner = self._context.worker_id if self._claims(command) else None
        if owner:
            self.to_start.append(command.seq)
        else:
            self.is_urgent = True
        options = self._context.with_defaults(command.options)
        attempt = min(1 + self._lost, options.retry.max_attempts)
        return command.model_copy(update={"owner": owner, "options": options, "attempt": attempt})

    def _claims(self, activity: ActivityScheduled) -> bool:
        runner, claimed = self._context.runner, len(self.to_start)
        return self.may_run_in_place and runner.runs_in_place(activity.name, activity.options, claimed)

    def _addressed(self, command: Command) -> Command:
        """Say of a run that is continued how many of its messages it has taken; of a cancelled activity, where it is."""
        match command:
            case ExecutionContinuedAsNew():
                return command.model_copy(update={"mail_taken": self.state.mail_taken})
            case ActivityCancelRequested():
                activity = self.state.activities.get(command.activity)
                is_queued = activity is not None and activity.state is ActivityState.QUEUED
                return command.model_copy(update={"is_queued": is_queued})
            case _:
                return command

    def _hand_over(self, seq: int, attempt: int, delay_seconds: float, failure: Failure | None) -> None:
        activity = self.state.activities[seq]
        self.is_urgent = True
        self._append(
            ActivityHandedOver(
                activity=seq,
                scheduled_in=activity.batch_index,
                attempt=attempt,
                delay_seconds=delay_seconds,
                failure=failure,
                session=activity.scheduled.options.session,
            )
        )
