"""Tests of workflows: the engine of production in memory, in virtual time. `levante_pytest` is its plugin for pytest."""

from levante.replay.recorded import replay_history
from levante.testing.environment import Execution, ExecutionNotCompleted, WorkflowEnvironment
from levante.testing.history import History
from levante.testing.refusals import HandlerFailed
from levante.testing.virtual_time import run_in_virtual_time

__all__ = [
    "Execution",
    "ExecutionNotCompleted",
    "HandlerFailed",
    "History",
    "WorkflowEnvironment",
    "replay_history",
    "run_in_virtual_time",
]
