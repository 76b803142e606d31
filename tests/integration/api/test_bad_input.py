import json
from typing import Any

import pytest

from tests.integration.api.harness import HOME, Api, event

EXECUTE = "/v1/workflows/greet/execute"
PROD = {"workspace": HOME, "deployment_name": "prod"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v2/workflows"),
        ("POST", "/v1/workflows/executions/e1/explode"),
        ("GET", "/v1/workflows/executions/a/b%20c"),
        ("GET", "/v1/workflows/"),
        ("GET", "/v1/workflows/a\\b"),  # powertools has no route for such a path, whatever its method
        ("POST", '/v1/workflows/executions/"e1"/signals'),
        ("DELETE", "/v1/keys/\u009b"),
    ],
)
def test_route_when_unknown_then_404_says_so(api: Api, method: str, path: str) -> None:
    """A path that nothing is at is told apart from an object that is not there."""
    answer = api.call(method, path)
    assert (answer.status, answer.body["code"]) == (404, "NOT_FOUND")
    assert path in answer.body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v1/workflows/greet", "GET, PUT"),
        ("DELETE", "/v1/keys", "GET, POST"),
        ("GET", EXECUTE, "POST"),
        ("HEAD", "/v1/workflows", "GET"),
    ],
)
def test_method_when_not_supported_then_405_names_those_that_are(api: Api, method: str, path: str, allowed: str) -> None:
    """The path is right, the method is not."""
    answer = api.call(method, path)
    assert (answer.status, answer.body["code"], answer.headers["Allow"]) == (405, "METHOD_NOT_ALLOWED", allowed)


@pytest.mark.parametrize(
    "path", ["executions/nobody", "executions/nobody/history", "nobody", "registrations/nobody", "deployments/nobody"]
)
def test_object_when_unknown_then_404(api: Api, path: str) -> None:
    """Nothing has this id."""
    answer = api.call("GET", f"/v1/workflows/{path}")
    assert (answer.status, answer.body["code"]) == (404, "WF_1100")
    assert "nobody" in answer.body["detail"]


@pytest.mark.parametrize(
    "query", ["runs?start_time_after", "greet/metrics?end_time", "executions/e1/logs?before", "deployments/prod/logs?after"]
)
@pytest.mark.parametrize("value", ["0", "0.5", "-1", "1e9", "1767225600", "2026-01-01", "2026-01-01T00:00:00"])
def test_time_when_it_is_a_number_or_has_no_offset_then_422(api: Api, query: str, value: str) -> None:
    """Nobody can tell whether a number counts seconds or milliseconds, nor what time it is where the caller is."""
    path, _, name = query.partition("?")
    answer = api.call("GET", f"/v1/workflows/{path}", query={name: value})
    assert (answer.status, answer.body["detail"][0]["loc"]) == (422, ["query", name])


FARTHEST = ["0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:00"]


@pytest.mark.parametrize("at", FARTHEST)
def test_time_when_it_is_at_the_end_of_the_calendar_then_it_is_taken_or_refused_but_breaks_nothing(
    api: Api, at: str
) -> None:
    """Callers write such times for `always` and `never`; those that do not exist in UTC are refused."""
    api.register("greet")
    run_id = api.start("e1")["run_id"]
    expected = 422 if at.endswith(":00") else 200
    for path, name in (
        ("runs", "start_time_after"), ("runs", "end_time_before"), ("runs", "end_time_after"),
        ("executions/e1/logs", "after"), ("deployments/prod/logs", "before"),
    ):  # fmt: skip
        assert api.call("GET", f"/v1/workflows/{path}", query={name: at}).status == expected, (path, name)
    assert api.call("GET", "/v1/workflows/greet/metrics", query={"end_time": at}).status in (200, 422)
    schedule = {"input": {"a": 1}, "cron_expressions": ["0 9 * * *"]}
    for name in ("start_at", "end_at"):
        body = {"workflow_identifier": "greet", "schedule": {**schedule, name: at}}
        assert api.call("POST", "/v1/workflows/schedules", body).status == (422 if expected == 422 else 201)
    batch = {"index": 1, "commit_id": "c", "events": [{"kind": "timer_started", "seq": 1, "fire_at": at}]}
    commit = {"token": api.run_token({**PROD, "execution_id": "e1", "run_id": run_id}, 1), "batch": batch}
    assert api.call("POST", "/v1/workflows/workers/commits", {"commits": [commit]}, key="worker").status == expected


