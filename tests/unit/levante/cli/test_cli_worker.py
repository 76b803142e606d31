"""`levante worker`: what ends it before it begins, its log, and the names of its workflows."""

import json
import logging
import sys
from datetime import datetime
from pathlib import Path

import pytest

from levante import workflow
from levante.client import steps, waiting
from levante.definition.definitions import get_workflow_definition
from levante.worker.logs.console import JsonLines
from tests.support.cli import Api, api, assert_one_line, run
from tests.unit.levante.cli.commands import WHOAMI, WORKFLOW_SOURCE

__all__ = ["api"]


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.005)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current directory whose modules are forgotten afterwards, and whose workers serve nothing of the other tests."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    others = {name: module for name, module in sys.modules.items() if not name.startswith("tests.")}
    monkeypatch.setattr(sys, "modules", others)
    return tmp_path


@pytest.mark.parametrize("status", [401, 403, 422])
@pytest.mark.parametrize(("target", "served"), [(":Second", ["second"]), ("", ["first", "second"])])
def test_worker_when_the_api_refuses_it_then_it_ends_with_one_line(
    api: Api, place: Path, status: int, target: str, served: list[str]
) -> None:
    """A refusal does not go away by itself, so there is nothing to wait for."""
    (place / "cli_shop.py").write_text(WORKFLOW_SOURCE)
    detail = [{"loc": ["body"], "msg": "not so", "type": "t"}] if status == 422 else "not so"
    api.on("GET", WHOAMI, (200, {"scheduler_url": "", "namespace": "n", "features": {"queues": True}}))
    api.on("POST", "/v1/workflows/register", (status, {"detail": detail, "code": "C"}))
    result = run(api, "worker", f"cli_shop{target}", "--deployment-name", "shop", "--worker-name", "me")
    assert_one_line(result, f"not so ({status} C)")
    assert api.asked[0][1] == WHOAMI, "queues are asked for when the deployment is there"
    registered = api.asked[1][2]
    assert [one["name"] for one in registered["definitions"] if not one["is_technical"]] == served
    assert (registered["deployment_name"], registered["worker_name"]) == ("shop", "me")


def test_worker_when_two_workflows_have_one_name_then_it_ends_before_it_registers(api: Api, place: Path) -> None:
    """The SDK's own errors are one line too."""
    (place / "cli_twins.py").write_text(WORKFLOW_SOURCE.replace('"second"', '"first"'))
    assert_one_line(run(api, "worker", "cli_twins"), "two workflows are named 'first'")
    assert api.asked == []


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"DEPLOYMENT_NAME": None, "LEVANTE_SERVER_URL": "https://levante.example"}, "set DEPLOYMENT_NAME"),
        ({"DEPLOYMENT_NAME": "a b"}, "deployment_name 'a b' is not allowed"),
        ({"LEVANTE_API_KEY": None}, "set LEVANTE_API_KEY or MISTRAL_API_KEY"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL"),
    ],
)
def test_worker_when_a_setting_is_wrong_then_the_error_names_it(
    api: Api, place: Path, environment: dict[str, str | None], said: str
) -> None:
    """Settings are checked before the user's code is imported."""
    (place / "cli_raises.py").write_text("raise SystemError")
    assert_one_line(run(api, "worker", "cli_raises", **environment), said)


def test_worker_log_when_json_is_wanted_then_each_line_is_an_object() -> None:
    """LOG_FORMAT=json, for whoever reads logs by machine."""
    error = ValueError("no")
    record = logging.LogRecord("levante.worker", logging.ERROR, "f", 1, "it %s", ("fails",), (ValueError, error, None))
    said = json.loads(JsonLines().format(record))
    assert (said["level"], said["logger"], said["message"]) == ("ERROR", "levante.worker", "it fails")
    assert said["exception"].endswith("ValueError: no")
    assert datetime.fromisoformat(said["time"]).tzinfo


def test_workflow_names_when_there_is_a_prefix_then_all_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two branches of one team in one deployment."""
    monkeypatch.setenv("WORKFLOW_NAME_PREFIX", "branch-")

    class Plain:
        @workflow.entrypoint
        async def run(self) -> None:
            """Do nothing."""

    assert get_workflow_definition(workflow.define(name="plain")(Plain)).name == "branch-plain"
