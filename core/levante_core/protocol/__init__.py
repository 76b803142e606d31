"""The language that workers and the API share: history events and the messages around them."""

from levante_core.domain.events import (
    CLOSINGS,
    COMMANDS,
    OUTCOMES,
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityHandedOver,
    ActivityOptions,
    ActivityScheduled,
    CodeFailed,
    Command,
    ExecutionCompleted,
    ExecutionFailed,
    FactTaken,
    HistoryEvent,
    Outcome,
    TimerCanceled,
    TimerFired,
    TimerStarted,
)
from levante_core.domain.execution import RunStart
from levante_core.domain.failure import Failure, FailureKind
from levante_core.domain.frozen import Json
from levante_core.domain.history import HistoryBatch, OpenActivity, RunState, closing_event, fold
from levante_core.domain.names import DeploymentName, deployment_name, worker_name, workflow_name
from levante_core.domain.payloads import problem_with
from levante_core.domain.retry import GiveUp, RetryAfter, RetryPolicy, after_failure
from levante_core.domain.tasks import OLD_AFTER_SECONDS, ActivityTask, ActivityWork, Fact, WorkflowTask
from levante_core.domain.transitions import ActivityState, ExecutionStatus
from levante_core.errors import InconsistentHistory, InvalidInput, LevanteError
from levante_core.protocol.specs import HandlerSpec, JsonSchema, WorkflowSpec

__all__ = [
    "CLOSINGS",
    "COMMANDS",
    "OLD_AFTER_SECONDS",
    "OUTCOMES",
    "ActivityCancelRequested",
    "ActivityCompleted",
    "ActivityFailed",
    "ActivityHandedOver",
    "ActivityOptions",
    "ActivityScheduled",
    "ActivityState",
    "ActivityTask",
    "ActivityWork",
    "CodeFailed",
    "Command",
    "DeploymentName",
    "ExecutionCompleted",
    "ExecutionFailed",
    "ExecutionStatus",
    "Fact",
    "FactTaken",
    "Failure",
    "FailureKind",
    "GiveUp",
    "HandlerSpec",
    "HistoryBatch",
    "HistoryEvent",
    "InconsistentHistory",
    "InvalidInput",
    "Json",
    "JsonSchema",
    "LevanteError",
    "OpenActivity",
    "Outcome",
    "RetryAfter",
    "RetryPolicy",
    "RunStart",
    "RunState",
    "TimerCanceled",
    "TimerFired",
    "TimerStarted",
    "WorkflowSpec",
    "WorkflowTask",
    "after_failure",
    "closing_event",
    "deployment_name",
    "fold",
    "problem_with",
    "worker_name",
    "workflow_name",
]
