from collections import Counter

import pytest
from benchmarks.cost.bill import bill
from benchmarks.cost.counts import Counts, Unit
from benchmarks.cost.deployment import read_deployment
from benchmarks.cost.durations import call_ms
from benchmarks.cost.page import PAGE, page
from benchmarks.cost.prices import PRICES
from benchmarks.cost.recorded import FILE, Recorded
from benchmarks.cost.shapes import WORKLOADS

from tests.support.sam import load_template, of_type


def test_page_when_written_again_then_the_committed_one_is_the_same() -> None:
    """The page says what the counts, the prices and the template say."""
    recorded = Recorded.read(FILE.read_text(encoding="utf-8"))
    assert PAGE.read_text(encoding="utf-8") == page(recorded, read_deployment()), "stale: run `make bench-cost`"


def test_recorded_when_read_and_written_then_it_is_the_same_file_and_has_every_workload() -> None:
    """Nothing of a measurement is lost on the way to the page."""
    text = FILE.read_text(encoding="utf-8")
    recorded = Recorded.read(text)
    assert recorded.written() == text
    assert recorded.workloads.keys() == WORKLOADS.keys()


@pytest.mark.slow
def test_deployment_when_read_then_it_has_every_function_and_alarm_of_the_template() -> None:
    """A function or an alarm that is added to the template is not forgotten in the bill."""
    deployment = read_deployment()
    assert len(deployment.memory_mb) == len(of_type(load_template(), "AWS::Serverless::Function"))
    assert deployment.alarms == len(of_type(load_template(), "AWS::CloudWatch::Alarm"))


def test_prices_when_units_are_listed_then_each_has_one() -> None:
    """What is counted is priced; time is billed as GB-seconds."""
    assert PRICES.keys() == set(Unit) - {Unit.BILLED_MS}


def test_idle_month_when_billed_then_alarms_cost_a_whole_month() -> None:
    """Alarms are billed by the hour: 730 hours are a month of each."""
    deployment = read_deployment()
    counts = Recorded({}, Counts(), Counts()).idle(730, deployment)
    assert round(bill(counts, deployment).total, 6) == round(deployment.alarms * 0.10, 6)


def test_call_ms_when_calls_are_made_at_once_then_they_take_as_long_as_their_rounds() -> None:
    """Seventeen writes on sixteen connections take two rounds; in turn they take seventeen."""
    assert call_ms(Counter(), Counter(PutItem=17)) == 2 * call_ms(Counter(PutItem=1), Counter())
    assert call_ms(Counter(PutItem=17), Counter()) == 17 * call_ms(Counter(PutItem=1), Counter())
