"""`levante executions` and `levante runs`: what is asked of the API, and what people and programs are shown."""

import json
from typing import Any

import pytest

from levante.cli.exits import Exit
from levante.client import waiting
from tests.support.cli import Api, Stream, api, assert_one_line, run

__all__ = ["api"]

ONE = "/v1/workflows/executions/e1"
EVENTS = "/v1/workflows/events/stream"
EXECUTE = "/v1/workflows/w/execute"
RUNNING = {"execution_id": "e1", "workflow_name": "w", "status": "RUNNING", "result": None}
COMPLETED = {**RUNNING, "status": "COMPLETED", "result": {"result": 5}}
LINE = {
    "timestamp": "2026-11-23T00:00:00.5Z",
    "severity_text": "INFO",
    "body": "charging\n12",
    "log_attributes": {"execution_id": "e1", "activity_name": "charge"},
}
SPAN: dict[str, Any] = {
    "name": "workflow w",
    "start_time_unix_nano": 0,
    "end_time_unix_nano": None,
    "events": [],
    "children": [
        {
            "name": "activity charge",
            "start_time_unix_nano": 0,
            "end_time_unix_nano": 1_500_000_000,
            "events": [{"attributes": {"exception.message": "declined"}}],
            "children": [],
        }
    ],
}


@pytest.fixture(autouse=True)
def _brief_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.005)
    monkeypatch.setattr(waiting, "RECONNECT_SECONDS", 0.005)


def stream_events(sequence: int, event_type: str, of: str = "e1", **attributes: Any) -> dict[str, Any]:
    """An event as the stream has it."""
    return {
        "stream": "workflow",
        "data": {"event_type": event_type, "workflow_exec_id": of, "attributes": attributes},
        "broker_sequence": sequence,
        "timestamp": "2026-11-23T00:00:00.123Z",
    }


def streamed(*events: dict[str, Any]) -> Stream:
    """Write events as a stream."""
    frames = [f"id: {event['broker_sequence']}\ndata: {json.dumps(event)}\n\n" for event in events]
    return Stream("retry: 5\n\n: keep-alive\n\n" + "".join(frames))


STARTED = stream_events(1, "WORKFLOW_EXECUTION_STARTED", workflow_name="w", input={"type": "json", "value": [{"x": 1}]})
FAILED = stream_events(2, "ACTIVITY_TASK_FAILED", activity_name="charge", failure={"message": "declined"})
OF_A_CHILD = stream_events(3, "CUSTOM_TASK_CANCELED", of="e2", custom_task_type="token", reason="too late")
ENDED = stream_events(4, "WORKFLOW_EXECUTION_COMPLETED", result={"type": "json", "value": {"result": 5}})


# --- messages ---------------------------------------------------------------------------------------------------------


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


# --- ending -----------------------------------------------------------------------------------------------------------


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


# --- starting and waiting ---------------------------------------------------------------------------------------------


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


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_when_listed_then_each_line_says_what_happened_and_to_whom(api: Api) -> None:
    """The sequence number comes first: it is where --from goes on."""
    api.on("GET", EVENTS, (200, streamed(STARTED, FAILED, OF_A_CHILD, ENDED)))
    result = run(api, "executions", "events", "e1", "--of", "tree")
    assert (result.exit_code, [line.split(maxsplit=2) for line in result.stdout.splitlines()]) == (
        0,
        [
            ["1", "2026-11-23T00:00:00Z", 'WORKFLOW_EXECUTION_STARTED           w  [{"x": 1}]'],
            ["2", "2026-11-23T00:00:00Z", "ACTIVITY_TASK_FAILED                 charge  declined"],
            ["3", "2026-11-23T00:00:00Z", "CUSTOM_TASK_CANCELED                 e2:  token  too late"],
            ["4", "2026-11-23T00:00:00Z", 'WORKFLOW_EXECUTION_COMPLETED         {"result": 5}'],
        ],
    )
    assert api.asked[0][1] == f"{EVENTS}?root_workflow_exec_id=e1&event_source=DATABASE&start_seq=1"


def test_events_when_narrowed_then_the_query_says_so(api: Api) -> None:
    """Filters are the API's work."""
    api.on("GET", EVENTS, (200, streamed(FAILED)))
    narrowed = ["--from", "2", "--of", "children", "--type", "A", "--type", "B", "--scope", "activity", "--stream", "s"]
    named = ["--activity-name", "charge", "--activity-id", "r:1", "--workflow", "w"]
    result = run(api, "executions", "events", "e1", *narrowed, *named, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, FAILED)
    assert set(api.asked[0][1].partition("?")[2].split("&")) == {
        "parent_workflow_exec_id=e1",
        "scope=activity",
        "stream=s",
        "workflow_event_types=A",
        "workflow_event_types=B",
        "activity_name=charge",
        "activity_id=r%3A1",
        "workflow_name=w",
        "start_seq=2",
        "event_source=DATABASE",
    }


