"""Limits at the edge: just below is taken, just above is refused with the field's name, and nothing is written."""

from typing import Any

import pytest

from levante_core.adapters import item_sizes
from levante_core.domain.executions.search_keys import MOST_BYTES
from levante_core.domain.limits import MAX_BODY_BYTES
from levante_core.domain.payloads import MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH
from tests.integration.api.harness import Api, outcomes

REGISTER = "/v1/workflows/register"
COMMITS = "/v1/workflows/workers/commits"
TIMER = {"kind": "timer_started", "seq": 1, "fire_at": "2026-01-01T00:00:00Z"}


def registration(**spec: Any) -> dict[str, Any]:
    return {
        "definitions": [{"name": "greet", "task_queue": "prod", "input_schema": {}, **spec}],
        "deployment_name": "prod",
        "worker_name": "w",
    }


def commit(api: Api, execution_id: str, commit_id: str = "c", events: Any = (TIMER,), **more: Any) -> dict[str, Any]:
    run_id = api.call("GET", f"/v1/workflows/executions/{execution_id}").body["run_id"]
    task = {"workspace": api.home, "execution_id": execution_id, "run_id": run_id, "deployment_name": "prod"}
    batch = {"index": 1, "commit_id": commit_id, "events": events}
    return {"token": api.run_token(task, 1), "batch": batch, **more}


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


def test_commit_when_search_keys_are_too_large_then_it_is_impossible_and_others_are_recorded(api: Api) -> None:
    """One commit that can never be kept does not take those of others with it."""
    api.register("greet")
    room = MOST_BYTES - len('{"k":""}')
    for number in range(3):
        api.start(f"e{number}")
    too_large = commit(api, "e1", search_keys={"k": "語" * (room // 3 + 1)})
    answer = api.call("POST", COMMITS, {"commits": [commit(api, "e0"), too_large, commit(api, "e2")]}, key="worker")
    assert outcomes(answer) == ["recorded", "impossible", "recorded"]
    assert "search keys" in answer.body["results"][1]["problem"]
    fits = commit(api, "e1", search_keys={"k": "語" * (room // 3)})
    assert outcomes(api.call("POST", COMMITS, {"commits": [fits]}, key="worker")) == ["recorded"]


def test_commit_when_the_store_does_not_take_it_then_it_is_impossible_and_others_are_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no field's limit has caught is caught before it is written."""
    api.register("greet")
    api.start("large")
    api.start("small")
    monkeypatch.setattr(item_sizes, "MOST_ITEM_BYTES", 5_000)
    large = {"kind": "activity_scheduled", "seq": 1, "name": "a", "input": "x" * 6_000}
    commits = [commit(api, "large", events=[large]), commit(api, "small")]
    answer = api.call("POST", COMMITS, {"commits": commits}, key="worker")
    assert outcomes(answer) == ["impossible", "recorded"]
    assert "5,000 fit" in answer.body["results"][0]["problem"]


@pytest.mark.parametrize(("size", "status"), [(256, 200), (257, 422)])
def test_commit_when_its_id_is_too_long_then_422(api: Api, size: int, status: int) -> None:
    """The id is an attribute of the batch."""
    api.register("greet")
    api.start("e1")
    body = {"commits": [commit(api, "e1", commit_id="c" * size)]}
    assert api.call("POST", COMMITS, body, key="worker").status == status


def test_input_when_it_has_just_too_many_bytes_or_levels_then_422_and_nothing_is_started(api: Api) -> None:
    """2 MiB as JSON, 100 levels: the object that an input is counts as one."""
    api.register("greet", input_schema={})
    room = MAX_PAYLOAD_BYTES - len('{"a":""}')
    for fits, does_not in (
        ("x" * room, "x" * (room + 1)),
        ("語" * (room // 3), "語" * (room // 3 + 1)),
        (nested(MAX_PAYLOAD_DEPTH - 1), nested(MAX_PAYLOAD_DEPTH)),
    ):
        before = len(api.call("GET", "/v1/workflows/runs").body["executions"])
        refused = api.call("POST", "/v1/workflows/greet/execute", {"input": {"a": does_not}})
        assert (refused.status, refused.body["detail"][0]["loc"]) == (422, ["body", "input"])
        assert len(api.call("GET", "/v1/workflows/runs").body["executions"]) == before
        assert api.call("POST", "/v1/workflows/greet/execute", {"input": {"a": fits}}).status == 200


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_body_when_it_has_just_too_many_bytes_then_413(api: Api) -> None:
    """6 MiB, spaces included."""
    api.register("greet")
    text = '{"input": {"a": 1}}'
    for size, status in ((MAX_BODY_BYTES + 1, 413), (MAX_BODY_BYTES, 200)):
        assert api.call("POST", "/v1/workflows/greet/execute", text.ljust(size)).status == status


def test_idempotency_key_when_it_is_too_long_then_422_names_the_header(api: Api) -> None:
    """It is kept with the message that it came with."""
    api.register("greet", signals=[{"name": "s", "input_schema": {}}])
    api.start("e1")
    for size, status in ((201, 422), (200, 202)):
        headers = {"idempotency-key": "~" * size}
        answer = api.call("POST", "/v1/workflows/executions/e1/signals", {"name": "s"}, headers=headers)
        assert answer.status == status
        assert status != 422 or answer.body["detail"][0]["loc"] == ["header", "idempotency-key"]


def test_tags_when_there_are_too_many_or_one_is_too_long_then_422_names_them(api: Api) -> None:
    """Those that the workflow has count too."""
    api.register("greet")
    tags = [f"{number:0>100}" for number in range(501)]
    for added, status in ((["x" * 101], 422), (tags[:499], 204), (tags[499:], 422), (tags[499:500], 204), (tags[500:], 422)):
        answer = api.call("POST", "/v1/workflows/greet/tags", {"tags": added})
        assert answer.status == status
        assert status != 422 or answer.body["detail"][0]["loc"] == ["body", "tags"]
