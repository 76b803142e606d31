"""Refusals, damaged answers and settings: one line, and an exit code that means something."""

import json
import socket
import threading
from typing import Any

import pytest

from levante.cli.exits import EPILOG
from levante.client import steps, waiting
from tests.support.cli import Api, api, assert_one_line, run
from tests.unit.levante.cli.commands import EXECUTE, ONE

__all__ = ["api"]


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.005)


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (
            404,
            {"detail": "no execution has the id 'e1'", "code": "WF_1100"},
            "Error: no execution has the id 'e1' (404 WF_1100)\n",
        ),
        (422, {"detail": [{"loc": ["body", "x"], "msg": "wrong", "type": "t"}]}, "Error: body.x: wrong (422)\n"),
        (401, {"detail": "who?", "code": "UNAUTHENTICATED"}, "set LEVANTE_API_KEY to a key that is not revoked"),
        (403, {"detail": "it takes one with: admin", "code": "FORBIDDEN"}, "it takes one with: admin (403 FORBIDDEN)"),
        (502, "<html>\n<b>", "the API answered 502: <html> <b>"),
        (500, None, "the API answered 500: no reason was given"),
        (422, {"detail": ["odd"]}, "the API answered 422"),
    ],
)
def test_refusal_when_the_api_gives_one_then_it_is_one_line(api: Api, status: int, answer: Any, said: str) -> None:
    """Errors are one line with what was wrong and, where that is known, what to do."""
    api.on("GET", ONE, (status, answer))
    assert_one_line(run(api, "executions", "get", "e1"), said)


def test_redirect_when_it_comes_then_the_key_does_not_follow_it(api: Api) -> None:
    """The key is for the server that the user named."""
    api.headers["Location"] = f"{api.url}/elsewhere"
    api.on("GET", ONE, (302, None))
    assert_one_line(run(api, "executions", "get", "e1"), "redirects to", "LEVANTE_SERVER_URL")
    assert len(api.asked) == 1


def test_history_when_it_is_told_elsewhere_then_the_ticket_leads_there_and_the_key_stays(api: Api) -> None:
    """On AWS, large ones are told by the program that streams."""
    api.headers["Location"] = f"{api.url}/elsewhere?ticket=t"
    api.on("GET", f"{ONE}/history", (307, None))
    api.on("GET", "/elsewhere", (200, {"events": [], "workflow_task_failure": None}))
    done = run(api, "executions", "history", "e1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["events"]) == (0, [])
    assert [authorization is None for *_, authorization in api.asked] == [False, True]


def test_proxy_when_the_server_is_on_this_machine_then_it_is_passed_by(api: Api) -> None:
    """A key for this machine does not leave it; elsewhere the environment says which way to go."""
    api.on("GET", "/v1/keys", (200, {"keys": []}))
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "NO_PROXY": None, "no_proxy": None}
    assert run(api, "keys", "list", **nowhere).exit_code == 0
    through = {**nowhere, "HTTP_PROXY": api.url, "http_proxy": api.url}
    run("http://levante.example", "keys", "list", **through)
    assert [asked[1] for asked in api.asked] == ["/v1/keys", "http://levante.example/v1/keys"]


@pytest.mark.parametrize("answer", ["<html>", "[]", "{}", '{"executions": 1}', None])
@pytest.mark.parametrize("command", ["list", "start"])
def test_success_when_it_is_not_the_api_s_then_the_error_says_so(api: Api, command: str, answer: str | None) -> None:
    """Some other server may be at the address."""
    api.on("GET", "/v1/workflows/runs", (200, answer))
    api.on("POST", EXECUTE, (200, answer))
    arguments = ["start", "w"] if command == "start" else ["list"]
    assert_one_line(run(api, "executions", *arguments), "not what the API answers here")


def test_server_when_nothing_answers_then_the_error_says_what_to_do() -> None:
    """The first thing that goes wrong for a newcomer says how to go on."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = run(url, "workflows", "list")
    assert_one_line(result, f"nothing answers at {url}", "start it with `levante dev` or set LEVANTE_SERVER_URL")


@pytest.mark.parametrize(
    ("banner", "said"),
    [
        (b"220 smtp.example ESMTP\r\n\r\n", "gave no HTTP answer"),
        (b"220 smtp.example ESMTP\r\n", "broke off"),
        (b"", "broke off"),
    ],
    ids=["another protocol", "half an answer", "nothing"],
)
def test_server_when_it_speaks_no_http_then_the_error_says_so(banner: bytes, said: str) -> None:
    """A port may belong to something else."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(banner)

        thread = threading.Thread(target=greet)
        thread.start()
        result = run(f"http://127.0.0.1:{listener.getsockname()[1]}", "workflows", "list")
        thread.join()
    assert_one_line(result, said, "is it Levante at LEVANTE_SERVER_URL?")


def test_settings_when_only_the_vendor_s_names_are_set_then_they_work(api: Api) -> None:
    """What is configured for the official client need not be configured again; ours come first."""
    api.on("GET", "/v1/keys", (200, {"keys": []}))
    vendor = {"SERVER_URL": api.url, "MISTRAL_API_KEY": "theirs"}
    assert run("", "keys", "list", **vendor, LEVANTE_API_KEY=None, LEVANTE_SERVER_URL=None).exit_code == 0
    assert run(api, "keys", "list", **{**vendor, "SERVER_URL": "http://127.0.0.1:1"}).exit_code == 0
    options = ["--server-url", api.url + "/", "--api-key", "given"]
    assert run("http://127.0.0.1:1", "keys", "list", *options).exit_code == 0
    assert [asked[3] for asked in api.asked] == ["Bearer theirs", "Bearer lev_secret", "Bearer given"]


@pytest.mark.parametrize(
    ("key", "said"), [(None, "no API key"), (" ", "no API key"), ("a\nb", "copy it again"), ("é", "copy")]
)
def test_key_when_it_is_missing_or_damaged_then_no_request_is_made(api: Api, key: str | None, said: str) -> None:
    """The error names the variable."""
    assert_one_line(run(api, "workflows", "list", LEVANTE_API_KEY=key), said, "LEVANTE_API_KEY")
    assert api.asked == []


def test_exit_codes_when_help_is_read_then_they_are_there() -> None:
    """The codes are part of the interface."""
    for command in ([], ["executions", "start"], ["worker"]):
        text = " ".join(run("", *command, "--help").stdout.split())
        assert EPILOG in text
