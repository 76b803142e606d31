"""Whether a failed activity attempt is followed by another one, and when."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.frozen import Frozen, Time
from levante_core.domain.limits import LONGEST_SECONDS

MAXIMUM_INTERVAL_FACTOR = 100
"""The delay between attempts is capped at so many initial intervals. Source: SDK contract, section 1 (read 2026-11-23)."""
MAX_TASK_RETRY_SECONDS = 60


ACTIVITY_CANCELED = Failure(
    kind=FailureKind.CANCELED,
    type="ActivityCanceled",
    message="the workflow no longer wants this activity, and no attempt of it goes on",
)


class RetryPolicy(Frozen):
    """How often an activity is tried. The delay after attempt n is initial_interval x coefficient^(n - 1)."""

    max_attempts: int = Field(default=3, ge=1)
    """How many attempts are made, the first one included."""
    initial_interval_seconds: float = Field(default=1.0, ge=0)
    """The delay after the first attempt."""
    backoff_coefficient: float = Field(default=2.0, ge=1)
    """What each further delay is multiplied by."""

    def delay_after(self, attempt: int) -> timedelta:
        """Return how long the attempt after this one has to wait (attempt: 1-based, the one that failed)."""
        exponent = min(attempt - 1, 64)
        most = float(MAXIMUM_INTERVAL_FACTOR)
        factor = min(min(self.backoff_coefficient, most) ** exponent, most)
        return timedelta(seconds=min(self.initial_interval_seconds * factor, LONGEST_SECONDS))


class FailedAttempt(Frozen):
    """How an attempt of the activity with this seq ended that is followed by another one."""

    seq: int
    attempt: int
    at: Time
    failure: Failure
    retried_by_hand: Annotated[ByHand | None, Field(exclude_if=lambda by_hand: by_hand is None)] = None
    """Who has let the attempt after it begin at once."""


def task_retry_delay(attempt: int) -> timedelta:
    """Return how long a run waits whose code has failed so many times: 1 s, doubled by each attempt, at most a minute."""
    return timedelta(seconds=min(2 ** min(attempt - 1, 10), MAX_TASK_RETRY_SECONDS))


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again: which attempt comes next, and after how long."""

    attempt: int
    delay: timedelta


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No further attempt."""


def once_asked_to_end(failure: Failure) -> Failure:
    """Return how an activity ended whose last attempt failed like this after it was asked to end, as none follows.

    That its worker was lost says nothing about the activity: it has come to the end that it was asked for.
    """
    lost = failure.kind is FailureKind.WORKER_LOST
    return ACTIVITY_CANCELED.model_copy(update={"cause": failure}) if lost else failure


def after_failure(policy: RetryPolicy, attempt: int, failure: Failure) -> RetryAfter | GiveUp:
    """Decide what follows a failed attempt (1-based).

    A lost worker is followed at once: the work itself said nothing against being tried again.
    """
    if failure.non_retryable or failure.kind is FailureKind.CANCELED or attempt >= policy.max_attempts:
        return GiveUp()
    if failure.kind is FailureKind.WORKER_LOST:
        return RetryAfter(attempt + 1, timedelta())
    return RetryAfter(attempt + 1, policy.delay_after(attempt))
