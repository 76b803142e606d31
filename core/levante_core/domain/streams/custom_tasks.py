"""Custom tasks: what user code publishes about its progress, in workflows and in activities."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from levante_core.domain.frozen import Frozen, Json


class TaskPhase(StrEnum):
    """How far a task has come."""

    STARTED = "started"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELED = "canceled"


class PatchOperation(Frozen):
    """One operation of a JSON patch (RFC 6902), or `append`, which adds a text to the one at the path."""

    op: Literal["add", "replace", "remove", "append"]
    """What to do."""
    path: str
    """Where, as a JSON pointer."""
    value: Json = None
    """The value for that place, or the text to add."""


class TaskEvent(Frozen):
    """One event of a task."""

    task_id: Annotated[str, Field(min_length=1, max_length=256)]
    """Id of the task, made by the code that publishes."""
    task_type: Annotated[str, Field(min_length=1, max_length=256)]
    """Type of the task: the name of its stream."""
    phase: TaskPhase
    """How far the task has come."""
    payload: Json = None
    """The whole state; null where a patch says it."""
    patch: tuple[PatchOperation, ...] | None = None
    """The change to the state published last, in place of the whole. An encoded one is there as `payload`."""
    patch_options: tuple[str, ...] = ()
    """What was done to values within a patch."""
    encrypted_at: tuple[str, ...] = ()
    """Where the state has encrypted fields, as JSON pointers."""
    message: str | None = None
    """Why it failed."""
