"""History events: what is recorded of a run, in order, for ever.

Commands were asked for by workflow code; replay must ask for the same ones at the same places. Inputs are what workflow
code has learned; each is followed, in the same batch, by the commands that it led to. Notes concern dispatch alone, and
replay passes over them. The execution's start is batch 0; it is carried by the execution item, not by an event here.

`seq` numbers the commands of a run from 1 in the order in which workflow code asked for them, but for patches and search
keys, which later code may not ask for; `number` numbers its messages (signals, updates and requests to cancel) from 1 in the
order in which it was accepted.
"""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from levante_core.domain.activities.options import ActivityOptions
from levante_core.domain.executions.failure import Failure
from levante_core.domain.executions.search_keys import SearchKeysChanged
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.history.notes import Note
from levante_core.domain.history.run_messages import RunMessage
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.limits import LONGEST_SECONDS
from levante_core.domain.names import ExecutionId, RunId
from levante_core.domain.numbers import Number, Seq
from levante_core.domain.streams.custom_tasks import TaskEvent

# --- commands ---------------------------------------------------------------------------------------------------------


class ActivityScheduled(Frozen):
    """An activity was asked for."""

    kind: Literal["activity_scheduled"] = "activity_scheduled"
    seq: Seq
    name: str
    """Name of the activity."""
    input: Json
    """Input of the activity, as JSON."""
    options: ActivityOptions = ActivityOptions()
    """How it is to be run."""
    owner: str | None = None
    """The worker that runs it in place; null sends it to the activity queue."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """The first attempt still to be made: above 1 when a worker was lost that may have made one unrecorded."""


class ActivityCancelRequested(Frozen):
    """Workflow code no longer wants this activity, which is asked to end."""

    kind: Literal["activity_cancel_requested"] = "activity_cancel_requested"
    seq: Seq
    activity: Seq
    """Seq of the activity."""
    is_queued: bool = False
    """Whether some worker may have it from the activity queue."""
    is_awaited: bool = False
    """Whether the code goes on waiting for how it ends."""


class TimerStarted(Frozen):
    """A durable timer was started."""

    kind: Literal["timer_started"] = "timer_started"
    seq: Seq
    fire_at: Time
    """When it is due."""


class TimerCanceled(Frozen):
    """Workflow code no longer waits for this timer."""

    kind: Literal["timer_canceled"] = "timer_canceled"
    seq: Seq
    timer: Seq
    """Seq of the timer."""


class ParentClosePolicy(StrEnum):
    """What happens to a child when the run that started it ends first."""

    TERMINATE = "terminate"
    REQUEST_CANCEL = "request_cancel"
    ABANDON = "abandon"


class ChildScheduled(Frozen):
    """A child workflow was asked for."""

    kind: Literal["child_scheduled"] = "child_scheduled"
    seq: Seq
    workflow_name: str
    """Name of the child's workflow."""
    execution_id: ExecutionId
    """Id of the child's execution."""
    input: Json
    """Input of the child, as JSON."""
    close_policy: ParentClosePolicy
    """What becomes of the child when this run ends first."""
    is_awaited: bool = True
    """False lets the code know when the child has started, apart from how it ends."""
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)] | None = None
    """Timeout of the child's execution; null for what its workflow declares."""


class ChildCancelRequested(Frozen):
    """Workflow code no longer wants this child, which is asked to end."""

    kind: Literal["child_cancel_requested"] = "child_cancel_requested"
    seq: Seq
    child: Seq
    """Seq of the child."""
    execution_id: ExecutionId
    """Id of the child's execution."""
    is_awaited: bool = False
    """Whether the code goes on waiting for how it ends."""


class ChildSignaled(Frozen):
    """Workflow code sends a signal to one of its children."""

    kind: Literal["child_signaled"] = "child_signaled"
    seq: Seq
    child: Seq
    """Seq of the child."""
    execution_id: ExecutionId
    """Id of the child's execution."""
    name: str
    """Name of the signal."""
    input: Json
    """Input of the signal, as JSON."""


class TaskPublished(Frozen):
    """The workflow published an event of a custom task."""

    kind: Literal["task_published"] = "task_published"
    seq: Seq
    event: TaskEvent
    """The event."""


class PatchRecorded(Frozen):
    """The code took the new side of a change with this id."""

    kind: Literal["patch_recorded"] = "patch_recorded"
    patch_id: Annotated[str, Field(min_length=1, max_length=256)]
    """Id of the change."""
    is_deprecated: bool = False
    """Whether later code may no longer ask about it."""


class ExecutionCompleted(Frozen):
    """The workflow returned."""

    kind: Literal["execution_completed"] = "execution_completed"
    seq: Seq
    result: Json
    """What it returned, as JSON."""


class ExecutionFailed(Frozen):
    """The workflow raised an error that fails the execution."""

    kind: Literal["execution_failed"] = "execution_failed"
    seq: Seq
    failure: Failure
    """What went wrong."""


class ExecutionCanceled(Frozen):
    """The workflow ended because its cancellation was asked for."""

    kind: Literal["execution_canceled"] = "execution_canceled"
    seq: Seq


class ExecutionContinuedAsNew(Frozen):
    """The workflow goes on as a new run, with an empty history."""

    kind: Literal["execution_continued_as_new"] = "execution_continued_as_new"
    seq: Seq
    run_id: RunId
    """Id of the new run."""
    input: Json
    """Input of the new run, as JSON."""
    mail_taken: Annotated[int, Field(ge=0)] = 0
    """Number of the last message that this run has taken; what came later is the new run's."""


