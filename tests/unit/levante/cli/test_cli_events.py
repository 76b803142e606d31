"""Commands that show what happens: events, logs, traces."""

import json
from typing import Any

import pytest

from levante.cli.exits import Exit
from levante.client import waiting
from tests.support.cli import Api, Stream, api, assert_one_line, run
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


@pytest.mark.slow
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
