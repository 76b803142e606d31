"""Runs as the tests of services record them."""

from levante_core.domain.activities.retry import RetryPolicy
from levante_core.domain.history.events import (
    ActivityScheduled,
)
from levante_core.protocol import ActivityOptions


def scheduled(seq: int = 1, attempts: int = 2) -> ActivityScheduled:
    return ActivityScheduled(seq=seq, name="a", input={}, options=ActivityOptions(retry=RetryPolicy(max_attempts=attempts)))
