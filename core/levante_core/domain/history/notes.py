"""Notes: what is said of a run beside its course. Replay passes over them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen
from levante_core.domain.numbers import Seconds, Seq


class ActivityHandedOver(Frozen):
    """The claim of an owner has ended; the activity queue carries on with this attempt."""

    kind: Literal["activity_handed_over"] = "activity_handed_over"
    activity: Seq
    """Seq of the activity."""
    scheduled_in: Seq
    """Index of the batch that holds the activity's `activity_scheduled`."""
    attempt: Annotated[int, Field(ge=1)]
    """The attempt that follows."""
    delay_seconds: Seconds = 0.0
    """How long it waits before that."""
    failure: Failure | None
    """Why; null where the attempt goes on elsewhere, and will be completed with its token."""
    session: str | None = None
    """Session of the activity."""


class CodeFailed(Frozen):
    """The workflow code failed over the inputs before this; what they lead to is recorded once fixed code has taken them."""

    kind: Literal["code_failed"] = "code_failed"
    failure: Failure
    """What went wrong."""


class HandlersUnfinished(Frozen):
    """The run ends here while handlers of signals or updates have not returned."""

    kind: Literal["handlers_unfinished"] = "handlers_unfinished"
    handlers: tuple[str, ...]
    """Names of the handlers, in order."""


class HistoryGrewLarge(Frozen):
    """From here on the workflow is advised to continue as new, because of what its history takes in bytes."""

    kind: Literal["history_grew_large"] = "history_grew_large"


class ExecutionPaused(Frozen):
    """The execution is paused: until it is resumed, no step of it is recorded, and no attempt of its activities begins."""

    kind: Literal["execution_paused"] = "execution_paused"
    by_hand: ByHand
    """Who paused it, when and why."""


class ExecutionResumed(Frozen):
    """The execution goes on, with all that has come in while it was paused."""

    kind: Literal["execution_resumed"] = "execution_resumed"
    by_hand: ByHand
    """Who resumed it, when and why."""


Note: TypeAlias = (
    ActivityHandedOver | CodeFailed | HandlersUnfinished | HistoryGrewLarge | ExecutionPaused | ExecutionResumed
)
NOTES = (ActivityHandedOver, CodeFailed, HandlersUnfinished, HistoryGrewLarge, ExecutionPaused, ExecutionResumed)
