import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe
import pytest
from pydantic import BaseModel

from levante_api.app import ApiSettings, create_app
from levante_api.catalogue.models import DeploymentDetailResponse, WorkflowGetResponse
from levante_api.openapi.examples import BODIES
from levante_api.openapi.field_docstrings import field_docstrings
from levante_api.streams.models import TaskFailed
from levante_core.domain.dispatch.tasks import ActivityTask
from levante_core.domain.frozen import Frozen
from levante_core.protocol.specs import WorkflowSpec
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
    assert len({op["operationId"] for op in operations.values()}) == len(operations) == 113
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


def test_openapi_when_it_describes_a_model_then_it_says_something_of_every_field(document: Any) -> None:
    """Who reads the reference needs no source code beside it."""
    schemas = document["components"]["schemas"]
    fields = [(name, field, one) for name, schema in schemas.items() for field, one in schema.get("properties", {}).items()]
    assert len(fields) > 900
    assert [(name, field) for name, field, one in fields if not one.get("description", "").endswith(".")] == []


def test_openapi_when_a_model_is_described_then_its_fields_are_described_beside_them(document: Any) -> None:
    """A sentence such as `name: what it is.` in the docstring of a class is found by no tool."""
    texts = {
        name: [sentence for field in schema.get("properties", ()) for sentence in (f"{field}: ", f"`{field}`: ")]
        for name, schema in document["components"]["schemas"].items()
    }
    described = {name: document["components"]["schemas"][name].get("description", "") for name in texts}
    assert [(name, text) for name, found in texts.items() for text in found if text in described[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("model", [WorkflowGetResponse, DeploymentDetailResponse, TaskFailed, ActivityTask, WorkflowSpec])
def test_field_docstrings_when_compared_with_those_that_another_tool_reads_then_they_are_the_same(
    model: type[BaseModel],
) -> None:
    """They are what any tool takes for the docstrings of fields, those of ancestors included."""
    expected: dict[str, str] = {}
    for ancestor in reversed(model.__mro__[: model.__mro__.index(Frozen)]):
        members = griffe.load(ancestor.__module__, allow_inspection=False)[ancestor.__name__].members
        expected |= {
            name: " ".join(one.docstring.value.split())
            for name, one in members.items()
            if one.is_attribute and one.docstring and name in model.model_fields
        }
    assert expected
    assert field_docstrings(model) == expected


SUCCESSES = {"200", "201", "202", "204", "307"}
BODILESS = ("}/abort", "}/terminate", "}/cancel", "}/archive", "}/unarchive", "{parked_id}/retry", "}/drop")
"""What takes no body."""
SILENT = ("}/abort", "}/terminate", "}/cancel", "}/reset", "}/pause", "}/resume", "}/trigger", "}/tags", "}/retry", "}/drop")
REPAIRS = ("}/complete", "}/fail", "}/skip")
"""What answers with none."""


def _success(method: str, path: str) -> set[str]:
    if path.endswith(("/stream", "/history")):
        return {"200", "307"}
    if path.endswith("/signals"):
        return {"202"}
    if (method, path) == ("POST", "/v1/workflows/schedules"):
        return {"201"}
    return {"204" if method == "DELETE" or path.endswith((*SILENT, *REPAIRS)) else "200"}


@pytest.mark.slow
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
