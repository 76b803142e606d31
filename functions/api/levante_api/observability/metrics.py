"""Endpoint of metrics."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_core.domain.frozen import Frozen, Moment, Parameters
from levante_core.services.engine import Engine

NOT_MEASURED = -1
"""What the contract says of the rate of retries."""


class MetricsQuery(Parameters):
    """When the executions started."""

    start_time: Moment | None = None
    """Executions that started from this time on; a day before end_time, if it is left out."""
    end_time: Moment | None = None
    """Executions that started before this time; now, if left out."""


class ScalarMetric(Frozen):
    """A number."""

    value: int | float
    """The number."""


class TimeSeriesMetric(Frozen):
    """Numbers by time, in seconds since 1970."""

    value: tuple[tuple[int, int | float], ...]
    """Pairs of a time, in seconds since 1970, and a number."""


class WorkflowMetrics(Frozen):
    """How the executions of a workflow have done."""

    execution_count: ScalarMetric
    """How many executions started in the period."""
    success_count: ScalarMetric
    """Those that are COMPLETED."""
    error_count: ScalarMetric
    """Those that are FAILED or TIMED_OUT."""
    average_latency_ms: ScalarMetric
    """Mean time from start to end, of those that are COMPLETED."""
    latency_over_time: TimeSeriesMetric
    """The same mean, by time of start."""
    retry_rate: ScalarMetric
    """Always the same number: it is not measured here."""
    is_partial: bool
    """Whether these are the newest 5,000 executions alone, and the counts are "at least"."""
    blocked_count: ScalarMetric
    """Of the newest 100 that are open, those that something keeps from going on; not part of Mistral's API."""


@dataclass(frozen=True)
class MetricsEndpoints:
    """Measures workflows."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows/<workflow_name>/metrics"
        return [Endpoint("GET", path, self.get_workflow_metrics, READERS, errors=(404,))]

    def get_workflow_metrics(
        self, request: Request, workflow_name: str, query: Annotated[MetricsQuery, Query()]
    ) -> WorkflowMetrics:
        """Count and measure the executions of a workflow that started in a period, by default in the last day."""
        metrics = self.engine.metrics.of_workflow(
            workspace_of(request), workflow_name, start=query.start_time, end=query.end_time
        )
        return WorkflowMetrics(
            execution_count=ScalarMetric(value=metrics.executions),
            success_count=ScalarMetric(value=metrics.completed),
            error_count=ScalarMetric(value=metrics.errors),
            average_latency_ms=ScalarMetric(value=metrics.average_latency_ms),
            latency_over_time=TimeSeriesMetric(value=metrics.latency_over_time),
            retry_rate=ScalarMetric(value=NOT_MEASURED),
            is_partial=metrics.is_partial,
            blocked_count=ScalarMetric(value=metrics.blocked),
        )