def test_events_when_followed_then_they_come_until_the_execution_has_ended(api: Api) -> None:
    """From the number given on; how the execution has ended is not the exit code's matter here."""
    api.on("GET", ONE, (200, RUNNING), (200, {**COMPLETED, "status": "FAILED"}))
    api.on("GET", EVENTS, (200, streamed(FAILED)), (200, streamed(ENDED)), (200, streamed()))
    result = run(api, "executions", "events", "e1", "--follow", "--from", "2", "--json")
    assert (result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]) == (0, [FAILED, ENDED])
    starts = [path.rpartition("=")[2] for _, path, _, _ in api.asked if path.startswith(EVENTS)]
    assert starts == ["2", "3", "5"]


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (404, {"detail": "no execution has the id 'e1'", "code": "WF_1100"}, "no execution has the id 'e1' (404 WF_1100)"),
        (200, {"events": []}, "the answer is no stream"),
        (200, Stream("id: 1\ndata: {}\n\n"), "this is no event"),
        (200, Stream('event: error\ndata: {"error": "a bug", "reason": "internal_error"}\n\n'), "broke off: a bug"),
        (200, Stream("event: error\ndata: []\n\n"), "broke off: []"),
    ],
)
@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_events_when_they_cannot_be_read_then_one_line_says_why(
    api: Api, status: int, answer: Any, said: str, follow: list[str]
) -> None:
    """A stream can break in ways that do not pass."""
    api.on("GET", ONE, (200, RUNNING))
    api.on("GET", EVENTS, (status, answer))
    assert_one_line(run(api, "executions", "events", "e1", *follow), said)


def test_events_when_they_have_no_number_to_come_again_with_then_the_error_says_so(api: Api) -> None:
    """To begin anew would print everything twice."""
    api.on("GET", ONE, (200, RUNNING))
    api.on("GET", EVENTS, (200, Stream(f"id: x\ndata: {json.dumps(ENDED)}\n\n")))
    result = run(api, "executions", "events", "e1", "--follow")
    assert (result.exit_code, len(result.stdout.splitlines()), "'x' is no sequence number" in result.stderr) == (1, 1, True)


def test_events_when_they_are_streamed_elsewhere_then_the_place_goes_along(api: Api) -> None:
    """On AWS the API leads to the program that streams; the query is kept, and the key stays."""
    api.headers["Location"] = f"{api.url}/elsewhere?ticket=t"
    api.on("GET", EVENTS, (307, None))
    api.on("GET", "/elsewhere", (200, streamed(ENDED)))
    result = run(api, "executions", "events", "e1", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, ENDED)
    assert [authorization is None for *_, authorization in api.asked] == [False, True]


# --- logs and traces --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (["executions", "logs", "e1"], f"{ONE}/logs"),
        (["deployments", "logs", "d"], "/v1/workflows/deployments/d/logs"),
    ],
)
def test_logs_when_listed_then_each_is_a_line(api: Api, command: list[str], path: str) -> None:
    """A message with line ends, too. --json is the API's answer."""
    api.on("GET", path, (200, {"results": [LINE], "next_cursor": "c"}), (200, {"results": [LINE], "next_cursor": None}))
    plain = run(api, *command, "--limit", "1", "--order", "desc", "--after", "A", "--before", "B")
    as_json = run(api, *command, "--json")
    assert (plain.exit_code, plain.stdout) == (0, "2026-11-23T00:00:00Z  INFO     e1 charge: charging 12\n")
    assert plain.stderr == "these are the first 1: raise --limit for more\n"
    assert json.loads(as_json.stdout) == {"results": [LINE], "next_cursor": None}
    assert api.asked[0][1] == f"{path}?limit=1&order=desc&after=A&before=B"


