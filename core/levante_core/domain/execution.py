"""An execution as its latest run stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import Field

from levante_core.domain.events import Closing, ExecutionCompleted, ExecutionFailed
from levante_core.domain.failure import Failure
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.names import DeploymentName, ExecutionId, RunId, WorkflowName, Workspace
from levante_core.domain.transitions import EXECUTION, ExecutionStatus, step


@dataclass(frozen=True, slots=True)
class RunKey:
    """Address of one run."""

    workspace: Workspace
    execution_id: ExecutionId
    run_id: RunId


class RunStart(Frozen):
    """Batch 0 of a run: what the workflow code is started with."""

    workflow_name: WorkflowName
    input: Json
    started_at: Time
    deadline_at: Time


class Tracing(Frozen):
    """What the caller gave for tracing; handed on, never interpreted."""

    traceparent: str | None = None
    force_new_trace: bool = False
    attributes: Mapping[str, str] = Field(default_factory=dict)
    extensions: Mapping[str, Json] = Field(default_factory=dict)


NO_TRACING = Tracing()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended. result is there for COMPLETED, failure for FAILED."""

    ended_at: datetime
    result: Json = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution with its latest run. mail_count: signals and updates accepted for the run."""

    key: RunKey
    workflow_id: str
    deployment_name: DeploymentName
    start: RunStart
    root_execution_id: ExecutionId
    status: ExecutionStatus = ExecutionStatus.RUNNING
    parent_execution_id: ExecutionId | None = None
    mail_count: int = 0
    tracing: Tracing = NO_TRACING
    ending: Ending | None = None

    @property
    def is_open(self) -> bool:
        """Whether the run goes on."""
        return self.status is ExecutionStatus.RUNNING


def close(event: Closing, at: datetime) -> tuple[ExecutionStatus, Ending]:
    """Return the status and ending that a closing event gives a running execution."""
    status = step(EXECUTION, ExecutionStatus.RUNNING, event.kind)
    result = event.result if isinstance(event, ExecutionCompleted) else None
    failure = event.failure if isinstance(event, ExecutionFailed) else None
    return status, Ending(at, result, failure)
