"""Estimates are those of the counted workloads of docs/cost.md, where everything is in the history that was counted."""

import pytest

from levante_core.domain.observability.costs import PRICES, CostUnit, estimated, priced

ITEM_BYTES = 1_500
BATCH_BYTES = 700


@pytest.mark.parametrize(
    ("batches", "api", "table", "indexes", "queue"), [(1, 3, 8, 11, 4), (101, 103, 108, 11, 4)], ids=["one", "chain"]
)
def test_units_when_a_workload_was_counted_then_the_estimate_is_the_count(
    batches: int, api: int, table: int, indexes: int, queue: int
) -> None:
    """Whoever changes what an execution writes changes this, too: see tests/aws/test_costs.py."""
    units = estimated(ITEM_BYTES, [BATCH_BYTES] * batches, [], 0, queued=0, is_closed=True)
    assert units[CostUnit.API_REQUEST] == api
    assert units[CostUnit.WRITE_UNIT] == table + indexes
    assert units[CostUnit.QUEUE_REQUEST] == queue


def test_units_when_a_run_is_open_then_its_end_is_not_in_them() -> None:
    """So far only the start was written, with its places in three indexes."""
    assert estimated(ITEM_BYTES, [], [], 0, queued=0, is_closed=False)[CostUnit.WRITE_UNIT] == 2 + 3


def test_units_when_there_are_large_batches_messages_and_attempts_then_each_counts() -> None:
    """A KiB is a unit; each message leads to another task, and so does each attempt."""
    plain = estimated(ITEM_BYTES, [BATCH_BYTES], [], 0, queued=0, is_closed=False)
    more = estimated(ITEM_BYTES, [BATCH_BYTES, 5_000], [100, 3_000], 1, queued=2, is_closed=False)
    assert more[CostUnit.WRITE_UNIT] - plain[CostUnit.WRITE_UNIT] == 5 + 1 + 3 + 1
    assert more[CostUnit.QUEUE_REQUEST] - plain[CostUnit.QUEUE_REQUEST] == 4 * (2 + 2 + 1)


def test_price_when_units_are_priced_then_it_is_their_sum() -> None:
    """Every unit has a price."""
    assert PRICES.keys() == set(CostUnit)
    assert priced({CostUnit.WRITE_UNIT: 2, CostUnit.API_REQUEST: 3}, PRICES) == pytest.approx(2 * 0.625e-6 + 3e-6)
