"""The operations guide says something about every alarm that may wake somebody, and about every dead-letter queue."""

import re
from pathlib import Path
from typing import Any

from tests.support.sam import load_template, of_type

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
ALARMS = of_type(load_template(), "AWS::CloudWatch::Alarm")
WORKERS = load_template(ROOT / "infra/ecs.yaml")
WORKERS_ALARMS = of_type(WORKERS, "AWS::CloudWatch::Alarm")
SCALING = of_type(WORKERS, "AWS::ApplicationAutoScaling::ScalingPolicy").keys()


def named(pattern: str) -> list[Any]:
    return re.findall(pattern, PAGE, re.MULTILINE)


def test_alarms_when_listed_then_each_of_the_templates_has_a_row_and_no_other() -> None:
    """Whoever is woken finds what it means, what to look at and what to do."""
    of_people = {name for name, alarm in WORKERS_ALARMS.items() if not scales(alarm)}
    assert sorted(named(r"^\| `(\w+Alarm)` \|")) == sorted(ALARMS.keys() | of_people)


def test_alarms_of_scaling_when_mentioned_then_as_no_cause_for_concern() -> None:
    """Those that only move the number of workers are named, so that nobody looks for them in the table."""
    scaling = {name for name, alarm in WORKERS_ALARMS.items() if scales(alarm)}
    (sentence,) = named(r"^The other alarms of `infra/ecs.yaml` \(([^)]*)\)")
    assert set(re.findall(r"`(\w+)`", sentence)) == scaling


def test_dead_letters_when_listed_then_each_output_of_the_template_has_a_row() -> None:
    """A queue that somebody has to read can be found by its output."""
    outputs = {name for name in load_template()["Outputs"] if name.endswith("DeadLettersUrl")}
    assert set(named(r"^\| `(\w+DeadLettersUrl)` \|")) == outputs


def test_workers_alarms_when_priced_then_the_page_says_what_they_cost() -> None:
    """Each deployment on ECS brings alarms of its own: $0.10 a metric, by CloudWatch's price list."""
    ((number, of_workers, dollars),) = named(r"has (\w+) alarms with (\d+) metrics together, \$(\d\.\d\d)")
    assert (number, len(WORKERS_ALARMS)) == ("four", 4)
    assert int(of_workers) == sum(metrics_of(alarm) for alarm in WORKERS_ALARMS.values()) == float(dollars) * 10


def metrics_of(alarm: dict[str, Any]) -> int:
    """Count what an alarm is billed for: its metrics, not its expressions."""
    return sum("MetricStat" in one for one in alarm["Metrics"]) if "Metrics" in alarm else 1


def scales(alarm: dict[str, Any]) -> bool:
    return any(action.get("Ref") in SCALING for action in alarm["AlarmActions"])
