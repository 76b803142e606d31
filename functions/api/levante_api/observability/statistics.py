"""Endpoint of statistics."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_core.domain.frozen import Frozen, Parameters, Time
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.observability.histogram import quantile
from levante_core.domain.observability.statistics import OTHERS, Totals, of_name
from levante_core.services.engine import Engine

PERIODS: Mapping[str, timedelta] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


class StatisticsQuery(Parameters):
    """Which executions."""

    period: Literal["hour", "day", "week", "month"] = "day"
    """Runs that ended in this time before now, from a whole hour on; a month has 30 days."""
    workflow_name: str | None = None
    """Runs of this workflow; activities are those of all."""


class DurationStatistics(Frozen):
    """How long something took; each number is within 5 %."""

    count: int
    """How many were measured."""
    p50_seconds: float | None
    """Half of them took no longer; null if there are none."""
    p95_seconds: float | None
    """95 % of them took no longer."""
    p99_seconds: float | None
    """99 % of them took no longer."""


class FailureCount(Frozen):
    """How many runs failed with one type of failure."""

    type: str | None
    """The name of the exception class; null for those that are not known, and for rare ones beside 200 others."""
    count: int
    """How many runs failed so."""


class WorkflowStatistics(Frozen):
    """How the runs of a workflow ended."""

    workflow_name: str | None
    """Name of the workflow; null for all those beside 200 others in one hour."""
    closed: dict[ExecutionStatus, int]
    """How many ended, by status; a status that none has is left out."""
    failures: tuple[FailureCount, ...]
    """Types of failures of those that FAILED, the most frequent first."""
    duration: DurationStatistics
    """Of those that COMPLETED, from the start of the run to its end."""


class ActivityStatistics(Frozen):
    """How long an activity takes."""

    activity_name: str | None
    """Name of the activity; null for all those beside 200 others in one hour."""
    duration: DurationStatistics
    """Of those that ended well, from being asked for to the end, with the time in queues and all attempts."""


class StatisticsResponse(Frozen):
    """How executions ended in a period."""

    since: Time
    """Everything that ended from this time on is counted."""
    until: Time
    """Everything that ended before this time is counted."""
    is_partial: bool
    """Whether so much has ended of late that the last minutes are not counted yet."""
    workflows: tuple[WorkflowStatistics, ...]
    """Each workflow of which a run ended, the most frequent first."""
    activities: tuple[ActivityStatistics, ...]
    """The activities of a sample, the most frequent first."""
    sampled_executions: int
    """How many runs that COMPLETED are in the sample of activities."""


@dataclass(frozen=True)
class StatisticsEndpoints:
    """Says how executions ended."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [Endpoint("GET", "/v1/statistics", self.get_statistics, READERS)]

    def get_statistics(self, request: Request, query: Annotated[StatisticsQuery, Query()]) -> StatisticsResponse:
        """Count the runs that ended in a period, by workflow, status and type of failure, and measure how long they took."""
        now = self.engine.clock.now()
        found = self.engine.statistics.since(workspace_of(request), now - PERIODS[query.period])
        return StatisticsResponse(
            since=found.since,
            until=found.until,
            is_partial=found.is_partial,
            workflows=tuple(_workflows(found.totals, query.workflow_name)),
            activities=tuple(_activities(found.totals)),
            sampled_executions=found.totals.sampled,
        )


def _workflows(totals: Totals, wanted: str | None) -> Iterator[WorkflowStatistics]:
    counts: dict[str, int] = {}
    for (name, _), count in totals.closed.items():
        counts[name] = counts.get(name, 0) + count
    for name in _most_frequent(counts):
        if wanted in (None, name):
            yield WorkflowStatistics(
                workflow_name=_name(name),
                closed=dict(of_name(totals.closed, name)),
                failures=tuple(
                    FailureCount(type=_name(kind), count=count)
                    for kind, count in of_name(totals.failures, name).most_common()
                ),
                duration=_durations(of_name(totals.durations, name)),
            )


def _activities(totals: Totals) -> Iterator[ActivityStatistics]:
    counts: dict[str, int] = {}
    for (name, _), count in totals.activity_durations.items():
        counts[name] = counts.get(name, 0) + count
    for name in _most_frequent(counts):
        yield ActivityStatistics(activity_name=_name(name), duration=_durations(of_name(totals.activity_durations, name)))


def _most_frequent(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))


def _name(name: str) -> str | None:
    return None if name == OTHERS else name


def _durations(buckets: Mapping[int, int]) -> DurationStatistics:
    return DurationStatistics(
        count=sum(buckets.values()),
        p50_seconds=quantile(buckets, 0.5),
        p95_seconds=quantile(buckets, 0.95),
        p99_seconds=quantile(buckets, 0.99),
    )
