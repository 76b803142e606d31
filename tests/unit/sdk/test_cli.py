"""The command line against a small server that answers as the API does; the rules themselves are tested elsewhere."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from levante.cli import main

EXECUTION = {
    "execution_id": "e1",
    "workflow_name": "w",
    "status": "COMPLETED",
    "start_time": "2026-11-23T00:00:00Z",
    "end_time": None,
    "result": {"result": 5},
}


class Api(ThreadingHTTPServer):
    """Answers what it is told to, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def handle_request(self) -> None:
        """Answer whatever the method."""
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        self.server.asked.append((self.command, self.path, body, self.headers.get("Authorization")))
        path = self.path.partition("?")[0]
        status, answer = self.server.answers.get((self.command, path), (404, {"detail": "nothing here", "code": "WF_1100"}))
        content = b"" if answer is None else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_DELETE = handle_request  # noqa: N815 - names of the standard library


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def run(api: Api | None, *args: str, text: str | None = None) -> Result:
    """Run a command with a server and a key."""
    environment = {
        "LEVANTE_SERVER_URL": api.url if api else "http://127.0.0.1:1",
        "LEVANTE_API_KEY": "lev_secret",
        "MISTRAL_API_KEY": "",
    }
    return CliRunner().invoke(main, args, env=environment, input=text)


def test_start_when_given_everything_then_the_request_carries_it(api: Api) -> None:
    """Options become the fields of the request, the key its bearer."""
    api.answers["POST", "/v1/workflows/w/execute"] = (200, EXECUTION)
    result = run(api, "executions", "start", "w", "--input", '{"x": 1}', "--execution-id", "e1", "--deployment-name", "d")
    assert result.exit_code == 0, result.output
    body = {"input": {"x": 1}, "execution_id": "e1", "deployment_name": "d"}
    assert api.asked == [("POST", "/v1/workflows/w/execute", body, "Bearer lev_secret")]


@pytest.mark.parametrize("source", ["-", "@file"])
def test_start_when_the_input_comes_from_elsewhere_then_it_is_read_there(api: Api, tmp_path: Path, source: str) -> None:
    """`-` is standard input, `@` a file."""
    api.answers["POST", "/v1/workflows/w/execute"] = (200, EXECUTION)
    (tmp_path / "input.json").write_text('{"x": 2}')
    given = "-" if source == "-" else f"@{tmp_path / 'input.json'}"
    assert run(api, "executions", "start", "w", "--input", given, text='{"x": 2}').exit_code == 0
    assert api.asked[0][2] == {"input": {"x": 2}}


def test_start_when_the_input_is_no_json_then_it_is_wrong_usage_and_nothing_is_sent(api: Api) -> None:
    """Bad input is refused at the earliest point."""
    result = run(api, "executions", "start", "w", "--input", "{x")
    assert result.exit_code == 2
    assert "--input" in result.output
    assert api.asked == []


@pytest.mark.parametrize(("status", "code"), [("COMPLETED", 0), ("FAILED", 3), ("TIMED_OUT", 3)])
def test_start_when_it_waits_then_the_exit_code_says_how_it_ended(api: Api, status: str, code: int) -> None:
    """Scripts can tell a completed execution from another end."""
    api.answers["POST", "/v1/workflows/w/execute"] = (200, EXECUTION)
    ended = {**EXECUTION, "status": status, "failure": {"message": "no luck"} if status == "FAILED" else None}
    api.answers["GET", "/v1/workflows/executions/e1"] = (200, ended)
    result = run(api, "executions", "start", "w", "--wait")
    assert result.exit_code == code
    assert '{"result": 5}' in result.output
    assert ("no luck" in result.output) == (status == "FAILED")


def test_start_when_it_waits_too_long_then_the_exit_code_says_so(api: Api) -> None:
    """Running out of time is no failure of the execution."""
    running = {**EXECUTION, "status": "RUNNING"}
    api.answers["POST", "/v1/workflows/w/execute"] = (200, running)
    api.answers["GET", "/v1/workflows/executions/e1"] = (200, running)
    result = run(api, "executions", "start", "w", "--wait", "--timeout", "0")
    assert (result.exit_code, "it goes on" in result.output) == (4, True)