def test_logs_when_followed_then_lines_come_until_the_execution_has_ended(api: Api) -> None:
    """Whoever comes again says which line was the last one."""
    api.on("GET", ONE, (200, RUNNING), (200, COMPLETED))
    line = f"event: log\nid: c1\ndata: {json.dumps(LINE)}\n\n"
    api.on("GET", f"{ONE}/logs/stream", (200, Stream(line)), (200, Stream(": keep-alive\n\n")))
    result = run(api, "executions", "logs", "e1", "--follow", "--run-id", "r1", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, LINE)
    asked = [path for _, path, _, _ in api.asked if "logs" in path]
    assert asked == [f"{ONE}/logs/stream?run_id=r1", f"{ONE}/logs/stream?run_id=r1&last_event_id=c1"]


def test_logs_of_a_deployment_when_followed_then_they_go_on_until_they_are_refused(api: Api) -> None:
    """A deployment has no end."""
    path = "/v1/workflows/deployments/d/logs/stream"
    line = Stream(f"event: log\nid: c1\ndata: {json.dumps(LINE)}\n\n")
    api.on("GET", path, (200, line), (200, Stream("")), (401, {"detail": "revoked", "code": "UNAUTHENTICATED"}))
    result = run(api, "deployments", "logs", "d", "--follow", "--worker-name", "w1")
    assert (result.exit_code, len(result.stdout.splitlines()), "revoked" in result.stderr) == (1, 1, True)
    assert api.asked[1][1] == f"{path}?worker_name=w1&last_event_id=c1"


@pytest.mark.parametrize("option", [["--before", "B"], ["--order", "desc"]])
def test_logs_when_followed_with_options_for_lists_then_it_is_wrong_usage(api: Api, option: list[str]) -> None:
    """What would be ignored is refused."""
    assert run(api, "executions", "logs", "e1", "--follow", *option).exit_code == Exit.USAGE
    assert api.asked == []


def test_lines_when_they_are_none_then_the_error_says_so(api: Api) -> None:
    """Some other server may be at the address."""
    api.on("GET", f"{ONE}/logs", (200, {"results": [{}], "next_cursor": None}))
    assert_one_line(run(api, "executions", "logs", "e1"), "not what the API answers here", "no line of a log")


@pytest.mark.parametrize(
    ("view", "path", "answer", "shown"),
    [
        ("tree", "summary", {"span_tree": SPAN}, ["workflow w", "open", "· activity charge", "1.500 s", "declined"]),
        ("events", "events", {"events": [{"name": "charge", "status": "FAILED", "error": "no"}]}, ["charge", "FAILED"]),
        ("otel", "otel", {"otel_trace_data": {"batches": []}}, ['{"batches": []}']),
        ("id", "info", {"otel_trace_id": "abc"}, ["abc"]),
    ],
)
def test_trace_when_shown_then_each_view_has_its_form(
    api: Api, view: str, path: str, answer: dict[str, Any], shown: list[str]
) -> None:
    """A tree for people, and what other programs read."""
    api.on("GET", f"{ONE}/trace/{path}", (200, answer))
    plain, as_json = (run(api, "executions", "trace", "e1", "--view", view, *more) for more in ([], ["--json"]))
    assert (plain.exit_code, json.loads(as_json.stdout)) == (0, answer)
    words = [word.strip() for word in plain.stdout.replace("\n", "  ").split("  ")]
    assert [word for word in shown if word not in words] == []


@pytest.mark.parametrize("answer", [{}, {"span_tree": {}}, {"span_tree": {**SPAN, "events": [None]}}])
def test_trace_when_it_is_none_of_ours_then_the_error_says_so(api: Api, answer: dict[str, Any]) -> None:
    """Some other server may be at the address."""
    api.on("GET", f"{ONE}/trace/summary", (200, answer))
    assert_one_line(run(api, "executions", "trace", "e1"), "not what the API answers here")


def test_trace_when_its_events_are_chosen_then_the_query_says_so(api: Api) -> None:
    """And only there."""
    api.on("GET", f"{ONE}/trace/events", (200, {"events": []}))
    assert run(api, "executions", "trace", "e1", "--view", "events", "--internal", "--merged").exit_code == 0
    assert api.asked[0][1].endswith("/events?include_internal_events=true&merge_same_id_events=true")
    assert run(api, "executions", "trace", "e1", "--merged").exit_code == Exit.USAGE


def test_trace_when_there_is_none_then_it_says_so(api: Api) -> None:
    """No table without rows."""
    api.on("GET", f"{ONE}/trace/summary", (200, {"span_tree": None}))
    result = run(api, "executions", "trace", "e1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no spans\n")


# --- lists and runs ---------------------------------------------------------------------------------------------------


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
        f"{path}?page_size=1000&search=kite",
        f"{path}?page_size=5&search=kite&next_page_token=t",
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
