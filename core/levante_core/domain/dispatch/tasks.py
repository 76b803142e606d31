"""The messages that ask for work: what to advance, what to run, what is due later."""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias, TypedDict

from pydantic import Field, TypeAdapter

from levante_core.domain.activities.options import ActivityOptions
from levante_core.domain.executions.execution import RunKey, RunStart
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.history.events import Input
from levante_core.domain.names import ExecutionId, RunId, Workspace
from levante_core.domain.numbers import Seq
from levante_core.domain.worker_pool import WorkerPool

OLD_AFTER_SECONDS = 240
"""Age from which a task is checked before it is believed: a minute less than FIFO queues drop repeats for."""


class Fact(Frozen):
    """A recorded fact."""

    key: str
    """Key of the fact, unique within the run."""
    input: Annotated[Input, Field(discriminator="kind")]
    """What the workflow code learns by it."""


class _Task(Frozen):
    """What every task says."""

    workspace: Workspace
    """Workspace of the execution."""
    execution_id: ExecutionId
    """Id of the execution."""
    run_id: RunId
    """Id of the run."""
    deployment_name: WorkerPool
    """Name of the deployment."""
    fresh_at: Time
    """When the work came due."""
    verify: bool = False
    """Whether to ask the API before believing the message."""

    @property
    def run(self) -> RunKey:
        """The run that the task is of."""
        return RunKey(self.workspace, self.execution_id, self.run_id)


class _Envelope(TypedDict):
    workspace: Workspace
    execution_id: ExecutionId
    run_id: RunId
    deployment_name: WorkerPool
    fresh_at: datetime
    verify: bool


def _envelope(run: RunKey, pool: WorkerPool, fresh_at: datetime, *, verify: bool) -> _Envelope:
    return {
        "workspace": run.workspace,
        "execution_id": run.execution_id,
        "run_id": run.run_id,
        "deployment_name": pool,
        "fresh_at": fresh_at,
        "verify": verify,
    }


class WorkflowTask(_Task):
    """Advance this run."""

    kind: Literal["workflow_task"] = "workflow_task"
    token: str = ""
    """Lets the worker load the run, and commit its first batch if `start` is there."""
    start: RunStart | None = None
    """Batch 0, in the first task of a run."""
    fact: Fact | None = None
    """The fact that caused the task."""

    @classmethod
    def of(
        cls,
        run: RunKey,
        pool: WorkerPool,
        fresh_at: datetime,
        *,
        start: RunStart | None = None,
        fact: Fact | None = None,
        verify: bool = False,
    ) -> "WorkflowTask":
        """Make the task of a run for some workers."""
        return cls(**_envelope(run, pool, fresh_at, verify=verify), start=start, fact=fact)


class ActivityWork(Frozen):
    """What an activity task runs."""

    name: str
    """Name of the activity."""
    input: Json
    """Input of the activity, as JSON."""
    options: ActivityOptions
    """How it is to be run."""


class ActivityTask(_Task):
    """Run this attempt."""

    kind: Literal["activity_task"] = "activity_task"
    token: str = ""
    """Lets the worker report the attempt."""
    seq: Seq
    """Seq of the activity."""
    scheduled_in: Seq
    """Index of the batch that holds the activity's `activity_scheduled`."""
    attempt: Seq
    """Which attempt it is, from 1 on."""
    work: ActivityWork | None = None
    """What to run; null when the message would be too large or its sender did not know it."""
    details: tuple[Json, ...] = ()
    """Details of the last heartbeat of the attempts before, known once the task was checked."""
    is_deferred: bool = False
    """Whether the attempt goes on elsewhere, and its time is up at `fresh_at`."""

    @classmethod
    def of(  # noqa: PLR0913 - each is a field of its own
        cls,
        run: RunKey,
        pool: WorkerPool,
        fresh_at: datetime,
        *,
        seq: int,
        scheduled_in: int,
        attempt: int,
        work: ActivityWork | None = None,
        is_deferred: bool = False,
        verify: bool = False,
    ) -> "ActivityTask":
        """Make the task of an attempt for some workers."""
        envelope = _envelope(run, pool, fresh_at, verify=verify)
        return cls(**envelope, seq=seq, scheduled_in=scheduled_in, attempt=attempt, work=work, is_deferred=is_deferred)


class TimerDue(_Task):
    """A durable timer: at `fresh_at`, record that it fired."""

    kind: Literal["timer_due"] = "timer_due"
    seq: Seq

    @classmethod
    def of(cls, run: RunKey, pool: WorkerPool, fresh_at: datetime, *, seq: int, verify: bool = False) -> "TimerDue":
        """Make what fires a timer of a run."""
        return cls(**_envelope(run, pool, fresh_at, verify=verify), seq=seq)


class DeadlineDue(_Task):
    """The execution timeout: at `fresh_at`, end the run unless it is closed."""

    kind: Literal["deadline_due"] = "deadline_due"

    @classmethod
    def of(cls, run: RunKey, pool: WorkerPool, fresh_at: datetime) -> "DeadlineDue":
        """Make what ends a run."""
        return cls(**_envelope(run, pool, fresh_at, verify=False))


class ScheduleDue(Frozen):
    """Something is to be done for a schedule at `fresh_at`."""

    kind: Literal["schedule_due"] = "schedule_due"
    workspace: Workspace
    schedule_id: str
    fresh_at: Time


class BatchJobDue(Frozen):
    """A batch job takes its next step at `fresh_at`."""

    kind: Literal["batch_job_due"] = "batch_job_due"
    workspace: Workspace
    batch_id: str
    step: int | None
    """How many steps there were before; None for whichever it is at."""
    fresh_at: Time


DelayedOfRun: TypeAlias = ActivityTask | TimerDue | DeadlineDue
"""What can wait in the timers queue or, beyond its reach, in a timer item."""
Delayed: TypeAlias = DelayedOfRun | ScheduleDue | BatchJobDue
"""What can wait in the timers queue."""

WORKFLOW_TASK: TypeAdapter[WorkflowTask] = TypeAdapter(WorkflowTask)
ACTIVITY_TASK: TypeAdapter[ActivityTask] = TypeAdapter(ActivityTask)
DELAYED: TypeAdapter[Delayed] = TypeAdapter(Annotated[Delayed, Field(discriminator="kind")])