def test_execute_when_the_workflow_is_unknown_then_404(api: Api) -> None:
    """An execution needs a workflow that somebody registered."""
    answer = api.call("POST", "/v1/workflows/nobody/execute", {"input": None})
    assert (answer.status, answer.body["code"]) == (404, "WF_1100")


def test_execute_when_no_worker_lives_then_it_runs_until_one_comes(api: Api) -> None:
    """A workflow that was registered once is enough; its executions wait."""
    api.register("greet")
    api.clock.advance(3600)
    assert api.start("e1")["status"] == "RUNNING"
    assert [one["task"]["execution_id"] for one in api.poll()] == ["e1"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{", "json_invalid"),
        ("nonsense", "json_invalid"),
        ('{"input": {"a": "\\ud800"}}', "json_invalid"),
        ("[" * 1000, "json_invalid"),
        ('{"input": ' + '{"a": ' * 1000, "json_invalid"),
        ("[]", "dict_type"),
        ('[{"input": {"a": 1}}]', "dict_type"),
        ('"text"', "dict_type"),
        ("7", "dict_type"),
        ("null", "missing"),
    ],
)
def test_body_when_it_is_no_json_object_then_422_and_nothing_is_started(api: Api, text: str, kind: str) -> None:
    """There is a list of problems even then: the official client takes nothing else."""
    api.register("greet")
    answer = api.call("POST", EXECUTE, text)
    assert answer.status == 422
    assert [(problem["loc"], problem["type"]) for problem in answer.body["detail"]] == [(["body"], kind)]
    assert api.call("GET", "/v1/workflows/runs").body["executions"] == []


NO_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e999", "9" * 299 + "e99", "-" + "9" * 400 + ".5"]


@pytest.mark.parametrize("number", NO_NUMBERS)
@pytest.mark.parametrize("field", ['"input": %s', '"input": {"a": 1, "b": [{"c": %s}]}', '"timeout_seconds": %s'])
def test_body_when_it_holds_a_number_that_cannot_be_kept_then_422_names_the_field(api: Api, field: str, number: str) -> None:
    """Written as JSON such a number becomes null, which is another value, and often one that nobody can read."""
    api.register("greet", input_schema={})
    answer = api.call("POST", EXECUTE, "{" + field % number + "}")
    assert answer.status == 422
    assert answer.body["detail"][0]["loc"][:2] == ["body", field.split('"')[1]]
    assert api.call("GET", "/v1/workflows/runs").body["executions"] == []


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_commit_when_an_event_holds_a_number_that_cannot_be_kept_then_422(api: Api, number: str) -> None:
    """What a worker writes is read by everybody who moves its execution."""
    api.register("greet")
    task = {**PROD, "execution_id": "e1", "run_id": api.start("e1")["run_id"]}
    event = {"kind": "activity_scheduled", "seq": 1, "name": "a", "input": None}
    event |= {"options": {"start_to_close_seconds": "NUMBER"}}
    batch = {"index": 1, "commit_id": "c", "events": [event]}
    commit = {"token": api.run_token(task, 1), "batch": batch}
    body = json.dumps({"commits": [commit]}).replace('"NUMBER"', number)
    answer = api.call("POST", "/v1/workflows/workers/commits", body, key="worker")
    assert answer.status == 422
    assert "start_to_close_seconds" in answer.body["detail"][0]["loc"]


def test_body_when_its_numbers_and_texts_only_look_like_what_json_does_not_know_then_they_are_kept(api: Api) -> None:
    """A text may say NaN or Infinity, and a number may be as large as they get."""
    api.register("greet", input_schema={})
    given = {"text": "NaN, Infinity, 1e999", "large": 1.7e308, "whole": 10**400, "id": "e123"}
    assert api.call("POST", EXECUTE, {"execution_id": "e1", "input": given}).status == 200
    history = api.call("GET", "/v1/workflows/executions/e1/history").body
    assert history["events"][0]["input"] == given


