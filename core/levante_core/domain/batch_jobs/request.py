"""What a batch job is asked to do: which executions it is about, what is done to each of them, and why."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from levante_core.domain.executions.criteria import RunCriteria
from levante_core.domain.frozen import Frozen

MOST_REASON = 1_000
"""Characters of a reason."""


class CancelAction(Frozen):
    """Ask each open execution to end."""

    kind: Literal["cancel"]


class TerminateAction(Frozen):
    """End each open execution at once."""

    kind: Literal["terminate"]


class SignalAction(Frozen):
    """Send each open execution a signal."""

    kind: Literal["signal"]
    name: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the signal; its input stands beside the action."""


class ResetAction(Frozen):
    """Let each execution, open or closed, go on from an earlier point of its history."""

    kind: Literal["reset"]
    to: Literal["last", "start"] = "last"
    """`last` is the last point from which it can go on, so that a closed execution takes its last step again; `start` is the
    beginning."""
    exclude_signals: bool = False
    """Whether to leave out the signals after that point, which are kept otherwise."""
    exclude_updates: bool = False
    """Whether to leave out the updates after that point, which are kept otherwise."""


class RetryAction(Frozen):
    """Let the next attempts of all activities that have failed begin now."""

    kind: Literal["retry"]


class RerunAction(Frozen):
    """Start each closed execution that has no parent once more, under another id."""

    kind: Literal["rerun"]


BatchAction: TypeAlias = Annotated[
    CancelAction | TerminateAction | SignalAction | ResetAction | RetryAction | RerunAction, Field(discriminator="kind")
]
"""What is done to each execution. No payload is in it."""


class BatchRequest(Frozen):
    """A batch job as it was asked for, without payloads."""

    criteria: RunCriteria
    action: BatchAction
    reason: Annotated[str, Field(max_length=MOST_REASON)] | None = None
    """Why, for people."""
