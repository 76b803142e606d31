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
    path: str
    value: Json = None


class TaskEvent(Frozen):
    """One event of a task. patch: the change to the state published last, in place of the whole; message: why it failed.

    An encoded patch is there as `payload`; patch_options: what was done to values within a patch. encrypted_at: where the
    state has encrypted fields, as JSON pointers.
    """

    task_id: Annotated[str, Field(min_length=1, max_length=256)]
    task_type: Annotated[str, Field(min_length=1, max_length=256)]
    phase: TaskPhase
    payload: Json = None
    patch: tuple[PatchOperation, ...] | None = None
    patch_options: tuple[str, ...] = ()
    encrypted_at: tuple[str, ...] = ()
    message: str | None = None
