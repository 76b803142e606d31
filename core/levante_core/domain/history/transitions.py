"""The state machines, as tables. What a table does not list is refused and changes nothing."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from levante_core.errors import InconsistentHistory


class ExecutionStatus(StrEnum):
    """Status of a run, as clients see it."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    TERMINATED = "TERMINATED"
    CONTINUED_AS_NEW = "CONTINUED_AS_NEW"
    TIMED_OUT = "TIMED_OUT"


FAILURES = frozenset({ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT})
"""How runs end that have not done what they were started for, though nobody wanted them to end."""


class ActivityState(StrEnum):
    """Where an activity stands in the history of its run."""

    OWNED = "owned"
    """A worker that holds the execution runs it in place."""
    QUEUED = "queued"
    """The activity queue carries it."""
    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Workflow code no longer waits for it."""


class TimerState(StrEnum):
    """Where a timer stands in the history of its run."""

    STARTED = "started"
    FIRED = "fired"
    CANCELED = "canceled"


class ChildState(StrEnum):
    """Where a child stands in the history of the run that asked for it."""

    SCHEDULED = "scheduled"
    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Workflow code no longer waits for it."""


EXECUTION: Mapping[tuple[ExecutionStatus, str], ExecutionStatus] = {
    (ExecutionStatus.RUNNING, "execution_completed"): ExecutionStatus.COMPLETED,
    (ExecutionStatus.RUNNING, "execution_failed"): ExecutionStatus.FAILED,
    (ExecutionStatus.RUNNING, "execution_canceled"): ExecutionStatus.CANCELED,
    (ExecutionStatus.RUNNING, "execution_continued_as_new"): ExecutionStatus.CONTINUED_AS_NEW,
    (ExecutionStatus.RUNNING, "execution_terminated"): ExecutionStatus.TERMINATED,
    (ExecutionStatus.RUNNING, "execution_timed_out"): ExecutionStatus.TIMED_OUT,
}

ACTIVITY: Mapping[tuple[ActivityState, str], ActivityState] = {
    (ActivityState.OWNED, "activity_completed"): ActivityState.COMPLETED,
    (ActivityState.OWNED, "activity_failed"): ActivityState.FAILED,
    (ActivityState.OWNED, "activity_handed_over"): ActivityState.QUEUED,
    (ActivityState.OWNED, "activity_cancel_requested"): ActivityState.ABANDONED,
    (ActivityState.QUEUED, "activity_completed"): ActivityState.COMPLETED,
    (ActivityState.QUEUED, "activity_failed"): ActivityState.FAILED,
    (ActivityState.QUEUED, "activity_cancel_requested"): ActivityState.ABANDONED,
}

TIMER: Mapping[tuple[TimerState, str], TimerState] = {
    (TimerState.STARTED, "timer_fired"): TimerState.FIRED,
    (TimerState.STARTED, "timer_canceled"): TimerState.CANCELED,
}

CHILD: Mapping[tuple[ChildState, str], ChildState] = {
    (ChildState.SCHEDULED, "child_started"): ChildState.STARTED,
    (ChildState.SCHEDULED, "child_completed"): ChildState.COMPLETED,
    (ChildState.SCHEDULED, "child_failed"): ChildState.FAILED,
    (ChildState.SCHEDULED, "child_cancel_requested"): ChildState.ABANDONED,
    (ChildState.STARTED, "child_completed"): ChildState.COMPLETED,
    (ChildState.STARTED, "child_failed"): ChildState.FAILED,
    (ChildState.STARTED, "child_cancel_requested"): ChildState.ABANDONED,
}

State = TypeVar("State", bound=StrEnum)


def step(table: Mapping[tuple[State, str], State], state: State, event_kind: str) -> State:
    """Return the state that the event leads to. Raises: InconsistentHistory for a transition that is not listed."""
    try:
        return table[state, event_kind]
    except KeyError:
        raise InconsistentHistory(f"{event_kind} cannot follow {type(state).__name__} {state.value}") from None
