"""Commands that start, look up, end and change."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from levante.cli.exits import Exit
from levante.client import steps, waiting
from tests.support.cli import Api, Stream, api, assert_one_line, run
from tests.unit.levante.cli.commands import END_STREAM, EXECUTE, ONE

__all__ = ["api"]

EXECUTION = {
    "execution_id": "e1",
    "workflow_name": "w",
    "root_execution_id": "e1",
    "status": "COMPLETED",
    "start_time": "2026-11-23T00:00:00.123456Z",
    "end_time": None,
    "result": {"result": 5},
}
RUNNING = {**EXECUTION, "status": "RUNNING", "result": None}
KEY = {
    "key_id": "k1",
    "name": "n",
    "role": "worker",
    "workspace": "default",
    "created_at": "2026-11-23T00:00:00Z",
    "revoked_at": None,
}
EVENTS = [
    {"event_id": 1, "kind": "execution_started", "recorded_at": "2026-11-23T00:00:00Z", "workflow_name": "w"},
    {"event_id": 2, "kind": "activity_scheduled", "recorded_at": "2026-11-23T00:00:01Z", "seq": 1, "name": "charge"},
    {"event_id": 3, "kind": "activity_failed", "seq": 1, "failure": {"message": "declined", "type": "CardError"}},
]


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.005)


def test_start_when_given_everything_then_the_request_carries_it(api: Api) -> None:
    """Options become the fields of the request, the key its bearer."""
    api.on("POST", EXECUTE, (200, RUNNING))
    result = run(api, "executions", "start", "w", "--input", '{"x": 1}', "--execution-id", "e1", "--deployment-name", "d")
    assert (result.exit_code, "RUNNING" in result.stdout) == (0, True), result.output
    body = {"input": {"x": 1}, "execution_id": "e1", "deployment_name": "d"}
    assert api.asked == [("POST", EXECUTE, body, "Bearer lev_secret")]


def test_start_when_given_nothing_then_nothing_is_made_up(api: Api) -> None:
    """What the caller leaves out, the API decides."""
    api.on("POST", EXECUTE, (200, RUNNING))
    assert run(api, "executions", "start", "w").exit_code == 0
    assert api.asked[0][2] == {}


@pytest.mark.parametrize("source", ["-", "@file"])
@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_start_when_the_input_comes_from_elsewhere_then_it_is_read_there(
    api: Api, tmp_path: Path, source: str, prefix: bytes
) -> None:
    """`-` is standard input, `@` a file; both are UTF-8."""
    api.on("POST", EXECUTE, (200, RUNNING))
    content = prefix + '{"x": "é"}'.encode()
    (tmp_path / "input.json").write_bytes(content)
    given = "-" if source == "-" else f"@{tmp_path / 'input.json'}"
    assert run(api, "executions", "start", "w", "--input", given, text=content).exit_code == 0
    assert api.asked[0][2] == {"input": {"x": "é"}}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["--input", "{x"], "from the option", id="no JSON"),
        pytest.param(["--input", '{"x": NaN}'], "NaN is no JSON", id="what only Python reads"),
        pytest.param(["--input", "[" * 100_000], "no JSON could be read", id="too deep"),
        pytest.param(["--input", "[1]"], "must be a JSON object", id="no object"),
        pytest.param(["--input", "@absent.json"], "from absent.json", id="no file"),
        pytest.param(["--input", "-"], "from standard input", id="nothing on standard input"),
        pytest.param(["--timeout", "1"], "--wait", id="a limit to no waiting"),
        pytest.param(["--wait", "--timeout", "-1"], "--timeout", id="a negative limit"),
        pytest.param(["--server-url", "localhost:8700"], "no address", id="no scheme"),
        pytest.param(["--server-url", "file:///etc/hosts"], "no address", id="another scheme"),
        pytest.param(["--server-url", "http://h:99999"], "no address", id="no port"),
    ],
)
def test_start_when_its_options_are_wrong_then_it_is_wrong_usage_and_nothing_is_sent(
    api: Api, arguments: list[str], said: str
) -> None:
    """Bad input is refused at the earliest point."""
    result = run(api, "executions", "start", "w", *arguments)
    assert (result.exit_code, result.stdout, api.asked) == (Exit.USAGE, "", [])
    assert said in " ".join(result.stderr.split())


def test_start_when_it_waits_then_it_prints_the_result_alone(api: Api) -> None:
    """A script reads the result from stdout."""
    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", END_STREAM, (200, Stream("retry: 1\n\n")))
    api.on("GET", ONE, (200, RUNNING), (503, {"detail": "busy", "code": "UNAVAILABLE"}), (200, RUNNING), (200, EXECUTION))
    result = run(api, "executions", "start", "w", "--wait")
    assert (result.exit_code, result.stdout, result.stderr) == (Exit.OK, '{"result": 5}\n', "")


@pytest.mark.parametrize("status", ["FAILED", "CANCELED", "TERMINATED", "TIMED_OUT", "SOMETHING_NEW", None])
def test_start_when_it_waits_for_another_end_then_the_exit_code_says_so(api: Api, status: str | None) -> None:
    """Scripts can tell a completed execution from any other end; a status that is not known is no success."""
    api.on("POST", EXECUTE, (200, RUNNING))
    failure = {"message": "no\nluck", "type": "ValueError"}
    ended = {**EXECUTION, "status": status, "failure": failure}
    api.on("GET", ONE, (200, ended))
    said = f"execution e1 ended as {status}: ValueError: no luck"
    assert_one_line(run(api, "executions", "start", "w", "--wait"), said, code=Exit.NOT_COMPLETED)
    as_json = run(api, "executions", "start", "w", "--wait", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (Exit.NOT_COMPLETED, ended)


def test_start_when_it_waits_too_long_then_the_exit_code_says_so(api: Api) -> None:
    """Running out of time is no failure of the execution, which goes on."""
    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", END_STREAM, (200, Stream("")))
    api.on("GET", ONE, (200, RUNNING))
    wait = ["executions", "start", "w", "--wait", "--timeout", "0.02"]
    assert_one_line(run(api, *wait), "still open after 0.02 s", "levante executions get e1", code=Exit.OUT_OF_TIME)
    as_json = run(api, *wait, "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (Exit.OUT_OF_TIME, RUNNING)


def test_start_when_waiting_is_refused_then_the_error_says_that_it_was_started(api: Api) -> None:
    """What was started must not be started again because its id was lost."""
    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", ONE, (401, {"detail": "the key is revoked", "code": "UNAUTHENTICATED"}))
    assert_one_line(run(api, "executions", "start", "w", "--wait"), "execution e1 was started", "the key is revoked")


@pytest.mark.parametrize(
    ("command", "path", "answer", "shown"),
    [
        (["executions", "get", "e1"], ONE, EXECUTION, ["e1", "2026-11-23T00:00:00Z", '{"result": 5}']),
        (
            ["executions", "list"],
            "/v1/workflows/runs",
            {"executions": [RUNNING], "next_page_token": None},
            ["e1", "RUNNING"],
        ),
        (
            ["executions", "history", "e1"],
            f"{ONE}/history",
            {"events": EVENTS, "workflow_task_failure": {"failure": {"message": "event 2 differs", "type": None}}},
            ["execution_started", "charge", "CardError: declined", "cannot be advanced at present: event 2 differs"],
        ),
        (["workflows", "list"], "/v1/workflows", {"workflows": [{"name": "w", "archived": False}]}, ["w", "no"]),
        (["workflows", "get", "w"], "/v1/workflows/w", {"workflow": {"name": "w", "active": True}}, ["w", "yes"]),
        (
            ["deployments", "list"],
            "/v1/workflows/deployments",
            {"deployments": [{"name": "d", "worker_count": 2}]},
            ["d", "2"],
        ),
        (["keys", "list"], "/v1/keys", {"keys": [KEY]}, ["k1", "worker", "default"]),
    ],
)
def test_look_ups_when_asked_for_json_then_it_is_the_answer_of_the_api(
    api: Api, command: list[str], path: str, answer: Any, shown: list[str]
) -> None:
    """`--json` is for programs: exactly what the API says. Without it people get a table."""
    text = json.dumps(answer, indent=1)
    api.on("GET", path, (200, text))
    as_json = run(api, *command, "--json")
    assert (as_json.exit_code, as_json.stdout, as_json.stderr) == (0, text + "\n", "")
    table = run(api, *command)
    assert (table.exit_code, table.stderr) == (0, "")
    words = table.stdout.replace("\n", "  ").split("  ")
    assert [word for word in shown if word not in [one.strip() for one in words]] == []


def test_list_when_narrowed_then_the_query_says_so(api: Api) -> None:
    """Filters are the API's work: statuses repeat the key."""
    api.on("GET", "/v1/workflows/runs", (200, {"executions": [], "next_page_token": None}))
    narrowed = ["--workflow", "a b", "--status", "failed", "--status", "RUNNING", "--limit", "2"]
    result = run(api, "executions", "list", *narrowed)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no executions\n")
    assert (
        api.asked[0][1]
        == "/v1/workflows/runs?page_size=2&workflow_identifier=a+b&status=FAILED&status=RUNNING&include_blockers=true"
    )


