"""How an activity is to be run."""

from typing import Annotated

from pydantic import Field

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.frozen import Frozen


class RateLimit(Frozen):
    """So many attempts begin in so many seconds, evenly spread, over all workers of a deployment.

    key: what shares the limit; None for the activity alone. Source: SDK contract, section 2 (read 2026-11-23).
    """

    time_window_in_sec: Annotated[int, Field(ge=1, le=3600)]
    max_execution: Annotated[int, Field(ge=1, le=100_000)]
    key: Annotated[str, Field(min_length=1, max_length=256)] | None = None

    @property
    def interval_seconds(self) -> float:
        """The time between two attempts."""
        return self.time_window_in_sec / self.max_execution


class ActivityOptions(Frozen):
    """How an activity is to be run. Timeouts are those of one attempt, but for schedule_to_close, which workflow code keeps.

    is_local: the worker that advances the run is to run it in place, however long it takes. session: of the worker that is
    to run it, and no other.
    """

    start_to_close_seconds: Annotated[float, Field(gt=0)] = 300.0
    schedule_to_close_seconds: Annotated[float, Field(gt=0)] | None = None
    heartbeat_seconds: Annotated[float, Field(gt=0)] | None = None
    retry: RetryPolicy = RetryPolicy()
    rate_limit: RateLimit | None = None
    is_local: bool = False
    session: str | None = None
