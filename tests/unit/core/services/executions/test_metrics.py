"""How executions are counted and measured."""

from datetime import UTC, datetime, timedelta

from levante_core.domain.executions.execution import RunKey
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, RunId, WorkflowName
from levante_core.domain.worker_pool import WorkerPool
from levante_core.services.executions.metrics import POINTS, measured
from levante_core.storage.runs import RunSummary
from tests.support.place import SPACE

START = datetime(2026, 1, 1, tzinfo=UTC)
END = START + timedelta(minutes=POINTS)


def run(status: ExecutionStatus, minute: float = 0, seconds: float | None = None) -> RunSummary:
    """Make a run that started at a minute and took so many seconds."""
    began = START + timedelta(minutes=minute)
    return RunSummary(
        key=RunKey(SPACE, ExecutionId("e"), RunId("r")),
        workflow_name=WorkflowName("w"),
        workflow_id="i",
        pool=WorkerPool.parse("d"),
        root_execution_id=ExecutionId("e"),
        parent_execution_id=None,
        user_id=None,
        status=status,
        started_at=began,
        ended_at=None if seconds is None else began + timedelta(seconds=seconds),
        search_keys={},
    )


def test_metrics_when_runs_end_in_every_way_then_each_counts_as_what_it_is() -> None:
    """Who was stopped by somebody has neither succeeded nor failed; who continues as new has not ended."""
    runs = [run(status, seconds=1) for status in ExecutionStatus if status is not ExecutionStatus.RUNNING]
    found = measured([*runs, run(ExecutionStatus.RUNNING)], START, END)
    assert (found.executions, found.completed, found.errors) == (len(ExecutionStatus) - 1, 1, 2)


def test_latencies_when_executions_completed_then_they_are_averaged_by_when_they_started() -> None:
    """In milliseconds; parts of the period in which nothing started are left out."""
    completed = ExecutionStatus.COMPLETED
    runs = [run(completed, 0, 1), run(completed, 0.5, 3), run(completed, 30, 8), run(ExecutionStatus.FAILED, 30, 100)]
    found = measured(runs, START, END)
    assert found.average_latency_ms == 4000
    half_an_hour = int((START + timedelta(minutes=30)).timestamp())
    assert found.latency_over_time == ((int(START.timestamp()), 2000), (half_an_hour, 8000))


def test_metrics_when_nothing_happened_then_all_is_nought() -> None:
    """And there is no curve."""
    found = measured([], START, END)
    assert (found.executions, found.average_latency_ms, found.latency_over_time) == (0, 0, ())
