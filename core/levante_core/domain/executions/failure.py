"""A failure as it is recorded: what remains of an exception once it has crossed a process."""

from enum import StrEnum

from levante_core.domain.frozen import Frozen, Json


class FailureKind(StrEnum):
    """Where a failure came from; decides which error workflow code sees."""

    APPLICATION = "application"
    """Raised by user code."""
    TIMEOUT = "timeout"
    """An activity attempt passed its start-to-close or heartbeat timeout."""
    WORKER_LOST = "worker_lost"
    """The worker that held the task stopped reporting."""
    CANCELED = "canceled"
    """The work was cancelled."""


class Failure(Frozen):
    """message: for people. type: the name of the exception class. details: JSON the raiser added."""

    kind: FailureKind = FailureKind.APPLICATION
    message: str
    type: str = "Exception"
    non_retryable: bool = False
    details: Json = None
    stack: str | None = None
    cause: "Failure | None" = None
