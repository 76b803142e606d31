from typing import Any

import pytest

from levante_core.services.catalogue import builds
from tests.integration.api.harness import INPUT_SCHEMA, Api

WORKFLOW = {"id", "name", "display_name", "type", "customer_id", "workspace_id", "description", "shared_namespace",
            "available_in_chat_assistant", "is_technical", "archived", "tags"}  # fmt: skip
REGISTRATION = {"id", "definition", "workflow_id", "deployment_id", "task_queue", "workflow", "deployment_name",
                "compatible_with_chat_assistant"}  # fmt: skip
DEPLOYMENT = {"id", "name", "is_active", "created_at", "last_heartbeat", "updated_at", "is_hardened", "owner", "location",
              "worker_count", "active_worker_count", "locations", "managed"}  # fmt: skip
WORKER = {"name", "created_at", "last_heartbeat", "updated_at", "is_active", "location", "activity_slots"}


@pytest.fixture
def catalogue(api: Api) -> Api:
    """Deployment `old` serves k and l and went silent; `prod` serves m and the greeting n."""
    api.register("k", "l", deployment="old", worker="w0")
    api.clock.advance(70)
    api.register("m")
    api.register("n", display_name="Äpfel grüßen", description="says HELLO")
    api.call("POST", "/v1/workflows/register", {
        "definitions": [{"name": name, "task_queue": "prod", "input_schema": INPUT_SCHEMA} for name in ("m", "n")],
        "deployment_name": "prod", "worker_name": "w1", "deployment_location": {"location_type": "k8s", "k8s_cluster": "x"},
    })  # fmt: skip
    return api


def names(body: dict[str, Any]) -> list[str]:
    return [row["name"] for row in body["workflows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["k", "l", "m", "n"]),
        ("order=desc", ["n", "m", "l", "k"]),
        ("search=M", ["m"]),
        ("deployment_name=old", ["k", "l"]),
        ("deployment_name=old&deployment_name=prod", ["k", "l", "m", "n"]),
        ("deployment_status=active", ["m", "n"]),
        ("deployment_status=inactive", ["k", "l"]),
        ("active_only=true", ["m", "n"]),
        ("deployment_name=old&deployment_status=active", []),
        ("archived=false", ["k", "l", "m", "n"]),
        ("archived=true", []),
        ("tags=x&tags=y", []),
        ("include_shared=false", ["k", "l", "m", "n"]),
        ("available_in_chat_assistant=false", ["k", "l", "m", "n"]),
        ("available_in_chat_assistant=true", []),
    ],
)
def test_workflows_when_filtered_then_only_these_come(catalogue: Api, query: str, expected: list[str]) -> None:
    """Filters are combined, and active is who was heard of within the last 50 s; up to 70 s ago if that was not noted."""
    body = catalogue.call("GET", "/v1/workflows", query=query, key="client").body
    assert names(body) == expected
    assert body["next_cursor"] is None


def test_workflows_when_searched_then_display_name_description_and_id_count_too(api: Api) -> None:
    """A search looks at all that people see."""
    (ref,) = api.register("d", display_name="Äpfel", description="says HELLO")["workflow_registration_refs"]
    api.register("other")
    for search in ("äPF", "hello", ref["workflow_id"][:13]):
        assert names(api.call("GET", "/v1/workflows", query={"search": search}).body) == ["d"]


def test_workflows_when_paged_with_a_filter_then_pages_are_full_until_the_last(api: Api) -> None:
    """The official client stops at the first short page, whatever the filter leaves out in between."""
    api.register(*[f"{'even' if number % 2 == 0 else 'odd'}-{number:03d}" for number in range(210)])
    pages, cursor = [], None
    while True:
        query = {"search": "odd", "limit": 40, **({"cursor": cursor} if cursor else {})}
        body = api.call("GET", "/v1/workflows", query=query).body
        pages.append(names(body))
        cursor = body["next_cursor"]
        if cursor is None:
            break
    assert [len(page) for page in pages if page] == [40, 40, 25]
    assert [name for page in pages for name in page] == [f"odd-{number:03d}" for number in range(1, 210, 2)]


