"""Commands about executions: messages, ends, starts and waits; lists."""

import json
from typing import Any

import pytest

from levante.cli.exits import Exit
from levante.client import waiting
from tests.support.cli import Api, api, assert_one_line, run
from tests.unit.levante.cli.executing import (
    COMPLETED,
    ENDED,
    EVENTS,
    FAILED,
    OF_A_CHILD,
    ONE,
    RUNNING,
    STARTED,
    streamed,
)

__all__ = ["api"]

EXECUTE = "/v1/workflows/w/execute"


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(waiting, "RECONNECT_SECONDS", 0.005)


@pytest.mark.parametrize(
    ("verb", "path", "answer", "said"),
    [
        ("signal", "signals", {"message": "Signal accepted"}, "signal add is accepted\n"),
        ("query", "queries", {"query_name": "add", "result": [1, None]}, "[1, null]\n"),
        ("update", "updates", {"update_name": "add", "result": None}, "null\n"),
    ],
)
def test_messages_when_sent_then_the_answer_is_printed(
    api: Api, verb: str, path: str, answer: dict[str, Any], said: str
) -> None:
    """Of queries and updates the result alone, which a script can read; what is not given is not sent."""
    api.on("POST", f"{ONE}/{path}", (200, answer))
    plain = run(api, "executions", verb, "e1", "add")
    as_json = run(api, "executions", verb, "e1", "add", "--input", '{"x": 1}', "--json")
    assert (plain.exit_code, plain.stdout, json.loads(as_json.stdout)) == (0, said, answer)
    assert [body for _, _, body, _ in api.asked] == [{"name": "add"}, {"name": "add", "input": {"x": 1}}]
    assert "Idempotency-Key" not in api.asked_with[0]


@pytest.mark.parametrize("verb", ["signal", "update"])
def test_messages_when_they_have_a_key_then_it_is_sent(api: Api, verb: str) -> None:
    """Whoever is unsure whether a message has arrived can send it again."""
    api.on("POST", f"{ONE}/{verb}s", (200, {"update_name": "add", "result": 1}))
    assert run(api, "executions", verb, "e1", "add", "--idempotency-key", "k1").exit_code == 0
    assert api.asked_with[0]["Idempotency-Key"] == "k1"


@pytest.mark.parametrize("verb", ["signal", "query", "update"])
def test_messages_when_they_are_refused_or_wrong_then_one_line_says_so(api: Api, verb: str) -> None:
    """The API knows which handlers there are; that an input is no object is seen before."""
    path = {"signal": "signals", "query": "queries", "update": "updates"}[verb]
    api.on("POST", f"{ONE}/{path}", (404, {"detail": "it has: other", "code": "WF_1100"}))
    assert_one_line(run(api, "executions", verb, "e1", "add"), "it has: other (404 WF_1100)")
    wrong = run(api, "executions", verb, "e1", "add", "--input", "[]")
    assert (wrong.exit_code, "the parameters of the handler" in " ".join(wrong.stderr.split())) == (Exit.USAGE, True)
    assert len(api.asked) == 1


