from typing import Any

import pytest

from levante_core.services import paging
from tests.integration.api.harness import Api

KEYS_OF_A_RUN = {
    "workflow_name", "execution_id", "root_execution_id", "status", "start_time", "end_time", "workflow_id",
    "deployment_name", "parent_execution_id", "run_id", "user_id", "total_duration_ms", "blockers",
}  # fmt: skip


@pytest.fixture
def runs(api: Api) -> Api:
    """Executions e0 to e4 of `greet`, the odd ones completed, and one of `part`."""
    api.register("greet", "part")
    for number in range(5):
        api.clock.advance(1)
        api.start(f"e{number}")
        if number % 2:
            api.complete(f"e{number}")
    api.clock.advance(1)
    api.start("p0", "part")
    return api


def ids(body: dict[str, Any]) -> list[str]:
    return [one["execution_id"] for one in body["executions"]]


def test_runs_when_listed_then_rows_have_every_key_and_no_result(runs: Api) -> None:
    """A listing tells all but input and result."""
    body = runs.call("GET", "/v1/workflows/runs", key="client").body
    assert all(row.keys() == KEYS_OF_A_RUN for row in body["executions"])
    assert ids(body) == ["p0", "e4", "e3", "e2", "e1", "e0"]
    assert body["next_page_token"] is None


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("order=asc&workflow_identifier=greet", ["e0", "e1", "e2", "e3", "e4"]),
        ("order=asc&status=COMPLETED", ["e1", "e3"]),
        ("order=asc&status=COMPLETED&status=RUNNING&workflow_identifier=part", ["p0"]),
        ("status=RETRYING_AFTER_ERROR", []),  # a status of the contract that no run of ours has
        ("deployment_name=prod&order=asc&status=COMPLETED", ["e1", "e3"]),
        ("deployment_name=other", []),
        ("root_execution_id=e2", ["e2"]),
        ("search=P0", ["p0"]),
        ("search=PART", ["p0"]),
        ("search=p0+part", ["p0"]),
        ("search=p0+greet", []),
        ("include_internal=false&workflow_identifier=part", ["p0"]),
        ("sort_by=start_time&include_internal=true&page_size=1000", ["p0", "e4", "e3", "e2", "e1", "e0"]),
    ],
)
def test_runs_when_filtered_then_only_these_come(runs: Api, query: str, expected: list[str]) -> None:
    """Filters are combined; a repeated status means any of them."""
    assert ids(runs.call("GET", "/v1/workflows/runs", query=query).body) == expected


@pytest.mark.slow
def test_runs_when_filtered_by_time_then_the_window_is_half_open(runs: Api) -> None:
    """From `after` on, and before `before`; what is open has not ended at any time."""
    rows = runs.call("GET", "/v1/workflows/runs", query="order=asc").body["executions"]
    started = [row["start_time"] for row in rows]
    ended = {row["execution_id"]: row["end_time"] for row in rows if row["end_time"]}
    for query, expected in (
        ({"start_time_after": started[1], "start_time_before": started[4]}, ["e1", "e2", "e3"]),
        ({"start_time_before": started[1]}, ["e0"]),
        ({"end_time_after": ended["e1"]}, ["e1", "e3"]),
        ({"end_time_after": ended["e1"], "end_time_before": ended["e3"]}, ["e1"]),
    ):
        assert ids(runs.call("GET", "/v1/workflows/runs", query={"order": "asc", **query}).body) == expected, query


def test_runs_when_paged_then_pages_are_full_until_the_last(runs: Api) -> None:
    """The official client stops at the first short page."""
    pages, token = [], ""
    while True:
        query = {"page_size": 2, "status": "RUNNING", **({"next_page_token": token} if token else {})}
        body = runs.call("GET", "/v1/workflows/runs", query=query).body
        pages.append(ids(body))
        token = body["next_page_token"]
        if not token:
            break
    assert pages[:2] == [["p0", "e4"], ["e2", "e0"]]
    assert pages[2:] in ([], [[]])


def test_runs_when_asked_whose_they_are_then_the_api_key_decides(api: Api) -> None:
    """A key stands for who has it; what runs below an execution, and what a schedule starts, is theirs too."""
    api.register("greet")
    known = {one["name"]: one["key_id"] for one in api.call("GET", "/v1/keys").body["keys"]}
    for key in ("client", "admin"):
        path = "/v1/workflows/greet/execute"
        started = api.call("POST", path, key=key, body={"execution_id": f"of-{key}", "input": {"a": 1}})
        assert started.body["user_id"] == known[key]
    for key in ("client", "admin"):
        listed = api.call("GET", "/v1/workflows/runs", key=key, query="user_id=current").body
        assert ids(listed) == [f"of-{key}"]
        assert listed == api.call("GET", "/v1/workflows/runs", query={"user_id": known[key]}).body
        assert {row["user_id"] for row in listed["executions"]} == {known[key]}
    assert ids(api.call("GET", "/v1/workflows/runs", query="user_id=nobody").body) == []


