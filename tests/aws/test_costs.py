"""What workloads cost on AWS, by the calls that the programs really make (docs/cost.md)."""

import pytest
from benchmarks.cost.counts import TABLE, Counts, Unit
from benchmarks.cost.deployment import read_deployment
from benchmarks.cost.page import IDLE_AIM_USD, STEPS_AIM_USD, chain_steps_usd, idle_month_usd
from benchmarks.cost.recorded import FILE, Recorded
from benchmarks.cost.workloads import measure, measure_one

RECORDED = Recorded.read(FILE.read_text(encoding="utf-8"))

FULL_SECONDS = 900

EXACT = {
    "one": {"api": 3, "stream": 1, "table": 8, "indexes": 11, "fifo": 4, "standard": 0},
    "chain": {"api": 103, "stream": 1, "table": 108, "indexes": 11, "fifo": 4, "standard": 0},
    "fan": {"api": 4, "stream": 1, "table": 29, "indexes": 11, "fifo": 4, "standard": 0},
    "fleet": {"api": 35, "stream": 4, "table": 228, "indexes": 11, "fifo": 544, "standard": 0},
    "order": {"api": 15, "stream": 3, "table": 27, "indexes": 11, "fifo": 14, "standard": 3},
    "stream": {"api": 104, "stream": 1, "table": 517, "indexes": 11, "fifo": 4, "standard": 0},
}
"""API requests, invocations by the table's stream, write units of the table and of its indexes, SQS requests."""


def summary(counts: Counts) -> dict[str, float]:
    """Return the counts that EXACT has. Each request is an invocation of the API's function."""
    assert counts.sum(Unit.GATEWAY) == counts.of(Unit.INVOCATION)["api"]
    return {
        "api": counts.sum(Unit.GATEWAY),
        "stream": counts.of(Unit.INVOCATION)["stream"],
        "table": counts.of(Unit.WRITE)[TABLE],
        "indexes": counts.of_indexes(Unit.WRITE),
        "fifo": counts.sum(Unit.FIFO),
        "standard": counts.sum(Unit.STANDARD),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["one", "chain", "order"])
def test_workload_when_run_then_it_costs_what_is_recorded(name: str) -> None:
    """The counts beside the meter, which the page is made from, are those of today's code: not one request more."""
    assert measure_one(name).written() == RECORDED.workloads[name].written(), "changed: run `make bench-cost`"


@pytest.mark.parametrize("name", EXACT)
def test_recorded_counts_when_read_then_they_are_those_that_somebody_agreed_to(name: str) -> None:
    """Whoever makes a workload dearer says so here too, not only by running the meter again."""
    assert summary(RECORDED.workloads[name]) == EXACT[name]


@pytest.mark.emulators
@pytest.mark.timeout(FULL_SECONDS)
def test_everything_when_run_on_dynamodb_local_then_counts_are_the_recorded_and_it_reports_the_same_units(
    dynamodb_local_url: str,
) -> None:
    """Amazon's own emulator reports, for each single write and read, the units that the meter's rules work out.

    It is not asked about transactions, which it reports at half, nor believed that a read that finds nothing is free.
    """
    recorded, comparison = measure(dynamodb_local_url)
    assert comparison.disagreements == []
    assert comparison.agreements > 1000
    assert recorded.written() == FILE.read_text(encoding="utf-8"), "changed: run `make bench-cost`"


def test_million_short_steps_in_sequence_when_priced_then_they_cost_no_more_than_is_aimed_at() -> None:
    """API, Lambda, DynamoDB and SQS together, start and read of the result included."""
    assert chain_steps_usd(RECORDED, read_deployment()) <= STEPS_AIM_USD


def test_idle_month_when_priced_after_the_free_tier_then_it_costs_less_than_is_aimed_at() -> None:
    """Alarms included, of which an account has ten for nothing. At list prices they alone are more than the aim."""
    listed, after_free_tier = idle_month_usd(RECORDED, read_deployment())
    assert after_free_tier < IDLE_AIM_USD < listed


def test_idle_hour_when_nothing_happens_then_nothing_is_written_and_sweeps_alone_run() -> None:
    """Whoever runs nothing pays for sixty sweeps an hour, and for Lambda's polls of the timers queue."""
    idle = RECORDED.idle_hour
    assert dict(idle.of(Unit.INVOCATION)) == {"sweep": 60}
    assert (idle.sum(Unit.WRITE), idle.sum(Unit.FIFO), idle.sum(Unit.GATEWAY)) == (0, 0, 0)


def test_idle_worker_when_connected_for_an_hour_then_it_polls_and_says_that_it_is_there() -> None:
    """Two polls of 20 s each, all the time; a heartbeat about each 10 s, and new credentials within the hour."""
    worker = RECORDED.worker_hour
    assert worker.of(Unit.FIFO)["ReceiveMessage"] == 2 * 3600 / 20
    assert 3600 / 11 < worker.sum(Unit.GATEWAY) < 3600 / 9
    assert worker.of(Unit.FREE)["AssumeRole"] == 1
