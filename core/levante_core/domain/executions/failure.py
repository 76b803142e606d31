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
    """What remains of an exception once it has crossed a process."""

    kind: FailureKind = FailureKind.APPLICATION
    """What has failed, by what follows from it."""
    message: str
    """For people."""
    type: str = "Exception"
    """The name of the exception class."""
    non_retryable: bool = False
    """Whether no other attempt follows, whatever the policy."""
    details: Json = None
    """JSON the raiser added."""
    stack: str | None = None
    """The stack trace, if it was kept."""
    cause: "Failure | None" = None
    """The failure that led to it."""