def test_schedules_when_asked_whose_they_are_then_the_api_key_decides(api: Api) -> None:
    """Those that code declares are nobody's."""
    api.register("greet")
    path = "/v1/workflows/schedules"
    for key in ("client", "admin"):
        spec = {"schedule_id": f"of-{key}", "input": {"a": 1}, "intervals": [{"every": "PT1H"}]}
        api.call("POST", path, key=key, body={"workflow_identifier": "greet", "schedule": spec})
        api.call("POST", f"{path}/of-{key}/trigger", body={})
    for key in ("client", "admin"):
        found = api.call("GET", path, key=key, query="user_id=current").body["schedules"]
        assert [one["schedule_id"] for one in found] == [f"of-{key}"]
        (started,) = api.call("GET", "/v1/workflows/runs", key=key, query="user_id=current").body["executions"]
        assert started["execution_id"].startswith(f"of-{key}-")


def test_runs_when_sorted_by_their_end_then_open_ones_come_as_the_last_to_end(
    runs: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both orders and over pages; what cannot be sorted in one go is refused."""

    def listed(order: str, size: int) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            query = f"sort_by=end_time&order={order}&page_size={size}&next_page_token={token}"
            body = runs.call("GET", "/v1/workflows/runs", query=query).body
            found += [f"{one['end_time'] or '~' + one['start_time']} {one['run_id']}" for one in body["executions"]]
            token = body["next_page_token"]
            if not token:
                return found

    ascending = listed("asc", 2)
    assert ascending == sorted(ascending)
    assert len(set(ascending)) == len(ascending) == 6
    assert listed("desc", 1000) == ascending[::-1]
    wrong = runs.call("GET", "/v1/workflows/runs", query="sort_by=end_time&next_page_token=made-up")
    assert (wrong.status, wrong.body["detail"][0]["loc"]) == (422, ["query", "next_page_token"])
    monkeypatch.setattr(paging, "MOST_READ", 5)
    many = runs.call("GET", "/v1/workflows/runs", query="sort_by=end_time")
    assert (many.status, many.body["detail"][0]["loc"]) == (422, ["query", "sort_by"])
    assert runs.call("GET", "/v1/workflows/runs", query="sort_by=end_time&workflow_identifier=part").status == 200


def test_runs_when_filtered_by_tags_then_their_workflows_have_them_all(runs: Api) -> None:
    """Tags are the workflow's, as users have given them."""
    everything = ids(runs.call("GET", "/v1/workflows/runs").body)
    names = {one["workflow_name"] for one in runs.call("GET", "/v1/workflows/runs").body["executions"]}
    tagged = min(names)
    runs.engine.workflow_edits.add_tags(runs.home, tagged, ["a", "b"])
    found = runs.call("GET", "/v1/workflows/runs", query="workflow_tags=a&workflow_tags=b").body["executions"]
    assert {one["workflow_name"] for one in found} == {tagged}
    assert len(found) == sum(1 for one in everything if one in {run["execution_id"] for run in found})
    assert ids(runs.call("GET", "/v1/workflows/runs", query="workflow_tags=a&workflow_tags=c").body) == []


@pytest.mark.parametrize(
    ("query", "name"),
    [("page_size=0", "page_size"), ("page_size=1001", "page_size"), ("order=up", "order"), ("status=ASLEEP", "status"),
     ("next_page_token=made-up", "next_page_token"), ("start_time_after=2026-01-01T00%3A00%3A00", "start_time_after"),
     ("search_key=a&search_key=b&search_key=c&search_key=d", "search_key")],
)  # fmt: skip
def test_runs_when_a_parameter_is_wrong_then_422_names_it(runs: Api, query: str, name: str) -> None:
    """Wrong parameters are told by name."""
    answer = runs.call("GET", "/v1/workflows/runs", query=query)
    assert answer.status == 422
    assert all(problem["loc"][:2] == ["query", name] for problem in answer.body["detail"])


def test_runs_when_the_workflow_is_unknown_then_404(runs: Api) -> None:
    """An empty list would hide a typing error."""
    answer = runs.call("GET", "/v1/workflows/runs", query="workflow_identifier=nobody")
    assert (answer.status, answer.body["code"]) == (404, "WF_1100")
