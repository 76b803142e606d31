"""The cache of live runs: the ones used last, and none of them twice."""

import pytest

from levante.worker.runs.cache import RunCache
from levante.worker.runs.ledger import RunLedger
from tests.unit.levante.worker.runs.flows import Basket
from tests.unit.levante.worker.runs.ledgers import begun


def is_disposed(ledger: RunLedger) -> bool:
    """Whether the code of a run was thrown away."""
    return ledger.code._is_disposed


def test_cache_when_it_is_full_then_the_run_used_least_recently_goes() -> None:
    """Its code is thrown away, so that no task of it is left to the garbage collector."""
    cache, (first, second, third) = RunCache(2), [begun(Basket) for _ in range(3)]
    cache.put("1", first)
    cache.put("2", second)
    taken = cache.take("1")
    assert taken is first
    cache.put("1", first)
    cache.put("3", third)
    assert [is_disposed(ledger) for ledger in (first, second, third)] == [False, True, False]
    assert (cache.take("2"), cache.take("3"), cache.take("1")) == (None, third, first)


def test_run_when_it_is_taken_then_the_cache_has_it_no_longer() -> None:
    """It is the caller's, who may drop it."""
    cache, ledger = RunCache(2), begun(Basket)
    cache.put("1", ledger)
    assert cache.take("1") is ledger
    assert cache.take("1") is None
    cache.clear()
    assert not is_disposed(ledger)


@pytest.mark.parametrize("limit", [0, 2])
def test_cache_when_it_keeps_none_or_is_cleared_then_all_code_is_thrown_away(limit: int) -> None:
    """Limit 0 replays every time."""
    cache, ledger = RunCache(limit), begun(Basket)
    cache.put("1", ledger)
    if limit:
        assert not is_disposed(ledger)
        cache.clear()
    assert is_disposed(ledger)
    assert cache.take("1") is None
