"""How an activity is to be run."""

from typing import Annotated

from pydantic import Field

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.frozen import Frozen


class RateLimit(Frozen):
    """A maximum number of attempts in a period, evenly spread, over all workers of a deployment."""

    time_window_in_sec: Annotated[int, Field(ge=1, le=3600)]
    """Length of the period in seconds."""
    max_execution: Annotated[int, Field(ge=1, le=100_000)]
    """Maximum number of attempts that start in that period."""
    key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """What shares the limit; null for the activity alone. Source: SDK contract, section 2 (read 2026-11-23)."""

    @property
    def interval_seconds(self) -> float:
        """The time between two attempts."""
        return self.time_window_in_sec / self.max_execution


class ActivityOptions(Frozen):
    """How an activity is to be run.

    Timeouts are those of one attempt, but for schedule_to_close, which workflow code keeps.
    """

    start_to_close_seconds: Annotated[float, Field(gt=0)] = 300.0
    """How long one attempt may take."""
    schedule_to_close_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long all attempts may take together, with what is between them; null for any time."""
    heartbeat_seconds: Annotated[float, Field(gt=0)] | None = None
    """How long an attempt may be silent; null for any time."""
    retry: RetryPolicy = RetryPolicy()
    """Whether and when a failed attempt is followed by another one."""
    rate_limit: RateLimit | None = None
    """How many attempts may begin in a time; null for any number."""
    is_local: bool = False
    """Whether the worker that advances the run is to run it in place, however long it takes."""
    session: str | None = None
    """Session of the worker that is to run it, and no other."""
