import json
from pathlib import Path

import pytest

from levante_api.app import ApiSettings, create_app
from tests.integration.api.harness import SETTINGS, Api


def test_health_when_asked_then_it_tells_the_version(api: Api) -> None:
    """A load balancer and a person both learn what they need."""
    answer = api.call("GET", "/v1/health", key=None)
    assert (answer.status, answer.body) == (200, {"status": "ok", "version": "9.8.7"})


def test_openapi_when_asked_for_then_every_operation_says_how_it_succeeds_and_fails(api: Api) -> None:
    """The document covers every route, its success, its errors and its security."""
    document = api.call("GET", "/openapi.json", key=None).body
    assert document["info"]["title"] == "Levante"
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    operations = {(method.upper(), path): op for path, item in document["paths"].items() for method, op in item.items()}
    assert len({op["operationId"] for op in operations.values()}) == len(operations) == 85
    for (method, path), operation in operations.items():
        responses = operation["responses"]
        success = {status for status in responses if status.startswith(("2", "3"))}
        refused = operation["summary"].startswith("Always refused")
        assert success == (
            set() if refused else {_success(method, path), *(["307"] if path.endswith("/history") else [])}
        ), path
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


BODILESS = ("}/terminate", "}/cancel", "}/archive", "}/unarchive")
"""What takes no body."""
SILENT = ("}/terminate", "}/cancel", "}/reset", "}/pause", "}/resume", "}/trigger", "}/tags")
"""What answers with none."""


def _success(method: str, path: str) -> str:
    if path.endswith("/stream"):
        return "307"
    if path.endswith("/signals"):
        return "202"
    if (method, path) == ("POST", "/v1/workflows/schedules"):
        return "201"
    return "204" if method == "DELETE" or path.endswith(SILENT) else "200"


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
