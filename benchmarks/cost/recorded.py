"""The counts of the last measurement, as they are kept beside the meter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.cost.counts import Counts, Unit
from benchmarks.cost.deployment import Deployment

MONTH_HOURS = 730
FILE = Path(__file__).with_name("counts.json")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Counts by workload, of an hour without workers, and of an hour with one that has nothing to do."""

    workloads: Mapping[str, Counts]
    idle_hour: Counts
    worker_hour: Counts

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what `written` wrote."""
        found = json.loads(text)
        workloads = {name: Counts.read(counts) for name, counts in found["workloads"].items()}
        return cls(workloads, Counts.read(found["idle_hour"]), Counts.read(found["worker_hour"]))

    def written(self) -> str:
        """Write as JSON that reads well in a difference of two versions."""
        workloads = {name: counts.written() for name, counts in self.workloads.items()}
        document = {"workloads": workloads, "idle_hour": self.idle_hour.written(), "worker_hour": self.worker_hour.written()}
        return json.dumps(document, indent=2) + "\n"

    def idle(self, hours: int, deployment: Deployment) -> Counts:
        """Return the counts of so many hours without workers. Alarms are billed by the hour."""
        counts = self.idle_hour.times(hours)
        counts.add(Unit.ALARM, "alarms", deployment.alarms * hours / MONTH_HOURS)
        return counts
