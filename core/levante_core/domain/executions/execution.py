"""An execution as its latest run stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field

from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.executions.search_keys import SearchKeys
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.history.events import (
    ChildCompleted,
    ChildFailed,
    Closing,
    ExecutionCompleted,
    ExecutionContinuedAsNew,
    ExecutionFailed,
    ExecutionTerminated,
)
from levante_core.domain.history.transitions import EXECUTION, ExecutionStatus, step
from levante_core.domain.names import ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool


@dataclass(frozen=True, slots=True)
class RunKey:
    """Address of one run."""

    workspace: Workspace
    execution_id: ExecutionId
    run_id: RunId


class Reset(Frozen):
    """How a run came about that goes on from the middle of another one."""

    run_id: RunId
    """Id of the run that it goes on from."""
    event_id: Annotated[int, Field(ge=1)]
    """Id of the last event that was kept of that run."""
    batches: Annotated[int, Field(ge=0)]
    """How many batches were copied."""
    seed: RunId
    """Id of the run that random numbers are seeded with."""
    reason: str | None = None
    """Why, for people; null if nobody said so."""


class RunStart(Frozen):
    """Batch 0 of a run: what the workflow code is started with."""

    workflow_name: WorkflowName
    """Name of the workflow."""
    input: Json
    """Input of the workflow, as JSON."""
    started_at: Time
    """When it started."""
    deadline_at: Time
    """When the execution times out."""
    first_run_id: RunId | None = None
    """Id of the first of the runs that this one continues; null for a first run."""
    continued_run_id: RunId | None = None
    """Id of the last of the runs that this one continues; null for a first run."""
    reset: Reset | None = None
    """How the run came about, if it goes on from another one."""
    search_keys: SearchKeys = Field(default_factory=dict)
    """The search keys that the execution has already."""
    schedule_id: str | None = None
    """Id of the schedule that started the execution."""


class Tracing(Frozen):
    """What the caller gave for tracing."""

    traceparent: str | None = None
    force_new_trace: bool = False
    attributes: Mapping[str, str] = Field(default_factory=dict)
    extensions: Mapping[str, Json] = Field(default_factory=dict)
    is_exported: bool = False
    """Whether the trace of each run is sent somewhere when it has ended."""


NO_TRACING = Tracing()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. result is there for COMPLETED, failure for FAILED. expires_at: None if the run is kept for ever."""

    ended_at: datetime
    result: Json = None
    failure: Failure | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that started a child, and the seq of the command that asked for it."""

    execution_id: ExecutionId
    run_id: RunId
    pool: WorkerPool
    seq: int


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution with its latest run. mail_count: signals, updates and requests to cancel accepted for the run.

    has_children: the run has asked for some. mail_held_until: about to end, it takes no more messages before this time.
    user_id: of the API key that started it, or its root, or made its schedule; None for schedules that code declares.
    has_parked: something of the execution was parked, at whatever time. paused_at: since when the run is paused, if it is.
    """

    key: RunKey
    workflow_id: str
    pool: WorkerPool
    start: RunStart
    root_execution_id: ExecutionId
    status: ExecutionStatus = ExecutionStatus.RUNNING
    parent: Parent | None = None
    user_id: str | None = None
    has_children: bool = False
    mail_count: int = 0
    is_cancel_requested: bool = False
    mail_held_until: datetime | None = None
    search_keys: SearchKeys = field(default_factory=dict)
    tracing: Tracing = NO_TRACING
    ending: Ending | None = None
    has_parked: bool = False
    paused_at: datetime | None = None

    @property
    def workflow_name(self) -> WorkflowName:
        """The workflow."""
        return self.start.workflow_name

    @property
    def started_at(self) -> datetime:
        """When the run started."""
        return self.start.started_at

    @property
    def deadline_at(self) -> datetime:
        """When the execution is ended if it has not closed."""
        return self.start.deadline_at

    @property
    def parent_execution_id(self) -> ExecutionId | None:
        """The execution that started this one, if one did."""
        return self.parent.execution_id if self.parent else None

    @property
    def concerns_others(self) -> bool:
        """Whether somebody has to know when the run ends: a parent, children, a schedule, or who collects traces."""
        has_relatives = self.has_children or self.parent is not None
        return has_relatives or self.start.schedule_id is not None or self.tracing.is_exported

    @property
    def is_open(self) -> bool:
        """Whether the run goes on."""
        return self.status is ExecutionStatus.RUNNING


def close(event: Closing, at: datetime, retention: timedelta | None) -> tuple[ExecutionStatus, Ending]:
    """Return the status and ending that a closing event gives a running execution.

    retention: how long closed runs are kept; None for ever.
    """
    status = step(EXECUTION, ExecutionStatus.RUNNING, event.kind)
    result = event.result if isinstance(event, ExecutionCompleted) else None
    failure = event.failure if isinstance(event, (ExecutionFailed, ExecutionTerminated)) else None
    return status, Ending(at, result, failure, None if retention is None else at + retention)


def child_outcome(execution: Execution) -> ChildCompleted | ChildFailed | None:
    """Return what a parent learns of how a child ended; None while it has not, and for what is nobody's child."""
    parent, ending = execution.parent, execution.ending
    if parent is None or ending is None or execution.status is ExecutionStatus.CONTINUED_AS_NEW:
        return None
    if execution.status is ExecutionStatus.COMPLETED:
        return ChildCompleted(seq=parent.seq, at=ending.ended_at, result=ending.result)
    status = execution.status
    kind = FailureKind.CANCELED if status is ExecutionStatus.CANCELED else FailureKind.APPLICATION
    plain = Failure(kind=kind, type=f"Child{status.value.title().replace('_', '')}", message=f"the child is {status.value}")
    return ChildFailed(seq=parent.seq, at=ending.ended_at, failure=ending.failure or plain, status=status)


def resumed(execution: Execution, key: RunKey, reset: Reset, at: datetime, *, mail_count: int) -> Execution:
    """Return the execution with a run that goes on from the middle of its last one. It has its whole time once more."""
    old = execution.start
    start = old.model_copy(update={"deadline_at": at + (old.deadline_at - old.started_at), "reset": reset})
    return replace(
        execution,
        key=key,
        start=start,
        status=ExecutionStatus.RUNNING,
        ending=None,
        mail_count=mail_count,
        has_children=False,
        is_cancel_requested=False,
        mail_held_until=None,
        paused_at=None,
    )


def continued(execution: Execution, event: ExecutionContinuedAsNew, at: datetime, *, mail_count: int) -> Execution:
    """Return the execution with the run that follows on this one. mail_count: messages that the new run begins with."""
    old = execution.start
    start = RunStart(
        workflow_name=old.workflow_name,
        input=event.input,
        started_at=at,
        deadline_at=old.deadline_at,
        first_run_id=old.first_run_id or execution.key.run_id,
        continued_run_id=execution.key.run_id,
        search_keys=execution.search_keys,
        schedule_id=old.schedule_id,
    )
    key = replace(execution.key, run_id=event.run_id)
    return replace(
        execution,
        key=key,
        start=start,
        mail_count=mail_count,
        has_children=False,
        is_cancel_requested=False,
        mail_held_until=None,
    )
