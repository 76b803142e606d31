"""Notes: what is said of a run beside its course. Replay passes over them."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen
from levante_core.domain.numbers import Seconds, Seq


class ActivityHandedOver(Frozen):
    """The claim of an owner has ended; the activity queue carries on with this attempt.

    scheduled_in: index of the batch that holds the activity's `activity_scheduled`. failure: why; None where the attempt
    goes on elsewhere, and will be completed with its token. session: that of the activity.
    """

    kind: Literal["activity_handed_over"] = "activity_handed_over"
    activity: Seq
    scheduled_in: Seq
    attempt: Annotated[int, Field(ge=1)]
    delay_seconds: Seconds = 0.0
    failure: Failure | None
    session: str | None = None


class CodeFailed(Frozen):
    """The workflow code failed over the inputs before this; what they lead to is recorded once fixed code has taken them."""

    kind: Literal["code_failed"] = "code_failed"
    failure: Failure


class HandlersUnfinished(Frozen):
    """The run ends here while handlers of signals or updates have not returned. handlers: their names, in order."""

    kind: Literal["handlers_unfinished"] = "handlers_unfinished"
    handlers: tuple[str, ...]


class HistoryGrewLarge(Frozen):
    """From here on the workflow is advised to continue as new, because of what its history takes in bytes."""

    kind: Literal["history_grew_large"] = "history_grew_large"


Note: TypeAlias = ActivityHandedOver | CodeFailed | HandlersUnfinished | HistoryGrewLarge