@pytest.mark.parametrize("wrong", [["--limit", "0"], ["--status", "DONE"], ["--order", "up"]])
def test_list_when_its_options_are_wrong_then_it_is_wrong_usage(api: Api, wrong: list[str]) -> None:
    """Bad input is refused at the earliest point."""
    assert run(api, "executions", "list", *wrong).exit_code == Exit.USAGE
    assert api.asked == []


@pytest.mark.parametrize(
    ("command", "path", "answer"),
    [
        (["executions", "list"], "/v1/workflows/runs", {"executions": [RUNNING], "next_page_token": "t"}),
        (["workflows", "list"], "/v1/workflows", {"workflows": [{"name": "w"}], "next_cursor": "c"}),
    ],
)
def test_list_when_there_is_more_then_it_says_so_beside_the_table(
    api: Api, command: list[str], path: str, answer: Any
) -> None:
    """A table that is cut off must not look complete."""
    api.on("GET", path, (200, answer))
    result = run(api, *command)
    assert (result.exit_code, result.stderr.startswith("these are the ")) == (0, True)


def test_tables_when_a_text_would_steer_the_terminal_then_it_stays_one_plain_line(api: Api) -> None:
    """Descriptions are somebody else's."""
    api.on("GET", "/v1/workflows", (200, {"workflows": [{"name": "w", "description": "\x1b[31mred\nalert" + "!" * 99}]}))
    result = run(api, "workflows", "list")
    assert ("\x1b" in result.stdout, len(result.stdout.splitlines())) == (False, 2)
    assert result.stdout.rstrip().endswith("!…")


