"""Quantiles of histograms are within 5 % of the exact ones, also of histograms that were added up."""

from collections import Counter
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levante_core.domain.observability.histogram import SMALLEST_SECONDS, bucket_of, quantile

SHARES = [0.5, 0.95, 0.99]
durations = st.lists(st.floats(0, 10 * 365 * 24 * 3600.0), min_size=1, max_size=200)


def exact(values: list[float], share: float) -> float:
    return sorted(values)[max(1, ceil(share * len(values) - 1e-9)) - 1]


@given(durations, st.sampled_from(SHARES))
def test_quantile_when_compared_with_the_exact_one_then_it_is_within_5_percent(values: list[float], share: float) -> None:
    """What is shown may be relied on, whatever the durations are; those below a millisecond count as one."""
    shown = quantile(Counter(map(bucket_of, values)), share)
    expected = max(exact(values, share), SMALLEST_SECONDS)
    assert shown is not None
    assert expected * 0.95 <= shown <= expected * 1.05


@given(durations, durations, st.sampled_from(SHARES))
def test_histograms_when_added_up_then_they_are_the_histogram_of_all(
    some: list[float], others: list[float], share: float
) -> None:
    """Hours add up to days without another error."""
    added = Counter(map(bucket_of, some)) + Counter(map(bucket_of, others))
    assert quantile(added, share) == quantile(Counter(map(bucket_of, some + others)), share)


@pytest.mark.parametrize("share", SHARES)
def test_quantile_when_there_is_nothing_then_there_is_none(share: float) -> None:
    """Nothing took no time at all."""
    assert quantile({}, share) is None


@given(st.floats(0, 1e9), st.floats(0, 1e9))
def test_bucket_when_a_duration_is_longer_then_its_bucket_is_no_lower(one: float, other: float) -> None:
    """Buckets are in the order of durations."""
    shorter, longer = sorted((one, other))
    assert bucket_of(shorter) <= bucket_of(longer)


def test_buckets_when_durations_are_up_to_a_month_then_there_are_few_of_them() -> None:
    """An hour's item stays small."""
    assert bucket_of(31 * 24 * 3600) < 250
