import pytest
from benchmarks.cost.bill import (
    Service,
    bill,
    bill_after_free_tier,
    elsewhere,
    gb_seconds,
    per_million_steps,
)
from benchmarks.cost.counts import Counts, Unit
from benchmarks.cost.deployment import Deployment
from benchmarks.cost.prices import Other
from benchmarks.cost.shapes import Shape

DEPLOYMENT = Deployment({"api": 1024, "sweep": 512}, "arm64", alarms=12)


def counts(**numbers: float) -> Counts:
    """Counts of units by name, without details."""
    return Counts.read({unit: {"x": number} for unit, number in numbers.items()})


@pytest.mark.parametrize(
    ("unit", "service", "usd"),
    [
        ("gateway_requests", Service.GATEWAY, 1.00),
        ("invocations", Service.LAMBDA, 0.20),
        ("write_units", Service.WRITES, 0.625),
        ("read_units", Service.READS, 0.125),
        ("fifo_requests", Service.SQS, 0.50),
        ("standard_requests", Service.SQS, 0.40),
        ("s3_puts", Service.S3, 5.00),
        ("s3_gets", Service.S3, 0.40),
        ("free_of_charge", None, 0.00),
    ],
)
def test_bill_when_a_million_of_a_unit_are_used_then_its_service_costs_the_list_price(
    unit: str, service: Service | None, usd: float
) -> None:
    """Each unit lands on one service, at its price, and on no other."""
    found = bill(counts(**{unit: 1_000_000}), DEPLOYMENT)
    assert found.total == pytest.approx(usd)
    assert service is None or found.usd[service] == pytest.approx(usd)


def test_gb_seconds_when_functions_differ_in_memory_then_each_counts_by_its_own() -> None:
    """A second with 1,024 MB is a GB-second; with 512 it is half of one."""
    used = Counts.read({"billed_ms": {"api": 2000, "sweep": 3000}})
    assert gb_seconds(used, DEPLOYMENT) == pytest.approx(3.5)
    assert bill(used, DEPLOYMENT).usd[Service.LAMBDA] == pytest.approx(3.5 * 0.0000133334)


def test_free_tier_when_a_month_uses_more_then_what_is_beyond_is_charged() -> None:
    """Two alarms of twelve, and nothing of what stays within a month's allowance."""
    used = counts(alarm_months=12, invocations=900_000, log_bytes=6 * 1024**3, write_units=1_000_000)
    found = bill_after_free_tier(used, DEPLOYMENT)
    assert found.usd[Service.ALARMS] == pytest.approx(0.20)
    assert found.usd[Service.LAMBDA] == 0
    assert found.usd[Service.LOGS] == pytest.approx(0.50)
    assert found.usd[Service.WRITES] == pytest.approx(0.625), "DynamoDB gives on-demand tables nothing"


def test_free_tier_when_both_kinds_of_queues_are_used_then_they_share_a_million_requests() -> None:
    """A third of three million requests is free, whichever queues they go to."""
    found = bill_after_free_tier(counts(fifo_requests=2_000_000, standard_requests=1_000_000), DEPLOYMENT)
    assert found.usd[Service.SQS] == pytest.approx((1.00 + 0.40) * 2 / 3)


def test_per_million_steps_when_an_execution_has_many_then_its_price_is_divided() -> None:
    """Signals and timers are steps like activities."""
    assert per_million_steps(0.00003, Shape(10, signals=1, timers=1)) == pytest.approx(2.50)


@pytest.mark.parametrize(
    ("shape", "transitions", "operations", "actions"),
    [(Shape(1), 2, 2, 2), (Shape(200, is_fan=True), 202, 202, 201), (Shape(10, signals=1, timers=1), 13, 13, 13)],
)
def test_elsewhere_when_the_same_work_is_done_then_it_is_charged_by_the_stated_rules(
    shape: Shape, transitions: int, operations: int, actions: int
) -> None:
    """The start, and each step; the map of a fan-out where there is such a thing."""
    found = elsewhere(shape)
    assert found[Other.STEP_FUNCTIONS] == pytest.approx(transitions * 25e-6)
    assert found[Other.DURABLE] == pytest.approx(operations * 8e-6)
    assert found[Other.TEMPORAL] == pytest.approx(actions * 50e-6)


def test_counts_when_written_and_read_then_they_are_the_same_and_nothing_is_left_of_zeros() -> None:
    """What is kept beside the meter is what was measured, halves of read units included."""
    used = Counts()
    used.add(Unit.READ, "table", 0.5)
    used.add(Unit.READ, "table", 1)
    used.add(Unit.WRITE, "table", 0)
    assert used.written() == {"read_units": {"table": 1.5}}
    assert Counts.read(used.written()).written() == used.written()


def test_counts_when_of_a_unit_that_is_not_known_then_they_are_refused() -> None:
    """A unit that nobody prices would be free."""
    with pytest.raises(ValueError, match="lunches"):
        Counts.read({"lunches": {"x": 1}})