def test_workflows_when_paged_across_a_change_of_place_then_none_is_shown_twice(api: Api) -> None:
    """A page ends exactly after the last row shown."""
    api.register("a", "b", "c")
    first = api.call("GET", "/v1/workflows", query={"limit": 2}).body
    api.register("aa")
    second = api.call("GET", "/v1/workflows", query={"limit": 2, "cursor": first["next_cursor"]}).body
    assert (names(first), names(second)) == (["a", "b"], ["c"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("status=COMPLETED", ["a", "c"]),
        ("status=RUNNING", ["a", "b"]),
        ("status=COMPLETED&status=RUNNING&limit=2", ["a", "b"]),
        ("status=COMPLETED&order=desc", ["c", "a"]),
        ("status=FAILED", []),
        ("status=FAILED&status=RETRYING_AFTER_ERROR&status=RUNNING", ["a", "b"]),
        ("status=RETRYING_AFTER_ERROR", []),
    ],
)
def test_workflows_when_filtered_by_status_then_those_with_such_a_run_come(
    api: Api, query: str, expected: list[str]
) -> None:
    """One run is enough, whether it is the execution's latest or an earlier one."""
    api.register("a", "b", "c", "d")
    for execution_id, workflow in (("again", "a"), ("gone", "c")):
        api.start(execution_id, workflow)
        api.complete(execution_id)
    api.start("again", "a")
    api.start("e1", "b")
    api.call("POST", "/v1/workflows/executions/e1/terminate")
    api.start("e2", "b")
    body = api.call("GET", "/v1/workflows", query=query).body
    assert names(body) == expected


@pytest.mark.parametrize(
    ("given", "seconds"), [(90, 90.0), (1.5, 1.5), ("PT1M30S", 90.0), ("5", None), (True, None), (0, None), (1e300, None)]
)
def test_registration_when_its_timeout_is_seconds_or_a_duration_then_it_is_read_and_nothing_else_is(
    api: Api, given: Any, seconds: float | None
) -> None:
    """Workers of ours send seconds, those of others ISO 8601."""
    spec = {"name": "a", "task_queue": "prod", "input_schema": {}, "execution_timeout": given}
    request = {"definitions": [spec], "deployment_name": "prod", "worker_name": "w"}
    assert api.call("POST", "/v1/workflows/register", request).status == (422 if seconds is None else 200)
    rows = api.call("GET", "/v1/workflows/registrations").body["workflow_registrations"]
    assert [row["definition"]["execution_timeout"] for row in rows] == ([] if seconds is None else [seconds])


def test_workflows_when_the_status_is_none_then_422_names_it(api: Api) -> None:
    """A filter that is ignored would show what was not asked for."""
    answer = api.call("GET", "/v1/workflows", query="status=RUNNING&status=SLEEPING")
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"][:3] == ["query", "status", 1]


@pytest.mark.parametrize("path", ["/v1/workflows", "/v1/workflows/registrations", "/v1/workflows/deployments"])
def test_listings_when_the_cursor_is_made_up_then_422_names_it(catalogue: Api, path: str) -> None:
    """A cursor comes from the page before."""
    answer = catalogue.call("GET", path, query="cursor=made-up")
    assert answer.status == 422
    assert [problem["loc"] for problem in answer.body["detail"]] == [["query", "cursor"]]


def test_workflow_when_asked_for_by_name_and_id_then_it_says_whether_it_is_active(catalogue: Api) -> None:
    """Every key is there, and active means a live worker."""
    for name, active in (("k", False), ("m", True)):
        by_name = catalogue.call("GET", f"/v1/workflows/{name}", key="worker").body["workflow"]
        assert by_name.keys() == WORKFLOW | {"active"}
        assert (by_name["name"], by_name["active"], by_name["workspace_id"]) == (name, active, "home")
        assert catalogue.call("GET", f"/v1/workflows/{by_name['id']}").body["workflow"] == by_name


