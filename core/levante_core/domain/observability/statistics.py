"""Statistics of executions: how many ended in which way, and how long they and their activities took."""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.observability.histogram import bucket_of

Part = TypeVar("Part", bound=Hashable)

OTHERS = ""
"""Stands for all names beyond the most that are told apart, and for failures of which the type is not known."""
MOST_WORKFLOWS = 200
"""Told apart in one hour."""
MOST_ACTIVITIES = 200
MOST_FAILURE_TYPES = 200
"""Told apart in one hour, each of each workflow."""
MOST_CHARACTERS = 128
"""Of the type of a failure."""


@dataclass(frozen=True, slots=True)
class ClosedRun:
    """What is counted of a run that has ended.

    place: in the order in which runs end, within a shard. failure_type: of a run that has failed, if it is known.
    activities: names and seconds of those that ended well, if the run is in the sample.
    """

    shard: int
    place: str
    workflow: str
    status: ExecutionStatus
    started_at: datetime
    ended_at: datetime
    failure_type: str | None = None
    activities: tuple[tuple[str, float], ...] | None = None


@dataclass(slots=True)
class Totals:
    """Counts that add up.

    closed: runs by workflow and status. failures: by workflow and type. durations, activity_durations: how many are in each
    bucket of the histogram, by workflow and by activity. sampled: runs whose activities were looked at.
    """

    closed: Counter[tuple[str, ExecutionStatus]] = field(default_factory=Counter)
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    durations: Counter[tuple[str, int]] = field(default_factory=Counter)
    activity_durations: Counter[tuple[str, int]] = field(default_factory=Counter)
    sampled: int = 0

    @property
    def runs(self) -> int:
        """How many runs are counted."""
        return self.closed.total()

    def count(self, run: ClosedRun) -> None:
        """Count a run. Durations are those of runs that completed, from the start of the run on."""
        workflow = _told_apart(run.workflow, {name for name, _ in self.closed}, MOST_WORKFLOWS)
        self.closed[workflow, run.status] += 1
        if run.status is ExecutionStatus.COMPLETED:
            self.durations[workflow, bucket_of((run.ended_at - run.started_at).total_seconds())] += 1
        if run.status is ExecutionStatus.FAILED:
            kind = (run.failure_type or OTHERS)[:MOST_CHARACTERS]
            told_apart = (workflow, kind) in self.failures or len(self.failures) < MOST_FAILURE_TYPES
            self.failures[workflow, kind if told_apart else OTHERS] += 1
        if run.activities is not None:
            self.sampled += 1
            self._count_activities(run.activities)

    def _count_activities(self, activities: Iterable[tuple[str, float]]) -> None:
        known = {name for name, _ in self.activity_durations}
        for name, seconds in activities:
            counted_as = _told_apart(name, known, MOST_ACTIVITIES)
            known.add(counted_as)
            self.activity_durations[counted_as, bucket_of(seconds)] += 1

    def add(self, others: "Totals") -> None:
        """Add other totals to these."""
        self.closed += others.closed
        self.failures += others.failures
        self.durations += others.durations
        self.activity_durations += others.activity_durations
        self.sampled += others.sampled


def _told_apart(name: str, known: set[str], most: int) -> str:
    return name if name in known or len(known) < most else OTHERS


def of_name(counts: Counter[tuple[str, Part]], name: str) -> Counter[Part]:
    """Return what is counted under a name."""
    return Counter({part: count for (counted, part), count in counts.items() if counted == name})
