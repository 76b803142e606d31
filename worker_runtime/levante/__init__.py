"""Durable workflows: what user code imports."""

from typing import TYPE_CHECKING, Any

from levante import workflow
from levante.activity import activity
from levante.children import ChildHandle, execute_workflow
from levante.context import get_execution_id
from levante.definitions import get_activity_definition, get_workflow_definition
from levante.dependencies import DependencyInjector, Depends
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
from levante_core.protocol import ParentClosePolicy

if TYPE_CHECKING:
    from levante.worker import run_worker

__all__ = [
    "ActivityError",
    "ChildHandle",
    "ChildWorkflowError",
    "DependencyInjector",
    "Depends",
    "ErrorCode",
    "InvalidArguments",
    "NonDeterminismError",
    "ParentClosePolicy",
    "RecordedError",
    "WorkflowError",
    "WorkflowsException",
    "activity",
    "execute_workflow",
    "get_activity_definition",
    "get_execution_id",
    "get_workflow_definition",
    "run_worker",
    "workflow",
]


def __getattr__(name: str) -> Any:
    """Import the worker, and the HTTP client with it, only where it is asked for."""
    if name == "run_worker":
        from levante.worker import run_worker  # noqa: PLC0415

        return run_worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
