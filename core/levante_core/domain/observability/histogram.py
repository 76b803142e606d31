"""Histograms of durations with logarithmic buckets: they add up, and their quantiles are within 5 %."""

from collections.abc import Mapping
from math import ceil, log, sqrt

SMALLEST_SECONDS = 0.001
"""Durations up to this one share a bucket."""
GROWTH = 1.1
"""Each bucket ends at so many times the end of the one before; its middle is within 4.9 % of everything in it."""
_LOG_OF_GROWTH = log(GROWTH)


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket that a duration belongs to."""
    if seconds <= SMALLEST_SECONDS:
        return 0
    return max(1, ceil(log(seconds / SMALLEST_SECONDS) / _LOG_OF_GROWTH - 1e-9))


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the duration in seconds that a share of all durations does not exceed; None if there are none.

    buckets: how many durations are in each. share: 0.5 for the median.
    """
    count = sum(buckets.values())
    if not count:
        return None
    rank, passed = max(1, ceil(share * count - 1e-9)), 0
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        if passed >= rank:
            return _middle(bucket)
    raise AssertionError("the last bucket holds the last rank")


def _middle(bucket: int) -> float:
    return SMALLEST_SECONDS * GROWTH**bucket / (sqrt(GROWTH) if bucket else 1)
