"""Limits at the edge: just below is taken, just above is refused with the field's name, and nothing is written."""

from typing import Any

import pytest

from levante_core.domain.search_keys import MOST_BYTES
from tests.integration.api.harness import Api

REGISTER = "/v1/workflows/register"
COMMITS = "/v1/workflows/workers/commits"


def registration(**spec: Any) -> dict[str, Any]:
    return {
        "definitions": [{"name": "greet", "task_queue": "prod", "input_schema": {}, **spec}],
        "deployment_name": "prod",
        "worker_name": "w",
    }


def commit(run_id: str, index: int = 1, commit_id: str = "c", **more: Any) -> dict[str, Any]:
    events = [{"kind": "timer_started", "seq": index, "fire_at": "2026-01-01T00:00:00Z"}]
    batch = {"index": index, "commit_id": commit_id, "events": events}
    return {"execution_id": "e1", "run_id": run_id, "deployment_name": "prod", "batch": batch, **more}


@pytest.mark.parametrize(
    ("field", "fits", "is_too_long"),
    [
        ("display_name", "語" * 128, "語" * 129),
        ("description", "語" * 5461, "語" * 5462),
    ],
)
def test_registration_when_a_text_is_too_long_then_422_names_it(api: Api, field: str, fits: str, is_too_long: str) -> None:
    """These texts are kept with the workflow, which has to fit into an item."""
    answer = api.call("POST", REGISTER, registration(**{field: is_too_long}), key="worker")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "definitions", 0, field])
    assert api.call("POST", REGISTER, registration(**{field: fits}), key="worker").status == 200


@pytest.mark.parametrize("field", ["k8s_cluster", "k8s_namespace"])
def test_registration_when_a_location_is_too_long_then_422_names_it(api: Api, field: str) -> None:
    """Where a worker runs is kept with the worker."""
    for size, status in ((1025, 422), (1024, 200)):
        body = {**registration(), "deployment_location": {"location_type": "k8s", field: "a" * size}}
        assert api.call("POST", REGISTER, body, key="worker").status == status


def test_registration_when_there_are_too_many_workflows_then_422(api: Api) -> None:
    """A worker's item lists what it serves."""
    body = registration()
    body["definitions"] *= 1001
    answer = api.call("POST", REGISTER, body, key="worker")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "definitions"])
    assert answer.body["detail"][0]["type"] == "too_long"


def test_registration_when_a_schema_of_a_handler_cannot_be_used_then_422_names_its_place(api: Api) -> None:
    """Nothing of the registration is kept then."""
    signals = [{"name": "s", "input_schema": {}}, {"name": "t", "input_schema": {"$ref": "http://x/"}}]
    answer = api.call("POST", REGISTER, registration(signals=signals), key="worker")
    where = ["body", "definitions", 0, "signals", 1, "input_schema", "$ref"]
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, where)
    assert api.call("GET", "/v1/workflows/greet").status == 404


def test_execute_when_more_is_given_for_tracing_than_fits_then_422_names_it(api: Api) -> None:
    """It is kept with every run of the execution."""
    api.register("greet", input_schema={})
    for size, status in ((16 * 1024, 422), (16 * 1024 - 100, 200)):
        body = {"input": {}, "extensions": {"x": "a" * size}}
        answer = api.call("POST", "/v1/workflows/greet/execute", body)
        assert answer.status == status
    assert len(api.call("GET", "/v1/workflows/runs").body["executions"]) == 1


def test_commit_when_search_keys_are_too_large_then_422_names_it_and_others_are_recorded(api: Api) -> None:
    """One commit that can never be kept does not take those of others with it."""
    api.register("greet")
    run_id = api.start("e1")["run_id"]
    room = MOST_BYTES - len('{"k":""}')
    too_large = commit(run_id, 2, search_keys={"k": "語" * (room // 3 + 1)})
    answer = api.call("POST", COMMITS, {"commits": [commit(run_id, 1), too_large, commit(run_id, 3)]}, key="worker")
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["body", "commits", 1, "search_keys"])
    again = api.call("POST", COMMITS, {"commits": [commit(run_id, 1), commit(run_id, 3)]}, key="worker")
    assert (again.status, again.body["outcomes"]) == (200, ["recorded", "recorded"])
    fits = commit(run_id, 2, search_keys={"k": "語" * (room // 3)})
    assert api.call("POST", COMMITS, {"commits": [fits]}, key="worker").body["outcomes"] == ["recorded"]


def test_commit_when_its_keys_are_too_long_then_422_names_it_and_others_are_recorded(api: Api) -> None:
    """What no field's limit has caught is caught before it is written, and named by its place."""
    api.register("greet")
    run_id = api.start("e1")["run_id"]
    answer = api.call("POST", COMMITS, {"commits": [commit("r" * 5000), commit(run_id)]}, key="worker")
    assert (answer.status, answer.body["code"]) == (422, "WF_1001")
    assert answer.body["detail"][0]["loc"] == ["body", "commits", 0]
    assert answer.body["detail"][0]["type"] == "not_storable"
    again = api.call("POST", COMMITS, {"commits": [commit(run_id, commit_id="other")]}, key="worker")
    assert again.body["outcomes"] == ["conflict"]


@pytest.mark.parametrize(("size", "status"), [(256, 200), (257, 422)])
def test_commit_when_its_id_is_too_long_then_422(api: Api, size: int, status: int) -> None:
    """The id is an attribute of the batch."""
    api.register("greet")
    body = {"commits": [commit(api.start("e1")["run_id"], commit_id="c" * size)]}
    assert api.call("POST", COMMITS, body, key="worker").status == status