def test_ids_when_they_hold_slashes_then_they_stay_one_segment_of_the_path(api: Api) -> None:
    """An id cannot lead to another endpoint."""
    assert run(api, "executions", "get", "../runs?x=1").exit_code == 1
    assert api.asked[0][1] == "/v1/workflows/executions/..%2Fruns%3Fx%3D1?include_search_keys=true"


@pytest.mark.parametrize(
    ("command", "method", "path"),
    [
        (["keys", "revoke", "k1"], "DELETE", "/v1/keys/k1"),
        (["schedules", "delete", "s1"], "DELETE", "/v1/workflows/schedules/s1"),
    ],
)
def test_endings_when_done_then_people_are_told_and_programs_get_the_empty_answer(
    api: Api, command: list[str], method: str, path: str
) -> None:
    """The API answers 204 and nothing; so does --json."""
    api.on(method, path, (204, None))
    result, as_json = run(api, *command), run(api, *command, "--json")
    assert (result.exit_code, command[-1] in result.stdout) == (0, True)
    assert (as_json.exit_code, as_json.stdout) == (0, "")
    assert api.asked == [(method, path, None, "Bearer lev_secret")] * 2


def test_key_when_created_then_its_secret_is_printed(api: Api) -> None:
    """A key's secret is in the answer to its creation only."""
    made = {**KEY, "secret": "lev_new"}
    api.on("POST", "/v1/keys", (200, made))
    create = ["keys", "create", "--name", "n", "--role", "worker"]
    result, as_json = run(api, *create), run(api, *create, "--json")
    assert (result.exit_code, "lev_new" in result.stdout, "cannot be shown again" in result.stderr) == (0, True, True)
    assert (json.loads(as_json.stdout), as_json.stderr) == (made, "")
    assert api.asked[0][2] == {"name": "n", "role": "worker"}


def test_key_when_created_for_deployments_then_they_are_sent_and_printed(api: Api) -> None:
    """`--deployment` may be given several times."""
    api.on("POST", "/v1/keys", (200, {**KEY, "secret": "lev_new", "deployments": ["shop", "pay"]}))
    result = run(api, "keys", "create", "--name", "n", "--role", "worker", "--deployment", "shop", "--deployment", "pay")
    assert api.asked[0][2] == {"name": "n", "role": "worker", "deployments": ["shop", "pay"]}
    assert "deployments  shop, pay" in result.stdout


def test_keys_when_listed_then_each_workers_key_says_what_it_is_for(api: Api) -> None:
    """A key that is bound to nothing is worth a look."""
    bound = {**KEY, "deployments": ["shop"]}
    client: dict[str, Any] = {**KEY, "role": "client", "deployments": []}
    api.on("GET", "/v1/keys", (200, {"keys": [{**KEY, "deployments": []}, bound, client]}))
    said = [re.split(r"  +", line)[3] for line in run(api, "keys", "list").stdout.splitlines()]
    assert said == ["WORKS FOR", "any deployment", "shop", "-"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--role", "admin"],
        ["--name", "n"],
        ["--name", "n", "--role", "king"],
        *(["--name", "n", "--role", role, "--deployment", "shop"] for role in ("admin", "viewer", "client")),
    ],
)
def test_key_when_asked_for_wrongly_then_it_is_wrong_usage(api: Api, arguments: list[str]) -> None:
    """A key has a name and one of four roles, of which one is bound to deployments."""
    assert run(api, "keys", "create", *arguments).exit_code == Exit.USAGE
    assert api.asked == []


def test_redrive_when_it_takes_several_calls_then_their_sum_is_printed(api: Api) -> None:
    """The API redrives a part in each call, and says where to go on."""
    api.on("POST", "/v1/redrive", (200, {"executions": 2, "next": "0:x"}), (200, {"executions": 1, "next": None}))
    result = run(api, "redrive")
    assert (result.exit_code, result.stdout) == (0, "3 open executions carry on\n")
    assert [body for _, _, body, _ in api.asked] == [{}, {"after": "0:x"}]
    assert json.loads(run(api, "redrive", "--json").stdout) == {"executions": 1, "next": None}
