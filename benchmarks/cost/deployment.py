"""What the price of an installation takes from `template.yaml`, at the template's defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.sam import load_template, of_type

_FUNCTIONS = {
    "api": "ApiFunction",
    "stream": "StreamFunction",
    "timers": "TimersFunction",
    "sweep": "SweepFunction",
    "events": "EventsFunction",
}


@dataclass(frozen=True, slots=True)
class Deployment:
    """memory_mb: of each function. alarms: how many, each of one metric."""

    memory_mb: Mapping[str, int]
    architecture: str
    alarms: int


def read_deployment() -> Deployment:
    """Read the template. Raises: ValueError if an alarm has several metrics, each of which would be billed."""
    template = load_template()
    alarms = of_type(template, "AWS::CloudWatch::Alarm")
    if any("Metrics" in one for one in alarms.values()):
        raise ValueError("an alarm of several metrics is billed for each: count them")

    def default(name: str) -> Any:
        return template["Parameters"][name]["Default"]

    memory = {
        name: int(default(template["Resources"][function]["Properties"]["MemorySize"]["Ref"]))
        for name, function in _FUNCTIONS.items()
    }
    return Deployment(memory, str(default("Architecture")), len(alarms))
