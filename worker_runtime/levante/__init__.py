"""Durable workflows: what user code imports."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from levante import workflow
from levante.activity import activity
from levante.attempts import activity_heartbeat
from levante.children import ChildHandle, execute_workflow
from levante.context import get_execution_id, run_activities_locally
from levante.definition.definitions import get_activity_definition, get_workflow_definition
from levante.definition.dependencies import DependencyInjector, Depends
from levante.definition.discovery import discover_all_workflows_in_package, get_registered_workflow_names
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
from levante.interactive import InteractiveWorkflow
from levante.logs import logger
from levante.parallel import ExtraItemParams, GetItemFromIndexParams, execute_activities_in_parallel
from levante.sessions import StickyWorkerSession, get_sticky_worker_session, run_sticky_worker_session
from levante.tasks import Task, task, task_from
from levante_core.protocol import (
    ParentClosePolicy,
    RateLimit,
    ScheduleCalendar,
    ScheduleInterval,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleRange,
)
from levante_core.protocol import ScheduleDefinition as Schedule

if TYPE_CHECKING:
    from levante.replay.recorded import replay_history
    from levante.worker import Worker, run_worker

__all__ = [
    "ActivityError",
    "ChildHandle",
    "ChildWorkflowError",
    "DependencyInjector",
    "Depends",
    "ErrorCode",
    "ExtraItemParams",
    "GetItemFromIndexParams",
    "InteractiveWorkflow",
    "InvalidArguments",
    "NonDeterminismError",
    "ParentClosePolicy",
    "RateLimit",
    "RecordedError",
    "Schedule",
    "ScheduleCalendar",
    "ScheduleInterval",
    "ScheduleOverlapPolicy",
    "SchedulePolicy",
    "ScheduleRange",
    "StickyWorkerSession",
    "Task",
    "Worker",
    "WorkflowError",
    "WorkflowsException",
    "activity",
    "activity_heartbeat",
    "discover_all_workflows_in_package",
    "execute_activities_in_parallel",
    "execute_workflow",
    "get_activity_definition",
    "get_execution_id",
    "get_registered_workflow_names",
    "get_sticky_worker_session",
    "get_workflow_definition",
    "logger",
    "replay_history",
    "run_activities_locally",
    "run_sticky_worker_session",
    "run_worker",
    "task",
    "task_from",
    "workflow",
]


_ABSENT = {
    "WorkflowsConfig": "settings of a worker are arguments of `run_worker`, or the environment",
    "config": "settings of a worker are arguments of `run_worker`, or the environment",
    "get_workflow_registration_ref": "registrations are those of the API: `client.workflows.get_workflow_registrations`",
}
"""Names of the vendor's SDK that are not here, and what is in their place."""
_LATE = {"replay_history": "levante.replay.recorded", "Worker": "levante.worker", "run_worker": "levante.worker"}


def __getattr__(name: str) -> Any:
    """Import what brings much with it, such as an HTTP client, only where it is asked for."""
    if name in _LATE:
        return getattr(import_module(_LATE[name]), name)
    if name in _ABSENT:
        raise AttributeError(f"levante has no {name}: {_ABSENT[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
