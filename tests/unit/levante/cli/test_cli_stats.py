"""`levante stats` against a small server that answers as the API does."""

import json

import pytest

from tests.support.cli import Api, api, run

__all__ = ["api"]

DURATION = {"count": 3, "p50_seconds": 0.25, "p95_seconds": 90.0, "p99_seconds": 7200.0}
STATISTICS = {
    "since": "2026-12-01T00:00:00Z",
    "until": "2026-12-02T00:00:00Z",
    "is_partial": False,
    "workflows": [
        {
            "workflow_name": "checkout",
            "closed": {"COMPLETED": 3, "FAILED": 2, "TIMED_OUT": 1},
            "failures": [{"type": "PaymentRefused", "count": 1}, {"type": None, "count": 1}],
            "duration": DURATION,
        }
    ],
    "activities": [{"activity_name": "charge", "duration": DURATION}],
    "sampled_executions": 2,
}


@pytest.fixture
def counted(api: Api) -> Api:
    api.on("GET", "/v1/statistics", (200, STATISTICS))
    return api


def test_workflows_when_shown_then_counts_failures_and_durations_are_there(counted: Api) -> None:
    """Durations in the unit that people would use; what is rare is named, too."""
    shown = run(counted, "stats", "workflows", "--period", "week", "--workflow", "checkout")
    assert shown.exit_code == 0
    line = shown.stdout.splitlines()[1]
    for text in ("checkout", " 3 ", " 2 ", "TIMED_OUT 1", "PaymentRefused 1, (others) 1", "250 ms", "1.5 min", "2 h"):
        assert text in line
    assert [path for _, path, _, _ in counted.asked] == ["/v1/statistics?period=week&workflow_name=checkout"]


def test_activities_when_shown_then_their_durations_are_there(counted: Api) -> None:
    """With how many the sample has."""
    line = run(counted, "stats", "activities").stdout.splitlines()[1]
    assert line.split() == ["charge", "3", "250", "ms", "1.5", "min", "2", "h"]


def test_stats_when_asked_for_json_then_it_is_the_answer(counted: Api) -> None:
    """Programs read what the API says."""
    assert json.loads(run(counted, "stats", "workflows", "--json").stdout) == STATISTICS


def test_stats_when_the_last_minutes_are_not_counted_then_that_is_said(api: Api) -> None:
    """Whoever looks may wait a minute."""
    api.on("GET", "/v1/statistics", (200, {**STATISTICS, "is_partial": True}))
    assert "not counted yet" in run(api, "stats", "workflows").stderr


def test_backlog_when_tasks_wait_then_the_age_of_the_oldest_is_shown(api: Api) -> None:
    """Of each queue."""
    queue = {
        "queue": "workflow",
        "build_id": None,
        "waiting": 3,
        "in_flight": 1,
        "delayed": 0,
        "oldest_waiting_since": "2026-12-01T00:00:00Z",
        "oldest_waiting_seconds": 42.0,
    }
    answer = {"deployment_name": "prod", "queues": [queue], "waiting": 3, "in_flight": 1}
    api.on("GET", "/v1/workflows/deployments/prod/backlog", (200, answer))
    line = run(api, "stats", "backlog", "prod").stdout.splitlines()[1]
    assert line.split() == ["workflow", "-", "3", "1", "0", "42", "s"]


def test_cost_when_shown_then_each_unit_and_the_sum_are_there(api: Api) -> None:
    """With what is behind the price."""
    units = [{"unit": "write_unit", "count": 19, "usd": 0.000011875}, {"unit": "api_request", "count": 3, "usd": 0.000003}]
    answer = {"execution_id": "e1", "run_id": "r", "units": units, "usd": 0.000014875, "is_partial": False}
    api.on("GET", "/v1/workflows/executions/e1/cost", (200, answer))
    lines = [line.split() for line in run(api, "stats", "cost", "e1").stdout.splitlines()[1:]]
    assert lines == [["write_unit", "19", "0.00001188"], ["api_request", "3", "0.00000300"], ["all", "-", "0.00001488"]]
