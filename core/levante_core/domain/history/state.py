"""What a history says about the work that is still open: one fold over its events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeAlias, assert_never

from pydantic import Field

from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.search_keys import SearchKeysChanged
from levante_core.domain.frozen import Frozen
from levante_core.domain.history.events import (
    CLOSINGS,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    Answer,
    ChildCancelRequested,
    ChildCompleted,
    ChildFailed,
    ChildOutcome,
    ChildScheduled,
    ChildSignaled,
    ChildStarted,
    Closing,
    ExecutionTerminated,
    ExecutionTimedOut,
    FactTaken,
    HistoryEvent,
    Input,
    MessagesTaken,
    Outcome,
    PatchRecorded,
    TaskPublished,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    UpdateCompleted,
    UpdateFailed,
)
from levante_core.domain.history.notes import (
    NOTES,
    ActivityHandedOver,
    CodeFailed,
    ExecutionPaused,
    ExecutionResumed,
    HandlersUnfinished,
    HistoryGrewLarge,
)
from levante_core.domain.history.run_messages import (
    RUN_MESSAGES,
    CancelRequested,
    RunMessage,
    SignalReceived,
    UpdateRequested,
    message_key,
)
from levante_core.domain.history.transitions import (
    ACTIVITY,
    CHILD,
    EXECUTION,
    TIMER,
    ActivityState,
    ChildState,
    ExecutionStatus,
    TimerState,
    step,
)
from levante_core.domain.numbers import Seq
from levante_core.errors import InconsistentHistory

MAY_FOLLOW_PAUSE = (*NOTES, ExecutionTerminated, ExecutionTimedOut)
"""What may be recorded of a run that is paused: how it ends from outside, and where the attempts in place have gone."""
MOST_EVENTS = 51_200
MOST_BYTES = 50 * 1024 * 1024
"""So much a history may hold (REST contract §1.5). A run that would have more is terminated."""


class HistorySize(Frozen):
    """What a history holds: its events, and its batches and facts as JSON."""

    events: int = 0
    """How many events it has."""
    bytes: int = 0
    """Size of its batches and facts as JSON."""

    @property
    def share(self) -> float:
        """How much of what a history may hold; 1 is all."""
        return max(self.events / MOST_EVENTS, self.bytes / MOST_BYTES)


class HistoryBatch(Frozen):
    """What one commit appends."""

    index: Seq
    """Place of the batch in the history; the start is 0."""
    commit_id: Annotated[str, Field(max_length=256)]
    """Id of the commit: it tells a repeat from another writer's."""
    events: tuple[HistoryEvent, ...]
    """The events that it appends, in order."""


def closing_event(events: Sequence[HistoryEvent]) -> Closing | None:
    """Return the event that ends the run, which can only be the last one. Raises: InconsistentHistory."""
    for position, event in enumerate(events):
        if isinstance(event, CLOSINGS):
            if position != len(events) - 1:
                raise InconsistentHistory(f"{events[position + 1].kind} follows the closing event {event.kind}")
            return event
    return None


@dataclass(slots=True)
class OpenActivity:
    """An activity without an outcome. attempt: the one that is running or comes next.

    is_cancel_requested: it is asked to end, and whoever asked waits for how it does.
    """

    scheduled: ActivityScheduled
    batch_index: int
    state: ActivityState
    attempt: int
    is_cancel_requested: bool = False


_WorkEvent: TypeAlias = (
    ActivityScheduled
    | ActivityCancelRequested
    | TimerStarted
    | TimerCanceled
    | ChildScheduled
    | ChildCancelRequested
    | ChildSignaled
    | TaskPublished
    | PatchRecorded
    | SearchKeysChanged
    | Answer
    | Outcome
    | ActivityHandedOver
    | CodeFailed
    | HandlersUnfinished
    | HistoryGrewLarge
)
"""Events about single pieces of work."""


