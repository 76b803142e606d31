"""Durable workflows: what user code imports."""

from typing import TYPE_CHECKING, Any

from levante import workflow
from levante.activity import activity
from levante.attempts import activity_heartbeat
from levante.children import ChildHandle, execute_workflow
from levante.context import get_execution_id, run_activities_locally
from levante.definitions import get_activity_definition, get_workflow_definition
from levante.errors import (
    ActivityError,
    ChildWorkflowError,
    ErrorCode,
    InvalidArguments,
    NonDeterminismError,
    RecordedError,
    WorkflowError,
    WorkflowsException,
)
from levante.tasks import Task, task, task_from
from levante_core.protocol import ParentClosePolicy, RateLimit

if TYPE_CHECKING:
    from levante.worker import run_worker

__all__ = [
    "ActivityError",
    "ChildHandle",
    "ChildWorkflowError",
    "ErrorCode",
    "InvalidArguments",
    "NonDeterminismError",
    "ParentClosePolicy",
    "RateLimit",
    "RecordedError",
    "Task",
    "WorkflowError",
    "WorkflowsException",
    "activity",
    "activity_heartbeat",
    "execute_workflow",
    "get_activity_definition",
    "get_execution_id",
    "get_workflow_definition",
    "run_activities_locally",
    "run_worker",
    "task",
    "task_from",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Import the worker, and the HTTP client with it, only where it is asked for."""
    if name == "run_worker":
        from levante.worker import run_worker  # noqa: PLC0415

        return run_worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