def test_registrations_when_listed_then_both_names_of_the_list_hold_the_same(catalogue: Api) -> None:
    """Clients insist on the older name too."""
    body = catalogue.call("GET", "/v1/workflows/registrations", query="with_workflow=true").body
    assert body["workflow_registrations"] == body["workflow_versions"]
    row = body["workflow_registrations"][0]
    assert row.keys() == REGISTRATION
    assert row["workflow"].keys() == WORKFLOW
    assert (row["deployment_name"], row["task_queue"], row["definition"]["input_schema"]) == ("old", "old", INPUT_SCHEMA)
    assert row["definition"]["execution_timeout"] == 3600
    assert row["deployment_id"] == catalogue.call("GET", "/v1/workflows/deployments/old").body["id"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [("workflow_name=l", ["l"]), ("task_queue=prod", ["m", "n"]), ("active_only=true", ["m", "n"]),
     ("workflow_search=K", ["k"]), ("workflow_id=nobody", []), ("archived=true", []),
     ("available_in_chat_assistant=true", [])],
)  # fmt: skip
def test_registrations_when_filtered_then_only_these_come(catalogue: Api, query: str, expected: list[str]) -> None:
    """Filters are combined."""
    body = catalogue.call("GET", "/v1/workflows/registrations", query=f"with_workflow=true&{query}").body
    assert [row["workflow"]["name"] for row in body["workflow_registrations"]] == expected


def test_registration_when_asked_for_then_both_of_its_names_hold_it(catalogue: Api) -> None:
    """Clients insist on the older name too."""
    (row,) = catalogue.call("GET", "/v1/workflows/registrations", query="workflow_name=m").body["workflow_registrations"]
    body = catalogue.call("GET", f"/v1/workflows/registrations/{row['id']}").body
    assert body["workflow_registration"] == body["workflow_version"] == {**row, "active": True}
    with_workflow = catalogue.call("GET", f"/v1/workflows/registrations/{row['id']}", query="with_workflow=true").body
    assert with_workflow["workflow_registration"]["workflow"]["name"] == "m"


