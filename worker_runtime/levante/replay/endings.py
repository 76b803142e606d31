"""How a run ends that has returned, and the error of one that cannot end."""

from __future__ import annotations

from collections.abc import Callable

from levante.errors import WorkflowError, text_of, to_failure
from levante.replay.rules import PayloadCheck
from levante_core.protocol import ExecutionCompleted, ExecutionFailed, Failure, Json


class WorkflowCodeFailed(Exception):
    """Workflow code raised something that is a bug, not an outcome. The run stays open; `__cause__` is what was raised."""


def completion(seq: int, dump: Callable[[], Json], check: PayloadCheck) -> ExecutionCompleted | ExecutionFailed:
    """Return the command that ends a run which has returned. dump: returns the result as JSON.

    Raises: WorkflowCodeFailed when that has a bug.
    """
    try:
        result = dump()
    except WorkflowError as error:  # a value that cannot be recorded, whatever the code says next time
        return ExecutionFailed(seq=seq, failure=to_failure(error))
    except Exception as error:
        raise WorkflowCodeFailed(text_of(error)) from error
    _, problem = check("the result of the workflow", result)
    if problem:
        return ExecutionFailed(seq=seq, failure=Failure(type="PayloadRefused", message=problem, non_retryable=True))
    return ExecutionCompleted(seq=seq, result=result)