@pytest.mark.parametrize(("verb", "done"), [("cancel", "is asked to end"), ("terminate", "is terminated")])
def test_endings_when_some_cannot_be_done_then_the_others_are_and_the_exit_code_says_so(
    api: Api, verb: str, done: str
) -> None:
    """Each is dealt with on its own, a hundred in a request; why one was not stands in the error."""
    refused = {"status": "failure", "error": "no execution has the id 'x'"}
    first = {"results": {f"e{number}": {"status": "success", "error": None} for number in range(100)}}
    api.on("POST", f"/v1/workflows/executions/{verb}", (200, first), (200, {"results": {"x": refused}}))
    ids = [f"e{number}" for number in range(100)]
    result = run(api, "executions", verb, *ids, "x")
    assert (result.exit_code, result.stdout.splitlines()) == (1, [f"execution {one} {done}" for one in ids])
    assert result.stderr == "Error: x: no execution has the id 'x'\n"
    assert [body["execution_ids"] for _, _, body, _ in api.asked] == [ids, ["x"]]
    as_json = run(api, "executions", verb, "x", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (1, {"results": {"x": refused}})


@pytest.mark.parametrize("verb", ["cancel", "terminate"])
def test_endings_when_all_are_done_then_it_is_a_success(api: Api, verb: str) -> None:
    """One is a batch, too."""
    api.on("POST", f"/v1/workflows/executions/{verb}", (200, {"results": {"e1": {"status": "success", "error": None}}}))
    assert run(api, "executions", verb, "e1").exit_code == 0
    assert run(api, "executions", verb).exit_code == Exit.USAGE


def test_reset_when_asked_for_then_the_request_says_from_where(api: Api) -> None:
    """And what is left out."""
    api.on("POST", f"{ONE}/reset", (204, None))
    result = run(api, "executions", "reset", "e1", "--event", "3", "--reason", "typo", "--exclude-signals")
    assert (result.exit_code, result.stdout) == (0, "execution e1 goes on from event 3\n")
    assert api.asked[0][2] == {"event_id": 3, "reason": "typo", "exclude_signals": True, "exclude_updates": False}
    assert run(api, "executions", "reset", "e1", "--event", "3", "--json").stdout == ""
    assert run(api, "executions", "reset", "e1").exit_code == Exit.USAGE


def test_start_when_a_registration_is_named_then_that_is_started(api: Api) -> None:
    """What one deployment registered, instead of a workflow; not both, and not neither."""
    api.on("POST", "/v1/workflows/registrations/r1/execute", (200, RUNNING))
    assert run(api, "executions", "start", "--registration-id", "r1").exit_code == 0
    for wrong in ([], ["w", "--registration-id", "r1"]):
        assert "either WORKFLOW" in " ".join(run(api, "executions", "start", *wrong).stderr.split())
    assert len(api.asked) == 1


def test_start_when_it_follows_then_events_come_before_the_result(api: Api) -> None:
    """The connection may break in between: nothing is printed twice."""
    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", ONE, (200, RUNNING), (503, {"detail": "busy", "code": "UNAVAILABLE"}), (200, RUNNING), (200, COMPLETED))
    api.on("GET", EVENTS, (200, streamed(STARTED, FAILED)), (200, streamed(OF_A_CHILD, ENDED)), (200, streamed()))
    result = run(api, "executions", "start", "w", "--follow")
    lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr, lines[-1]) == (0, "", '{"result": 5}')
    assert [line.split()[:3:2] for line in lines[:-1]] == [
        ["1", "WORKFLOW_EXECUTION_STARTED"],
        ["2", "ACTIVITY_TASK_FAILED"],
        ["3", "CUSTOM_TASK_CANCELED"],
        ["4", "WORKFLOW_EXECUTION_COMPLETED"],
    ]
    asked = [path for _, path, _, _ in api.asked if path.startswith(EVENTS)]
    assert asked == [f"{EVENTS}?root_workflow_exec_id=e1&start_seq={first}" for first in (1, 3, 5)]


def test_start_when_it_follows_as_json_then_each_line_is_a_document_and_the_last_one_is_the_execution(api: Api) -> None:
    """And the exit code says how it ended, as with --wait."""
    ended = {**RUNNING, "status": "FAILED", "failure": {"message": "declined", "type": "CardError"}}
    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", ONE, (200, ended))
    api.on("GET", EVENTS, (200, streamed(STARTED, FAILED)), (200, streamed()))
    result = run(api, "executions", "start", "w", "--follow", "--json")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [STARTED, FAILED, ended]
    assert (result.exit_code, "CardError: declined" in result.stderr) == (Exit.NOT_COMPLETED, True)


def test_start_when_it_follows_too_long_then_the_exit_code_says_so(api: Api) -> None:
    """The execution goes on."""
    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", ONE, (200, RUNNING))
    api.on("GET", EVENTS, (200, streamed()))
    result = run(api, "executions", "start", "w", "--follow", "--timeout", "0.05")
    assert_one_line(result, "still open after 0.05 s", code=Exit.OUT_OF_TIME)