def test_deployments_when_listed_then_unless_told_otherwise_only_active_ones(catalogue: Api) -> None:
    """A deployment is active while any of its workers was heard of within 50 s."""
    active = catalogue.call("GET", "/v1/workflows/deployments").body
    assert active["workspace_id"] == "home"
    assert active["next_cursor"] is None
    assert all(row.keys() == DEPLOYMENT for row in active["deployments"])
    assert [row["name"] for row in active["deployments"]] == ["prod"]
    (row,) = active["deployments"]
    assert (row["worker_count"], row["active_worker_count"], row["locations"]) == (1, 1, ["k8s"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [("", ["old", "prod"]), ("search=RO", ["prod"]), ("workflow_name=k", ["old"]), ("location_types=k8s", ["prod"]),
     ("location_types=k8s&location_types=local", ["old", "prod"]), ("is_hardened=true", []), ("workspace_id=away", []),
     ("workspace_id=home", ["old", "prod"]), ("order_by=created_at", ["prod", "old"]),
     ("order_by=updated_at&order=asc", ["old", "prod"])],
)  # fmt: skip
def test_deployments_when_filtered_then_only_these_come(catalogue: Api, query: str, expected: list[str]) -> None:
    """Filters are combined."""
    body = catalogue.call("GET", "/v1/workflows/deployments", query=f"active_only=false&{query}").body
    assert [row["name"] for row in body["deployments"]] == expected


@pytest.mark.parametrize("name", ["created_by", "owner", "repository_url", "dockerfile_path"])
def test_deployments_when_a_filter_is_not_supported_then_422_names_it(catalogue: Api, name: str) -> None:
    """A filter that is ignored would show what was not asked for."""
    answer = catalogue.call("GET", "/v1/workflows/deployments", query={name: "x"})
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"] == ["query", name]


def test_deployments_when_paged_then_each_comes_once(catalogue: Api) -> None:
    """A cursor stands for the last row seen."""
    first = catalogue.call("GET", "/v1/workflows/deployments", query="active_only=false&limit=1").body
    query = {"active_only": "false", "limit": 1, "cursor": first["next_cursor"]}
    second = catalogue.call("GET", "/v1/workflows/deployments", query=query).body
    assert [row["name"] for body in (first, second) for row in body["deployments"]] == ["old", "prod"]
    assert second["next_cursor"] is None


def test_deployment_when_asked_for_then_its_workers_are_told_and_may_be_filtered(catalogue: Api) -> None:
    """A worker is shown with when it was last heard of."""
    body = catalogue.call("GET", "/v1/workflows/deployments/old").body
    assert body.keys() == DEPLOYMENT | {"workers"}
    (worker,) = body["workers"]
    assert worker.keys() == WORKER
    assert (worker["name"], worker["is_active"], worker["last_heartbeat"]) == ("w0", False, "2026-01-01T00:00:00.000000Z")
    assert catalogue.call("GET", "/v1/workflows/deployments/old", query="workflow_name=m").body["workers"] == []
    assert len(catalogue.call("GET", "/v1/workflows/deployments/old", query="workflow_name=k").body["workers"]) == 1


@pytest.mark.parametrize(("status", "expected"), [("active", ["w1"]), ("inactive", ["w0"]), (None, ["w0", "w1"])])
def test_workers_when_filtered_by_status_then_only_these_come(api: Api, status: str | None, expected: list[str]) -> None:
    """Gone workers are listed until filtered out."""
    api.register("greet", worker="w0")
    api.clock.advance(60)
    api.register("greet", worker="w1")
    query = {"limit": 50, **({"worker_status": status} if status else {})}
    body = api.call("GET", "/v1/workflows/deployments/prod/workers", query=query).body
    assert [row["name"] for row in body["workers"]] == expected
    assert body["next_cursor"] is None


def test_builds_when_listed_then_the_newest_is_first_and_what_is_open_keeps_the_others(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours: what a rolling deployment waits for before it stops old workers."""
    for build in ("b1", "b2"):
        request = {
            "definitions": [{"name": "greet", "task_queue": "prod", "input_schema": INPUT_SCHEMA}],
            "deployment_name": "prod",
            "worker_name": "w",
            "build_id": build,
        }
        assert api.call("POST", "/v1/workflows/register", request, key="worker").status == 200
        api.clock.advance(1)
        started = api.start(f"e-{build}")
        assert (started["deployment_name"], started["build_id"]) == ("prod", build)
    body = api.call("GET", "/v1/workflows/deployments/prod/builds").body
    assert [(one["build_id"], one["is_current"], one["open_executions"]) for one in body["builds"]] == [
        ("b2", True, 1),
        ("b1", False, 1),
    ]
    assert body["open_executions_without_build"] == 0
    assert [one["is_drained"] for one in body["builds"]] == [False, False]
    api.call("POST", "/v1/workflows/executions/e-b1/terminate")
    body = api.call("GET", "/v1/workflows/deployments/prod/builds").body
    assert ([one["is_drained"] for one in body["builds"]], body["is_partial"]) == ([False, True], False)
    assert api.call("GET", "/v1/workflows/runs", query="deployment_name=prod").body["executions"]
    monkeypatch.setattr(builds, "MOST_COUNTED", 0)
    body = api.call("GET", "/v1/workflows/deployments/prod/builds").body
    assert ([one["is_drained"] for one in body["builds"]], body["is_partial"]) == ([False, False], True)


@pytest.mark.parametrize("build", ["a b", "x" * 65, "a@b"])
def test_register_when_a_build_id_is_out_of_form_then_422_names_it(api: Api, build: str) -> None:
    """What stands in queue names and keys has a form."""
    request = {
        "definitions": [{"name": "greet", "task_queue": "prod", "input_schema": INPUT_SCHEMA}],
        "deployment_name": "prod",
        "worker_name": "w",
        "build_id": build,
    }
    answer = api.call("POST", "/v1/workflows/register", request, key="worker")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "build_id"])