def test_body_when_base64_then_it_is_decoded_and_refused_if_it_is_no_text(api: Api) -> None:
    """API Gateway encodes bodies whose content type it does not know as text."""
    api.register("greet")
    sent = api.event("POST", EXECUTE)
    good = event("POST", EXECUTE, json.dumps({"input": {"a": 1}}), headers=sent["headers"], is_base64=True)
    assert api.send(good).status == 200
    answer = api.send({**good, "body": "/////w=="})
    assert (answer.status, answer.body["detail"][0]["type"]) == (422, "json_invalid")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"]
)
def test_body_when_its_content_type_is_another_then_it_is_read_as_json_all_the_same(api: Api, content_type: str) -> None:
    """`curl -d` sends a form's type unless told otherwise; there is nothing but JSON to be meant here."""
    api.register("greet")
    assert api.call("POST", EXECUTE, {"input": {"a": 1}}, headers={"content-type": content_type}).status == 200


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"input": [1, 2]}, ["body", "input"]),
        ({"input": "text"}, ["body", "input"]),
        ({"input": {"a": 1}, "surprise": 1}, ["body", "surprise"]),
        ({"input": {"a": 1}, "wait_for_result": "perhaps"}, ["body", "wait_for_result"]),
        ({"input": {"a": 1}, "wait_for_result": None}, ["body", "wait_for_result"]),
        ({"input": {"a": 1}, "timeout_seconds": -1}, ["body", "timeout_seconds"]),
        ({"input": {"a": 1}, "timeout_seconds": "long"}, ["body", "timeout_seconds"]),
        ({"input": {"a": 1}, "timeout_seconds": "5"}, ["body", "timeout_seconds"]),
        ({"input": {"a": 1}, "timeout_seconds": True}, ["body", "timeout_seconds"]),
        ({"input": {"a": 1}, "custom_tracing_attributes": {"k": 1}}, ["body", "custom_tracing_attributes", "k"]),
        ({"input": {"a": 1}, "traceparent": 7}, ["body", "traceparent"]),
        ({"input": {"a": 1}, "execution_id": "a/b c"}, ["body", "execution_id"]),
        ({"input": {"a": 1}, "execution_id": ""}, ["body", "execution_id"]),
        ({"input": {"a": 1}, "execution_id": "x" * 257}, ["body", "execution_id"]),
        ({"input": {"a": 1}, "execution_id": "line\n"}, ["body", "execution_id"]),
        ({"input": {"a": 1}, "deployment_name": "a b"}, ["body", "deployment_name"]),
        ({"input": {"a": 1}, "deployment_name": "prod", "task_queue": "other"}, ["body", "task_queue"]),
        ({"input": {"a": 1}, "task_queue": "a b"}, ["body", "task_queue"]),
        ({"input": {"a": "one"}}, ["body", "input", "a"]),  # the workflow's own schema
        ({"input": None}, ["body", "input"]),
        ({"input": {"a": 1, "b": 2}}, ["body", "input"]),
        ({"encoded_input": {"payload": "e30="}}, ["body", "encoded_input"]),
        ({"input": {"a": 1}, "encoded_input": {"b64payload": "e30="}}, ["body", "encoded_input"]),
    ],
)
def test_execute_when_a_field_is_wrong_then_422_names_it_and_nothing_is_started(api: Api, body: Any, loc: list[str]) -> None:
    """What is wrong is said by place, before anything is written."""
    api.register("greet")
    answer = api.call("POST", EXECUTE, body)
    assert (answer.status, answer.body["code"]) == (422, "WF_1001")
    assert all(problem.keys() == {"loc", "msg", "type"} for problem in answer.body["detail"])
    assert loc in [problem["loc"] for problem in answer.body["detail"]]
    assert api.call("GET", "/v1/workflows/runs").body["executions"] == []