class UpdateCompleted(Frozen):
    """The handler of the update with this number returned."""

    kind: Literal["update_completed"] = "update_completed"
    seq: Seq
    update: Number
    """Number of the update."""
    result: Json
    """What the handler returned, as JSON."""


class UpdateFailed(Frozen):
    """The update with this number was refused, or its handler failed; the workflow goes on."""

    kind: Literal["update_failed"] = "update_failed"
    seq: Seq
    update: Number
    """Number of the update."""
    failure: Failure
    """Why it was refused, or what the handler raised."""


# --- inputs -----------------------------------------------------------------------------------------------------------


class ActivityCompleted(Frozen):
    """The activity with this seq returned."""

    kind: Literal["activity_completed"] = "activity_completed"
    seq: Seq
    at: Time
    """When it happened."""
    result: Json
    """What it returned, as JSON."""


class ActivityFailed(Frozen):
    """The activity with this seq failed for good."""

    kind: Literal["activity_failed"] = "activity_failed"
    seq: Seq
    at: Time
    """When it happened."""
    failure: Failure
    """What went wrong."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """The last attempt made."""


class TimerFired(Frozen):
    """The timer with this seq is due."""

    kind: Literal["timer_fired"] = "timer_fired"
    seq: Seq
    at: Time
    """The time that it was set to, whoever noticed it, and when."""


class ChildStarted(Frozen):
    """The child with this seq has started."""

    kind: Literal["child_started"] = "child_started"
    seq: Seq
    at: Time
    """When it happened."""
    run_id: RunId
    """Id of the child's first run."""


class ChildCompleted(Frozen):
    """The child with this seq returned."""

    kind: Literal["child_completed"] = "child_completed"
    seq: Seq
    at: Time
    """When it happened."""
    result: Json
    """What it returned, as JSON."""


class ChildFailed(Frozen):
    """The child with this seq ended otherwise, or could not be started."""

    kind: Literal["child_failed"] = "child_failed"
    seq: Seq
    at: Time
    """When it happened."""
    failure: Failure
    """Why it ended or could not be started."""
    status: ExecutionStatus | None = None
    """How it ended; null if it did not start."""


class FactTaken(Frozen):
    """The outcome that a fact brought was taken into history here; what it says stays in the fact."""

    kind: Literal["fact_taken"] = "fact_taken"
    fact: Annotated[str, Field(max_length=64)]
    """Key of the fact."""


class MessagesTaken(Frozen):
    """All messages up to this number that were not taken before were taken at once: handed over before the code ran on.

    As the first event of a history it says that this was handed over before the entrypoint began.
    """

    kind: Literal["mail_taken"] = "mail_taken"
    until: Number
    """Number of the last message that was taken."""


# --- ends decided outside workflow code -------------------------------------------------------------------------------


class ExecutionTerminated(Frozen):
    """The execution was ended at once: by a caller, or because of this failure."""

    kind: Literal["execution_terminated"] = "execution_terminated"
    at: Time
    """When that was."""
    failure: Failure | None = None
    """Why it was ended; null if a caller asked for it."""


class ExecutionTimedOut(Frozen):
    """The execution timeout passed."""

    kind: Literal["execution_timed_out"] = "execution_timed_out"
    at: Time
    """When that was."""


ChildOutcome: TypeAlias = ChildStarted | ChildCompleted | ChildFailed
Outcome: TypeAlias = ActivityCompleted | ActivityFailed | TimerFired | ChildOutcome
"""What resolves a command, or says how far it has come."""
Input: TypeAlias = Outcome | RunMessage
"""What workflow code learns."""
Answer: TypeAlias = UpdateCompleted | UpdateFailed
Ended: TypeAlias = ExecutionCompleted | ExecutionFailed | ExecutionCanceled | ExecutionContinuedAsNew
"""How workflow code ends a run."""
Command: TypeAlias = (
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
    | Ended
)
Closing: TypeAlias = Ended | ExecutionTerminated | ExecutionTimedOut
HistoryEvent: TypeAlias = Annotated[
    Command | Outcome | FactTaken | MessagesTaken | Note | ExecutionTerminated | ExecutionTimedOut,
    Field(discriminator="kind"),
]
"""Messages are not among them: they are recorded as facts, and history says when they were taken."""

OUTCOMES = (ActivityCompleted, ActivityFailed, TimerFired, ChildStarted, ChildCompleted, ChildFailed)
ENDED = (ExecutionCompleted, ExecutionFailed, ExecutionCanceled, ExecutionContinuedAsNew)
COMMANDS = (
    ActivityScheduled,
    ActivityCancelRequested,
    TimerStarted,
    TimerCanceled,
    ChildScheduled,
    ChildCancelRequested,
    ChildSignaled,
    TaskPublished,
    PatchRecorded,
    SearchKeysChanged,
    UpdateCompleted,
    UpdateFailed,
    *ENDED,
)
CLOSINGS = (*ENDED, ExecutionTerminated, ExecutionTimedOut)


EVENTS: TypeAdapter[tuple[HistoryEvent, ...]] = TypeAdapter(tuple[HistoryEvent, ...])
"""Reads and writes the events of a batch as JSON."""
