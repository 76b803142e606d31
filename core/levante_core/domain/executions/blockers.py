"""What keeps an open execution from going on, as people are told."""

from enum import StrEnum

from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen, Time


class BlockerKind(StrEnum):
    """What is in the way."""

    CODE_FAILING = "code_failing"
    """The workflow code raises where it must not, or a worker cannot run it: it goes on once the code is fixed."""
    ACTIVITY_FAILING = "activity_failing"
    """An activity has failed, and is tried again."""
    NO_WORKER = "no_worker"
    """No worker of its deployment, or build, is there."""
    PAUSED = "paused"
    """Somebody has paused it."""


class Blocker(Frozen):
    """Something that an open execution waits for which is not in its workflow's plan."""

    kind: BlockerKind
    """What is in the way."""
    message: str
    """What is wrong and what to do about it, in one line."""
    since: Time | None = None
    """When the last attempt failed, or it was paused; null for no_worker."""
    attempt: int | None = None
    """The attempt that failed last, from 1 on."""
    next_attempt_at: Time | None = None
    """When it is tried again, without anybody's doing."""
    activity_name: str | None = None
    """For activity_failing."""
    failure: Failure | None = None
    """What the last attempt raised."""