@dataclass(slots=True)
class OpenChild:
    """A child without an end. is_cancel_requested: see OpenActivity."""

    scheduled: ChildScheduled
    state: ChildState = ChildState.SCHEDULED
    is_cancel_requested: bool = False


@dataclass(slots=True)
class RunState:
    """The open work of a run after the events applied so far. `facts`: what was seen of the facts, by key.

    updates: numbers of those without an answer. mail_taken: number of the last message taken. paused: since when the run
    is, by whom; None if it is not. has_begun: a worker has recorded something.
    """

    status: ExecutionStatus = ExecutionStatus.RUNNING
    last_index: int = 0
    activities: dict[int, OpenActivity] = field(default_factory=dict)
    timers: dict[int, TimerStarted] = field(default_factory=dict)
    children: dict[int, OpenChild] = field(default_factory=dict)
    updates: set[int] = field(default_factory=set)
    mail_taken: int = 0
    taken: set[str] = field(default_factory=set)
    paused: ByHand | None = None
    has_begun: bool = False

    def append(self, batch: HistoryBatch, facts: Mapping[str, Input]) -> None:
        """Apply the next batch. `facts` must hold what the batch takes. Raises: InconsistentHistory."""
        if batch.index != self.last_index + 1:
            raise InconsistentHistory(f"batch {batch.index} follows batch {self.last_index}")
        for event in batch.events:
            self.apply(event, batch.index, facts)
        self.last_index = batch.index

    def is_void(self, event: Input) -> bool:
        """Whether history already resolves what this would resolve, for the first answer counts, or has this message."""
        match event:
            case TimerFired():
                return event.seq not in self.timers
            case ActivityCompleted() | ActivityFailed():
                return event.seq not in self.activities
            case ChildStarted():
                child = self.children.get(event.seq)
                return child is None or child.state is not ChildState.SCHEDULED
            case ChildCompleted() | ChildFailed():
                return event.seq not in self.children
            case SignalReceived() | UpdateRequested() | CancelRequested():
                return event.number <= self.mail_taken
            case _:
                assert_never(event)

    def apply(self, event: HistoryEvent, batch_index: int, facts: Mapping[str, Input]) -> None:
        """Apply one event of the batch with this index."""
        if self.status is not ExecutionStatus.RUNNING:
            raise InconsistentHistory(f"{event.kind} follows the end of the run")
        if self.paused and not isinstance(event, MAY_FOLLOW_PAUSE):
            raise InconsistentHistory(f"{event.kind} was recorded while the run was paused")
        self.has_begun |= not isinstance(event, (ExecutionPaused, ExecutionResumed))
        if isinstance(event, CLOSINGS):
            self.status = step(EXECUTION, self.status, event.kind)
        elif isinstance(event, ExecutionPaused | ExecutionResumed):
            self.paused = event.by_hand if isinstance(event, ExecutionPaused) else None
        elif isinstance(event, FactTaken):
            self._take(event.fact, batch_index, facts)
        elif isinstance(event, MessagesTaken):
            self._receive(event.until, facts)
        else:
            self._advance(event, batch_index)

    def _advance(self, event: _WorkEvent, batch_index: int) -> None:
        match event:
            case ActivityScheduled():
                state = ActivityState.OWNED if event.owner else ActivityState.QUEUED
                self.activities[event.seq] = OpenActivity(event, batch_index, state, event.attempt)
            case ActivityHandedOver():
                activity = self._activity(event.activity)
                activity.state = step(ACTIVITY, activity.state, event.kind)
                activity.attempt = event.attempt
            case ActivityCancelRequested(is_awaited=True):
                self._activity(event.activity).is_cancel_requested = True
            case TimerStarted():
                self.timers[event.seq] = event
            case ActivityCompleted() | ActivityFailed() | ActivityCancelRequested() | TimerFired() | TimerCanceled():
                self._end(event)
            case ChildScheduled():
                self.children[event.seq] = OpenChild(event)
            case ChildStarted() | ChildCompleted() | ChildFailed() | ChildCancelRequested():
                self._move_child(event)
            case (
                CodeFailed()
                | HandlersUnfinished()
                | HistoryGrewLarge()
                | TaskPublished()
                | PatchRecorded()
                | SearchKeysChanged()
                | ChildSignaled()
            ):
                pass
            case UpdateCompleted() | UpdateFailed():
                self._answer(event)
            case _:
                assert_never(event)

    def _take(self, key: str, batch_index: int, facts: Mapping[str, Input]) -> None:
        event = fact_in(facts, key)
        self.taken.add(key)
        if isinstance(event, RUN_MESSAGES):
            raise InconsistentHistory(f"history takes message {event.number} as if it were an outcome")
        self.apply(event, batch_index, facts)

    def _receive(self, until: int, facts: Mapping[str, Input]) -> None:
        for message in messages_in(facts, self.mail_taken, until):
            self.taken.add(message_key(message.number))
            if isinstance(message, UpdateRequested):
                self.updates.add(message.number)
        self.mail_taken = until

    def _answer(self, answer: Answer) -> None:
        if answer.update not in self.updates:
            raise InconsistentHistory(f"{answer.kind}: no update {answer.update} waits for an answer")
        self.updates.remove(answer.update)

    def _activity(self, seq: int) -> OpenActivity:
        if seq not in self.activities:
            raise InconsistentHistory(f"no activity {seq} is open")
        return self.activities[seq]

    def _end(self, event: ActivityCompleted | ActivityFailed | TimerFired | ActivityCancelRequested | TimerCanceled) -> None:
        match event:
            case ActivityCompleted() | ActivityFailed():
                self._end_activity(event.seq, event.kind)
            case ActivityCancelRequested():
                self._end_activity(event.activity, event.kind)
            case TimerFired():
                self._end_timer(event.seq, event.kind)
            case TimerCanceled():
                self._end_timer(event.timer, event.kind)
            case _:
                assert_never(event)

    def _move_child(self, event: ChildOutcome | ChildCancelRequested) -> None:
        seq = event.child if isinstance(event, ChildCancelRequested) else event.seq
        if seq not in self.children:
            raise InconsistentHistory(f"no child {seq} is open")
        if isinstance(event, ChildCancelRequested) and event.is_awaited:
            self.children[seq].is_cancel_requested = True
            return
        state = step(CHILD, self.children[seq].state, event.kind)
        if state is ChildState.STARTED:
            self.children[seq].state = state
        else:
            del self.children[seq]

    def _end_activity(self, seq: int, kind: str) -> None:
        step(ACTIVITY, self._activity(seq).state, kind)
        del self.activities[seq]

    def _end_timer(self, seq: int, kind: str) -> None:
        if seq not in self.timers:
            raise InconsistentHistory(f"no timer {seq} is open")
        step(TIMER, TimerState.STARTED, kind)
        del self.timers[seq]


def fact_in(facts: Mapping[str, Input], key: str) -> Input:
    """Return a fact that is taken. Raises: InconsistentHistory if it is missing."""
    if key not in facts:
        raise InconsistentHistory(f"history takes fact {key}, which is not recorded")
    return facts[key]


def messages_in(facts: Mapping[str, Input], after: int, until: int) -> list[RunMessage]:
    """Return the messages that follow a number, up to another. Raises: InconsistentHistory if one is missing."""
    messages: list[RunMessage] = []
    for number in range(after + 1, until + 1):
        message = facts.get(message_key(number))
        if not isinstance(message, RUN_MESSAGES):
            raise InconsistentHistory(f"history takes message {number}, which is not recorded")
        messages.append(message)
    if not messages:
        raise InconsistentHistory(f"message {until} is taken after message {after}")
    return messages


def fold(batches: Iterable[HistoryBatch], facts: Mapping[str, Input]) -> RunState:
    """Read a whole history, batch 1 onwards. Raises: InconsistentHistory if it breaks a rule."""
    state = RunState()
    for batch in batches:
        state.append(batch, facts)
    return state