@pytest.mark.parametrize(
    ("status", "code", "stdout"), [("COMPLETED", Exit.OK, '{"result": 5}\n'), ("TERMINATED", Exit.NOT_COMPLETED, "")]
)
def test_wait_when_the_execution_ends_then_it_is_as_if_it_had_been_started(
    api: Api, status: str, code: Exit, stdout: str
) -> None:
    """Its result on stdout, how it ended in the exit code."""
    api.on("GET", ONE, (200, RUNNING), (200, RUNNING), (200, {**COMPLETED, "status": status}))
    api.on("GET", EVENTS, (200, streamed()))
    result = run(api, "executions", "wait", "e1")
    assert (result.exit_code, result.stdout) == (code, stdout)


def test_wait_when_the_time_is_over_then_the_exit_code_says_so(api: Api) -> None:
    """And --json has the execution as it stands."""
    api.on("GET", ONE, (200, RUNNING))
    assert_one_line(run(api, "executions", "wait", "e1", "--timeout", "0"), "still open", code=Exit.OUT_OF_TIME)
    assert json.loads(run(api, "executions", "wait", "e1", "--timeout", "0", "--json").stdout) == RUNNING


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["executions", "wait", "e1"], ""),
        (["executions", "start", "w", "--wait"], "execution e1 goes on: see `levante executions get e1`\n"),
        (["executions", "start", "w", "--follow"], "execution e1 goes on: see `levante executions get e1`\n"),
    ],
)
def test_waiting_when_it_is_interrupted_then_it_ends_as_shells_expect(
    api: Api, monkeypatch: pytest.MonkeyPatch, command: list[str], said: str
) -> None:
    """Ctrl-C is no error: no traceback, and 130. Whoever has just started an execution is told its id, or would lose it."""

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    api.on("POST", EXECUTE, (200, RUNNING))
    api.on("GET", ONE, (200, RUNNING))
    api.on("GET", EVENTS, (200, streamed()))
    monkeypatch.setattr("time.sleep", interrupt)
    result = run(api, *command)
    assert (result.exit_code, result.stdout, result.stderr) == (Exit.INTERRUPTED, "", said)


def test_list_when_it_takes_several_pages_then_it_is_one_list(api: Api) -> None:
    """Filters go along with each page, and --json is one document."""
    pages = [{"executions": [RUNNING] * size, "next_page_token": token} for size, token in ((1000, "t"), (5, "u"))]
    api.on("GET", "/v1/workflows/runs", *[(200, page) for page in pages * 2])
    as_json = run(api, "executions", "list", "--limit", "1005", "--search", "kite", "--json")
    assert json.loads(as_json.stdout) == {"executions": [RUNNING] * 1005, "next_page_token": "u"}
    plain = run(api, "executions", "list", "--limit", "1005")
    assert (len(plain.stdout.splitlines()), "first 1005" in plain.stderr) == (1006, True)
    path = "/v1/workflows/runs"
    assert [asked[1] for asked in api.asked][:2] == [
        f"{path}?page_size=1000&search=kite&include_blockers=true",
        f"{path}?page_size=5&search=kite&include_blockers=true&next_page_token=t",
    ]


@pytest.mark.parametrize(
    ("command", "path", "answer", "shown"),
    [
        (["runs", "get", "r1"], "/v1/workflows/runs/r1", {**COMPLETED, "run_id": "r1"}, "COMPLETED"),
        (
            ["runs", "history", "r1"],
            "/v1/workflows/runs/r1/history",
            {"events": [{"event_id": 1, "kind": "execution_started"}], "workflow_task_failure": None},
            "execution_started",
        ),
    ],
)
def test_runs_when_looked_up_then_they_are_shown_as_executions_are(
    api: Api, command: list[str], path: str, answer: dict[str, Any], shown: str
) -> None:
    """Earlier runs are only found by their ids."""
    api.on("GET", path, (200, answer))
    plain, as_json = run(api, *command), run(api, *command, "--json")
    assert (plain.exit_code, shown in plain.stdout, json.loads(as_json.stdout)) == (0, True, answer)