@pytest.mark.parametrize(
    ("command", "path", "answer"),
    [
        (["executions", "get", "e1"], "/v1/workflows/executions/e1", EXECUTION),
        (["executions", "list"], "/v1/workflows/runs", {"executions": [EXECUTION], "next_page_token": None}),
        (
            ["executions", "history", "e1"],
            "/v1/workflows/executions/e1/history",
            {"events": [{"event_id": 1, "kind": "execution_started"}], "workflow_task_failure": None},
        ),
        (["workflows", "list"], "/v1/workflows", {"workflows": [{"name": "w"}], "next_cursor": None}),
        (["workflows", "get", "w"], "/v1/workflows/w", {"workflow": {"name": "w", "active": True}}),
        (["deployments", "list"], "/v1/workflows/deployments", {"deployments": [{"name": "d", "is_active": True}]}),
        (["keys", "list"], "/v1/keys", {"keys": [{"key_id": "k", "name": "n", "role": "admin"}]}),
    ],
)
def test_look_ups_when_asked_for_json_then_it_is_the_answer_of_the_api(
    api: Api, command: list[str], path: str, answer: Any
) -> None:
    """`--json` is for programs: exactly what the API says. Without it there is a table for people."""
    api.answers["GET", path] = (200, answer)
    as_json = run(api, *command, "--json")
    assert (as_json.exit_code, json.loads(as_json.output)) == (0, answer)
    table = run(api, *command)
    assert table.exit_code == 0
    assert len(table.output.splitlines()) == 2


def test_history_when_the_run_cannot_be_advanced_then_it_says_why(api: Api) -> None:
    """A blocked run must not look like one that merely waits."""
    failure = {"failure": {"message": "event 2 differs"}}
    answer = {"events": [], "workflow_task_failure": failure}
    api.answers["GET", "/v1/workflows/executions/e1/history"] = (200, answer)
    assert "event 2 differs" in run(api, "executions", "history", "e1").output


def test_keys_when_created_and_revoked_then_the_secret_is_shown_once(api: Api) -> None:
    """A key's secret is in the answer to its creation only."""
    api.answers["POST", "/v1/keys"] = (200, {"key_id": "k1", "role": "worker", "secret": "lev_new"})
    api.answers["DELETE", "/v1/keys/k1"] = (204, None)
    assert "lev_new" in run(api, "keys", "create", "--name", "n", "--role", "worker").output
    assert run(api, "keys", "revoke", "k1").exit_code == 0
    assert run(api, "executions", "terminate", "e1").exit_code == 1


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (404, {"detail": "no execution has the id 'e1'", "code": "WF_1100"}, "no execution has the id 'e1' (404 WF_1100)"),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "wrong", "type": "t"}]}, "body.x: wrong (422)"),
        (502, "<html>", "the API answered 502"),
    ],
)
def test_refusal_when_the_api_gives_one_then_it_is_one_line_and_exit_code_1(
    api: Api, status: int, answer: Any, said: str
) -> None:
    """Errors are one line with what was wrong."""
    api.answers["GET", "/v1/workflows/executions/e1"] = (status, answer)
    result = run(api, "executions", "get", "e1")
    assert result.exit_code == 1
    assert said in result.output
    assert len(result.output.splitlines()) == 1


def test_server_when_nothing_answers_then_the_error_says_what_to_do() -> None:
    """The first thing that goes wrong for a newcomer says how to go on."""
    result = run(None, "workflows", "list")
    assert (result.exit_code, "levante dev" in result.output) == (1, True)


def test_key_when_it_is_missing_then_the_error_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No request is made without a key."""
    monkeypatch.delenv("LEVANTE_API_KEY", raising=False)
    result = CliRunner().invoke(main, ["workflows", "list"], env={"MISTRAL_API_KEY": ""})
    assert (result.exit_code, "LEVANTE_API_KEY" in result.output) == (1, True)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        (None, "cli_absent", "no module 'cli_absent'"),
        ("x = 1", "cli_empty", "defines no workflows"),
        ("class A: ...", "cli_plain:A", "is no workflow class"),
        ("class A: ...", "cli_other:B", "is no workflow class"),
    ],
)
def test_worker_when_its_target_is_wrong_then_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, target: str, said: str
) -> None:
    """A worker that could serve nothing does not start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    if source is not None:
        (tmp_path / f"{target.partition(':')[0]}.py").write_text(source)
    result = run(None, "worker", target)
    assert (result.exit_code, said in result.output) == (1, True), result.output


def test_dev_when_looked_for_then_the_command_of_the_host_is_found() -> None:
    """The host's command joins by its entry point; the SDK does not import it."""
    result = run(None, "dev", "--help")
    assert (result.exit_code, "--data" in result.output) == (0, True)
    assert "dev" in run(None, "--help").output