def test_execute_when_the_deployment_does_not_serve_the_workflow_then_404_names_those_that_do(api: Api) -> None:
    """A deployment's name is checked against who registered the workflow."""
    api.register("greet")
    answer = api.call("POST", EXECUTE, {"input": {"a": 1}, "deployment_name": "other"})
    assert answer.status == 404
    assert "prod" in answer.body["detail"]


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 200), (2 * 1024 * 1024, 422), (6 * 1024 * 1024, 413)])
def test_execute_when_the_input_is_large_then_it_is_taken_refused_or_not_even_read(api: Api, size: int, status: int) -> None:
    """2 MB of input, 6 MB of body."""
    api.register("greet", input_schema={})
    answer = api.call("POST", EXECUTE, {"input": {"text": "x" * size}})
    assert answer.status == status
    assert len(str(answer.body)) < 2000


def test_body_when_it_is_large_in_bytes_only_then_413(api: Api) -> None:
    """The limit counts bytes, not characters."""
    answer = api.call("POST", EXECUTE, json.dumps({"input": {"text": "ü" * (4 * 1024 * 1024)}}, ensure_ascii=False))
    assert (answer.status, answer.body["code"]) == (413, "TOO_LARGE")


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"definitions": []}, ["body", "definitions"]),
        ({"definitions": [{"name": "a b", "task_queue": "p", "input_schema": {}}]}, ["body", "definitions", 0, "name"]),
        (
            {"definitions": [{"name": "executions", "task_queue": "p", "input_schema": {}}]},
            ["body", "definitions", 0, "name"],
        ),
        ({"definitions": [{"name": "a", "task_queue": "p", "input_schema": {}}] * 2}, ["body", "definitions"]),
        ({"definitions": [{"name": "a", "task_queue": "p"}]}, ["body", "definitions", 0, "input_schema"]),
        ({"deployment_name": ""}, ["body", "deployment_name"]),
        ({"deployment_name": None}, ["body", "deployment_name"]),
        ({"deployment_name": "a b"}, ["body", "deployment_name"]),
        ({"worker_name": ""}, ["body", "worker_name"]),
        ({"build_id": "a b"}, ["body", "build_id"]),
        ({"deployment_location": {"location_type": "moon"}}, ["body", "deployment_location", "location_type"]),
        ({"surprise": 1}, ["body", "surprise"]),
        (
            {"definitions": [{"name": "a", "task_queue": "p", "input_schema": {}, "schedules": [{"schedule_id": "a b"}]}]},
            ["body", "definitions", 0, "schedules", 0, "schedule_id"],
        ),
    ],
)
def test_register_when_a_field_is_wrong_then_422_names_it_and_nothing_is_registered(
    api: Api, change: Any, loc: list[Any]
) -> None:
    """A worker whose names are wrong learns so at its start."""
    good = {
        "definitions": [{"name": "a", "task_queue": "p", "input_schema": {}}],
        "deployment_name": "p",
        "worker_name": "w",
    }
    answer = api.call("POST", "/v1/workflows/register", {**good, **change}, key="worker")
    assert answer.status == 422
    assert loc in [problem["loc"] for problem in answer.body["detail"]]
    assert api.call("GET", "/v1/workflows").body["workflows"] == []
    assert api.call("GET", "/v1/workflows/deployments", query="active_only=false").body["deployments"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("poll", {"deployment_name": "prod", "worker_id": "w", "queue": "post"}),
        ("poll", {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "wait_seconds": 21}),
        ("poll", {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "limit": 0}),
        ("poll", {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "limit": "5"}),
        ("poll", {"deployment_name": "prod", "worker_id": "w", "queue": "workflow", "limit": True}),
        ("heartbeat", {"workflow_registration_refs": [], "deployment_name": "p", "worker_name": "w", "build_id": "a b"}),
        ("commits", {"commits": []}),
        ("commits", {"commits": [{"token": "x"}]}),
        ("activity-reports", {"reports": []}),
        ("load", {"token": "x", "after_index": -1}),
        ("load", {"token": "x", "after_index": 10**8}),
        ("load", {"token": "x"}),
        ("load", {"token": "x" * 5000}),
        ("commits", {"commits": [{"token": "x", "batch": {"index": 0, "commit_id": "c", "events": []}}]}),
        ("activity-deferrals", {"token": "x", "timeout_seconds": 1e300}),
        ("activity-deferrals", {"token": "1.attempt.W10.AAAA", "timeout_seconds": 1}),
        ("activity-checks", {"task": {"kind": "workflow_task"}}),
    ],
)
def test_worker_calls_when_a_field_is_wrong_then_422(api: Api, path: str, body: Any) -> None:
    """The worker protocol is as strict as the rest."""
    answer = api.call("POST", f"/v1/workflows/workers/{path}", body, key="worker")
    assert (answer.status, answer.body["code"]) == (422, "WF_1001")
    assert answer.body["detail"]


