"""Statistics over HTTP: what is asked, what is answered, whose it is."""

from typing import Any

import pytest

from tests.integration.api.harness import Api, completed, failed

PATH = "/v1/statistics"
FIELDS = {"since", "until", "is_partial", "workflows", "activities", "sampled_executions"}


@pytest.fixture
def busy(api: Api) -> Api:
    """Three executions of `greet` that completed in two seconds each, one that failed, and one of `part` that is open."""
    api.register("greet", "part")
    for number in range(4):
        api.start(f"e{number}")
        api.clock.advance(2)
        for task in api.poll():
            api.commit(task, failed("no") if number == 3 else completed({}))
    api.start("p0", "part")
    return api


def statistics(api: Api, query: str = "", key: str = "viewer") -> Any:
    answer = api.call("GET", PATH, key=key, query=query)
    assert answer.status == 200, answer
    assert answer.body.keys() == FIELDS
    return answer.body


def test_statistics_when_executions_have_ended_then_they_are_counted_at_once_and_after_sweeps(busy: Api) -> None:
    """No look waits for a sweep, and none counts twice what a sweep has counted."""
    for _ in range(3):
        found = statistics(busy)
        (greet,) = found["workflows"]
        assert greet["workflow_name"] == "greet"
        assert greet["closed"] == {"COMPLETED": 3, "FAILED": 1}
        assert greet["failures"] == [{"type": "ValueError", "count": 1}]
        assert greet["duration"]["count"] == 3
        for share in ("p50_seconds", "p95_seconds", "p99_seconds"):
            assert greet["duration"][share] == pytest.approx(2, rel=0.05)
        busy.clock.advance(180)
        busy.engine.statistics.sweep()
    assert statistics(busy)["is_partial"] is False


@pytest.mark.parametrize(("period", "days"), [("hour", 1), ("day", 2), ("week", 8), ("month", 31)])
def test_statistics_when_a_period_is_over_then_its_runs_are_left_out(busy: Api, period: str, days: int) -> None:
    """A period begins with a whole hour."""
    assert statistics(busy, f"period={period}")["workflows"]
    busy.clock.advance(days * 24 * 3600)
    busy.engine.statistics.sweep()
    found = statistics(busy, f"period={period}")
    assert found["workflows"] == []
    assert found["since"].endswith(":00:00.000000Z")


def test_statistics_when_asked_for_one_workflow_then_others_are_left_out(busy: Api) -> None:
    """And a workflow of which nothing ended is none."""
    assert [one["workflow_name"] for one in statistics(busy, "workflow_name=greet")["workflows"]] == ["greet"]
    assert statistics(busy, "workflow_name=part")["workflows"] == []


def test_statistics_when_a_stranger_asks_then_nothing_is_told(busy: Api) -> None:
    """A key belongs to one workspace."""
    busy.clock.advance(180)
    busy.engine.statistics.sweep()
    assert statistics(busy, key="strange-viewer")["workflows"] == []


def test_statistics_when_the_period_is_none_then_422(busy: Api) -> None:
    """Periods have names."""
    assert busy.call("GET", PATH, query="period=year").status == 422


# --- backlog ------------------------------------------------------------------------------------------------------------

BACKLOG = "/v1/workflows/deployments/prod/backlog"


def test_backlog_when_tasks_wait_then_they_are_counted_with_the_age_of_the_oldest(api: Api) -> None:
    """Whoever scales workers asks for this."""
    api.register("greet")
    for number in range(3):
        api.start(f"e{number}")
        api.clock.advance(10)
    body = api.call("GET", BACKLOG, key="viewer").body
    assert (body["deployment_name"], body["waiting"], body["in_flight"]) == ("prod", 3, 0)
    workflow, activity = body["queues"]
    assert (workflow["queue"], workflow["build_id"], workflow["waiting"]) == ("workflow", None, 3)
    assert workflow["oldest_waiting_since"] == "2026-01-01T00:00:00.000000Z"
    assert workflow["oldest_waiting_seconds"] == 30
    assert (activity["queue"], activity["waiting"], activity["oldest_waiting_since"]) == ("activity", 0, None)
    api.poll()
    taken = api.call("GET", BACKLOG, key="viewer").body
    assert (taken["waiting"], taken["in_flight"]) == (0, 3)


def test_backlog_when_a_build_has_tasks_then_they_are_counted_apart(api: Api) -> None:
    """Each build has workers of its own."""
    definition = {"name": "greet", "task_queue": "prod", "input_schema": {}}
    request = {"definitions": [definition], "deployment_name": "prod", "worker_name": "w1", "build_id": "b1"}
    assert api.call("POST", "/v1/workflows/register", request, key="worker").status == 200
    api.start("e1")
    queues = api.call("GET", BACKLOG).body["queues"]
    assert {(queue["build_id"], queue["queue"]): queue["waiting"] for queue in queues}["b1", "workflow"] == 1


def test_backlog_when_there_is_no_such_deployment_then_404(api: Api) -> None:
    """Nor one of another workspace."""
    api.register("greet")
    assert api.call("GET", "/v1/workflows/deployments/nobody/backlog").status == 404
    assert api.call("GET", BACKLOG, key="stranger").status == 404


def test_slots_when_a_heartbeat_says_how_many_are_in_use_then_the_worker_is_shown_with_them(api: Api) -> None:
    """With the write that the heartbeat makes anyway; a worker of an earlier version says nothing."""
    refs = api.register("greet")["workflow_registration_refs"]
    body = {"workflow_registration_refs": refs, "deployment_name": "prod", "worker_name": "w1"}
    path, workers = "/v1/workflows/workers/heartbeat", "/v1/workflows/deployments/prod/workers"
    for slots in (None, {"total": 10, "in_use": 3}, {"total": 10, "in_use": 0}, None):
        said = {**body, "activity_slots": slots} if slots else body
        assert api.call("POST", path, said, key="worker").body == {"all_active": True}
        (shown,) = api.call("GET", workers, key="viewer").body["workers"]
        assert shown["activity_slots"] == slots


# --- what one execution costs -------------------------------------------------------------------------------------------


def test_cost_when_an_execution_goes_on_then_it_grows_with_its_history(api: Api) -> None:
    """Estimated of what is recorded."""
    api.register("greet")
    api.start("e1")
    path = "/v1/workflows/executions/e1/cost"
    started = api.call("GET", path, key="viewer").body
    (task,) = api.poll()
    api.clock.advance(4)
    api.commit(task, completed({}))
    closed = api.call("GET", path, key="viewer").body
    units = {unit["unit"]: unit["count"] for unit in closed["units"]}
    assert (units["api_request"], units["queue_request"], closed["duration_seconds"]) == (3, 4, 4)
    assert closed["usd"] == pytest.approx(sum(unit["usd"] for unit in closed["units"]))
    assert 0 < started["usd"] < closed["usd"] < 0.0001
    assert not closed["is_partial"]


def test_cost_when_there_is_no_such_execution_then_404(api: Api) -> None:
    """Nor one of another workspace."""
    api.register("greet")
    api.start("e1")
    assert api.call("GET", "/v1/workflows/executions/e2/cost").status == 404
    assert api.call("GET", "/v1/workflows/executions/e1/cost", key="stranger").status == 404
