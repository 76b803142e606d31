from datetime import timedelta

import pytest

from levante_core.domain.activities.retry import GiveUp, RetryAfter, RetryPolicy, after_failure
from levante_core.domain.executions.failure import Failure, FailureKind
from levante_core.domain.limits import LONGEST_SECONDS

POLICY = RetryPolicy(max_attempts=3, initial_interval_seconds=2, backoff_coefficient=4)

CASES = [
    # attempt, failure, decision, reason
    (1, Failure(message="x"), RetryAfter(2, timedelta(seconds=2)), "the first delay is the initial interval"),
    (2, Failure(message="x"), RetryAfter(3, timedelta(seconds=8)), "each further one is longer by the coefficient"),
    (3, Failure(message="x"), GiveUp(), "attempts count the first one"),
    (1, Failure(message="x", non_retryable=True), GiveUp(), "the raiser knows that it is no use"),
    (1, Failure(message="x", kind=FailureKind.CANCELED), GiveUp(), "nobody wants it any more"),
    (1, Failure(message="x", kind=FailureKind.TIMEOUT), RetryAfter(2, timedelta(seconds=2)), "may be quicker next time"),
    (2, Failure(message="x", kind=FailureKind.WORKER_LOST), RetryAfter(3, timedelta()), "the work itself did not fail"),
    (3, Failure(message="x", kind=FailureKind.WORKER_LOST), GiveUp(), "what kills its worker is not tried for ever"),
]


@pytest.mark.parametrize(("attempt", "failure", "decision", "reason"), CASES, ids=[case[3] for case in CASES])
def test_after_failure_when_an_attempt_failed_then_the_policy_decides(
    attempt: int, failure: Failure, decision: RetryAfter | GiveUp, reason: str
) -> None:
    """One function decides about every retry, in the worker and in the service."""
    assert after_failure(POLICY, attempt, failure) == decision


def test_delay_when_there_were_very_many_attempts_then_it_is_capped() -> None:
    """No delay is longer than a hundred initial intervals, and none overflows."""
    assert POLICY.delay_after(100_000) == timedelta(seconds=200)


@pytest.mark.parametrize(
    ("interval", "coefficient", "attempt", "seconds"),
    [
        (1, 1e300, 2, 100),
        (1, 1e300, 70, 100),
        (1, 1e300, 1, 1),
        (1.7e308, 1, 1, LONGEST_SECONDS),
        (1e300, 1e300, 9, LONGEST_SECONDS),
    ],
)
def test_delay_when_the_policy_has_extreme_numbers_then_it_is_a_duration_still(
    interval: float, coefficient: float, attempt: int, seconds: float
) -> None:
    """A policy that cannot be carried out would fail every report of the activity."""
    policy = RetryPolicy(initial_interval_seconds=interval, backoff_coefficient=coefficient)
    assert policy.delay_after(attempt) == timedelta(seconds=seconds)