def test_schedule_when_a_name_in_it_is_wrong_then_422_names_the_field_that_has_it(api: Api) -> None:
    """Several fields may hold the same name: the one that was sent has to change."""
    api.register("greet")
    for change, loc in (
        ({"schedule_id": "a b"}, ["body", "schedule_id"]),
        ({"schedule": {"input": {"a": 1}, "schedule_id": "a b"}}, ["body", "schedule", "schedule_id"]),
        ({"deployment_name": "a b"}, ["body", "deployment_name"]),
        ({"workflow_task_queue": "a b"}, ["body", "workflow_task_queue"]),
    ):
        body = {"workflow_identifier": "greet", "schedule": {"input": {"a": 1}}, **change}
        answer = api.call("POST", "/v1/workflows/schedules", body)
        assert (answer.status, [one["loc"] for one in answer.body["detail"]]) == (422, [loc])
    assert api.call("GET", "/v1/workflows/schedules").body["schedules"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"schedule": {"cron_expressions": ["61 * * * *"]}, "workflow_identifier": "greet"}, "WF_1200"),
        ({"schedule": {"intervals": [{"every": "soon"}]}, "workflow_identifier": "greet"}, "WF_1200"),
        ({"workflow_identifier": "greet"}, "WF_1200"),
        ({"schedule": {}, "workflow_identifier": 7}, "WF_1001"),
    ],
)
def test_schedule_when_it_could_not_work_then_the_code_says_that_it_is_the_schedule(api: Api, body: Any, code: str) -> None:
    """The contract has a code of its own for schedules; what is beside the schedule is an input like any other."""
    answer = api.call("POST", "/v1/workflows/schedules", body)
    assert (answer.status, answer.body["code"]) == (422, code)


@pytest.mark.parametrize("body", [None, "", "null"])
def test_body_when_something_in_it_has_to_be_said_then_it_may_not_be_left_out(api: Api, body: str | None) -> None:
    """A signal has a name."""
    api.register("greet")
    api.start("e1")
    answer = api.call("POST", "/v1/workflows/executions/e1/signals", body)
    assert answer.status == 422
    assert [(problem["loc"], problem["type"]) for problem in answer.body["detail"]] == [(["body"], "missing")]


@pytest.mark.parametrize("body", [None, "", " \n"])
@pytest.mark.parametrize("change", ["pause", "resume", "trigger"])
def test_body_when_nothing_in_it_has_to_be_said_then_it_may_be_left_out(api: Api, change: str, body: str | None) -> None:
    """The official client in Python sends an empty object there, that in TypeScript sends nothing."""
    api.register("greet")
    schedule = {"input": {"a": 1}, "intervals": [{"every": "PT1H"}], "schedule_id": "hourly"}
    asked = {"schedule": schedule, "workflow_identifier": "greet"}
    assert api.call("POST", "/v1/workflows/schedules", asked).status == 201
    assert api.call("POST", f"/v1/workflows/schedules/hourly/{change}", body).status == 204


def test_body_when_it_may_be_left_out_then_the_document_says_so(api: Api) -> None:
    """Generated clients know which of them they have to send."""
    document = api.call("GET", "/openapi.json").body
    required = {
        operation["operationId"]: operation["requestBody"]["required"]
        for path in document["paths"].values()
        for operation in path.values()
        if "requestBody" in operation
    }
    assert not any(required[f"{change}_schedule"] for change in ("pause", "resume", "trigger"))
    assert required["schedule_workflow"]
    assert required["signal_workflow_execution"]
