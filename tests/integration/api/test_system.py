import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levante_api.app import ApiSettings, create_app
from levante_api.openapi.document import said_in
from levante_api.openapi.examples import BODIES
from tests.integration.api.harness import SETTINGS, Api, build


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The OpenAPI document, which takes a while to make."""
    api = build(tmp_path_factory.mktemp("document"))
    yield api.call("GET", "/openapi.json", key=None).body
    for close in api.closers:
        close()


def test_health_when_asked_then_it_tells_the_version(api: Api) -> None:
    """A load balancer and a person both learn what they need."""
    answer = api.call("GET", "/v1/health", key=None)
    assert (answer.status, answer.body) == (200, {"status": "ok", "version": "9.8.7", "problems": []})


def test_openapi_when_asked_for_then_every_operation_says_how_it_succeeds_and_fails(document: Any) -> None:
    """The document covers every route, its success, its errors and its security."""
    assert document["info"]["title"] == "Levante"
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    operations = {(method.upper(), path): op for path, item in document["paths"].items() for method, op in item.items()}
    assert len({op["operationId"] for op in operations.values()}) == len(operations) == 89
    for (method, path), operation in operations.items():
        responses = operation["responses"]
        refused = operation["summary"].startswith("Always refused")
        assert responses.keys() & SUCCESSES == (set() if refused else _success(method, path)), path
        assert {"description", "name"} <= {
            tag for one in document["tags"] if one["name"] in operation["tags"] for tag in one
        }
        if path in ("/v1/health", "/openapi.json"):
            assert operation["security"] == [{}]
            continue
        assert {"401", "403", "422", "500", "503"} <= responses.keys()
        assert ("404" in responses) >= ("{" in path)
        schema = responses["422"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/InvalidBody"}
        assert ("requestBody" in operation) == (
            method in {"POST", "PATCH", "PUT"} and not path.endswith(BODILESS) and not refused
        )
        assert operation["summary"].endswith(".")
        assert all(one["description"] and one["schema"] for one in operation.get("parameters", ())), path


def test_openapi_when_a_query_has_types_defaults_and_limits_then_they_are_described(document: Any) -> None:
    """A generated client knows what may be sent, and what it means."""
    listed = {one["name"]: one for one in document["paths"]["/v1/workflows/runs"]["get"]["parameters"]}
    assert listed["page_size"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}
    assert listed["order"]["schema"] == {"type": "string", "enum": ["asc", "desc"], "default": "desc"}
    assert listed["search_key"]["schema"] == {"type": "array", "items": {"type": "string", "maxLength": 512}, "maxItems": 3}
    assert listed["start_time_after"]["schema"] == {"type": "string", "format": "date-time"}
    assert listed["root_execution_id"]["description"] == "All runs of this execution and those below it."
    one = document["paths"]["/v1/workflows/executions/{execution_id}/logs"]["get"]["parameters"]
    assert [(one["name"], one["in"], one["required"]) for one in one][:2] == [
        ("execution_id", "path", True),
        ("after", "query", False),
    ]


def test_openapi_when_an_answer_always_has_a_field_then_it_is_required(document: Any) -> None:
    """Nullable keys are always written, and whoever reads the document may rely on that; errors say what there is to say."""
    schemas = document["components"]["schemas"]
    for name in ("WorkflowExecutionResponse", "WorkflowListResponse", "DeploymentDetailResponse", "StreamEvent"):
        assert schemas[name]["required"] == list(schemas[name]["properties"])
    assert schemas["ErrorBody"]["required"] == ["detail", "code"]
    assert schemas["PollRequest"]["required"] == ["deployment_name", "worker_id", "queue"]


@pytest.mark.parametrize("operation", BODIES)
def test_openapi_when_it_shows_an_example_then_that_body_is_well_formed(api: Api, document: Any, operation: str) -> None:
    """Who copies an example is not told that it is wrong; of what it names, nothing is there."""
    operations = {
        op["operationId"]: (method, path) for path, item in document["paths"].items() for method, op in item.items()
    }
    method, path = operations[operation]
    answer = api.call(method.upper(), path.replace("{", "").replace("}", ""), BODIES[operation])
    assert answer.status in (200, 404) or "task_token" in answer.body["detail"][0]["loc"], answer


@pytest.mark.parametrize(
    ("docstring", "own", "fields"),
    [
        ("The whole.", "The whole.", {}),
        ("The whole. a: about it.", "The whole.", {"a": "About it."}),
        ("a, b: both. bc: `a:b`, and (a: c).", "", {"a": "Both.", "b": "Both.", "bc": "`a:b`, and (a: c)."}),
        (
            "The whole.\n\na: one\nline more. x: no field.\n\nMore.",
            "The whole.\n\nMore.",
            {"a": "One line more. x: no field."},
        ),
    ],
)
def test_docstring_when_it_speaks_of_fields_then_each_gets_its_part(
    docstring: str, own: str, fields: dict[str, str]
) -> None:
    """What is said once, where the code is, is said in the document too."""
    assert said_in(docstring, ("a", "b", "bc")) == (own, fields)


SUCCESSES = {"200", "201", "202", "204", "307"}
BODILESS = ("}/terminate", "}/cancel", "}/archive", "}/unarchive", "}/retry", "}/drop")
"""What takes no body."""
SILENT = ("}/terminate", "}/cancel", "}/reset", "}/pause", "}/resume", "}/trigger", "}/tags", "}/retry", "}/drop")
"""What answers with none."""


def _success(method: str, path: str) -> set[str]:
    if path.endswith(("/stream", "/history")):
        return {"200", "307"}
    if path.endswith("/signals"):
        return {"202"}
    if (method, path) == ("POST", "/v1/workflows/schedules"):
        return {"201"}
    return {"204" if method == "DELETE" or path.endswith(SILENT) else "200"}


def test_openapi_when_asked_for_again_then_it_is_the_same_document(api: Api) -> None:
    """It is generated once."""
    first, second = (api.handler(api.event("GET", "/openapi.json", key=None), None)["body"] for _ in range(2))
    assert first is second


def test_log_when_a_request_is_answered_then_one_line_tells_which_and_nothing_that_was_sent(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log line has no id, no payload and no secret of a user."""
    api.register("greet")
    api.handler = create_app(api.engine, ApiSettings())
    api.call("POST", "/v1/workflows/greet/execute", {"execution_id": "order-4711", "input": {"a": 31337}}, key="client")
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert said.pop("ms") >= 0
    assert said.pop("time").endswith("Z")
    assert said == {
        "level": "INFO",
        "message": "request",
        "method": "POST",
        "route": "/v1/workflows/<workflow_identifier>/execute",
        "status": 200,
        "request_id": "request-1",
    }


def test_log_when_quiet_then_requests_are_not_told(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    """A person at a terminal wants to see other things."""
    assert SETTINGS.quiet
    api.call("GET", "/v1/workflows")
    assert capsys.readouterr().err == ""


def test_route_names_when_static_then_they_win_over_workflows_of_that_name(api: Api, tmp_path: Path) -> None:
    """`/v1/workflows/runs` is a listing, whatever workflows are called."""
    api.register("runs")
    assert "executions" in api.call("GET", "/v1/workflows/runs").body
