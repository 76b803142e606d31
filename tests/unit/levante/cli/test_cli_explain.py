"""What an execution waits for, as people read it, and the commands that repair by hand."""

import json
from typing import Any

import pytest

from tests.support.cli import Api, api, assert_one_line, run
from tests.unit.levante.cli.commands import ONE

__all__ = ["api"]

TIMER = {
    "kind": "timer",
    "message": "timer 2 fires later",
    "since": "2026-01-01T00:00:00.000000Z",
    "until": "2026-01-01T01:00:00.000000Z",
    "seq": 2,
    "actor": "nobody",
    "remedies": ["skip"],
}
NO_WORKER = {"kind": "no_worker", "message": "no worker\nis there", "actor": "operator", "remedies": []}
STRANGE = {"kind": "new", "message": "m", "actor": "somebody", "remedies": ["new"]}
ANSWER = {"execution_id": "e1", "run_id": "r", "status": "RUNNING", "summary": "S.", "waits": [TIMER, NO_WORKER, STRANGE]}


def test_explain_when_asked_then_each_entry_says_who_acts(api: Api) -> None:
    """Kinds and actors of a later version are shown as they are."""
    api.on("GET", f"{ONE}/explain", (200, ANSWER))
    lines = run(api, "executions", "explain", "e1").stdout.splitlines()
    assert lines[0] == "RUNNING: S."
    assert lines[2] == "timer: timer 2 fires later"
    assert lines[3] == "  since 2026-01-01T00:00:00 UTC, until 2026-01-01T01:00:00 UTC, goes on by itself"
    assert lines[4] == "  levante executions skip-timer e1 2"
    assert "  an operator has to act" in lines
    assert "  somebody" in lines


@pytest.mark.parametrize(
    ("kind", "remedy", "command"),
    [
        ("activity_failing", "retry", "retry-activity e1 1"),
        ("rate_limited", "complete", "complete-activity e1 1 --result JSON"),
        ("activity_running", "fail", "fail-activity e1 1 --message TEXT"),
        ("child", "complete", "complete-child e1 1 --result JSON"),
        ("code_failing", "reset", "reset e1 --event EVENT"),
    ],
)
def test_explain_when_something_can_be_done_then_the_command_is_shown(
    api: Api, kind: str, remedy: str, command: str
) -> None:
    """To be copied."""
    wait = {"kind": kind, "message": "m", "seq": 1, "actor": "nobody", "remedies": [remedy]}
    api.on("GET", f"{ONE}/explain", (200, {**ANSWER, "waits": [wait]}))
    assert run(api, "executions", "explain", "e1").stdout.splitlines()[-1] == f"  levante executions {command}"


REASON = ("--reason", "because")


@pytest.mark.parametrize(
    ("command", "path", "body"),
    [
        (["retry-activity", "e1", "1"], "activities/1/retry", {}),
        (["retry-activity", "e1", "1", *REASON], "activities/1/retry", {"reason": "because"}),
        (["complete-activity", "e1", "1", "--result", "null"], "activities/1/complete", {"result": None}),
        (["fail-activity", "e1", "1", "--message", "m"], "activities/1/fail", {"message": "m"}),
        (["fail-activity", "e1", "1", "--message", "m", "--type", "T"], "activities/1/fail", {"message": "m", "type": "T"}),
        (["pause", "e1", *REASON], "pause", {"reason": "because"}),
        (["resume", "e1", *REASON], "resume", {"reason": "because"}),
        (["skip-timer", "e1", "2", *REASON], "timers/2/skip", {"reason": "because"}),
        (["complete-child", "e1", "3", "--result", "[1]"], "children/3/complete", {"result": [1]}),
        (["fail-child", "e1", "3", "--message", "m"], "children/3/fail", {"message": "m"}),
    ],
)
def test_repair_when_asked_for_then_the_request_says_so(
    api: Api, command: list[str], path: str, body: dict[str, Any]
) -> None:
    """What is not given is not sent; null is a result."""
    api.on("POST", f"{ONE}/{path}", (204, None))
    result = run(api, "executions", *command)
    assert (result.exit_code, "recorded as done by hand" in result.stdout) == (0, True)
    assert api.asked[0][2] == body


def test_repair_when_it_is_refused_then_one_line_says_why(api: Api) -> None:
    """And what can be done."""
    api.on("POST", f"{ONE}/activities/1/retry", (409, {"detail": "it runs", "code": "NOT_APPLICABLE"}))
    assert_one_line(run(api, "executions", "retry-activity", "e1", "1"), "it runs (409 NOT_APPLICABLE)")


def test_explain_when_asked_for_json_then_it_is_the_answer(api: Api) -> None:
    """As the API gave it."""
    api.on("GET", f"{ONE}/explain", (200, ANSWER))
    assert json.loads(run(api, "executions", "explain", "e1", "--json").stdout) == ANSWER


def test_reset_points_when_listed_then_each_is_a_row(api: Api) -> None:
    """As many as are wanted, page by page."""
    point = {"event_id": 4, "kind": "activity_completed", "name": "charge", "recorded_at": "2026-01-01T00:00:00Z"}
    page = {"execution_id": "e1", "run_id": "r", "points": [point], "next_after": 4}
    api.on("GET", f"{ONE}/reset-points", (200, page), (200, {**page, "next_after": None}))
    lines = run(api, "executions", "reset-points", "e1").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["EVENT", "RECORDED", "KIND", "NAME"],
        *2 * [["4", "2026-01-01T00:00:00Z", "activity_completed", "charge"]],
    ]
    assert api.asked[1][1] == f"{ONE}/reset-points?limit=49&after=4"


def test_rerun_when_asked_for_then_what_is_not_given_is_not_sent(api: Api) -> None:
    """The input and the id stay what they were, or are made up."""
    api.on("POST", f"{ONE}/rerun", (200, {"execution_id": "e2", "status": "RUNNING"}))
    assert "e2" in run(api, "executions", "rerun", "e1").stdout
    run(api, "executions", "rerun", "e1", "--execution-id", "e2", "--input", '{"n": 1}')
    assert [body for _, _, body, _ in api.asked] == [{}, {"execution_id": "e2", "input": {"n": 1}}]


def test_fork_when_asked_for_then_it_says_what_goes_on_from_where(api: Api) -> None:
    """As `reset` does, into another id."""
    api.on("POST", f"{ONE}/fork", (200, {"execution_id": "e2", "status": "RUNNING"}))
    assert "e2" in run(api, "executions", "fork", "e1", "--event", "4", "--execution-id", "e2", "--exclude-signals").stdout
    (sent,) = [body for _, _, body, _ in api.asked]
    assert (sent["event_id"], sent["execution_id"], sent["exclude_signals"], sent["exclude_updates"]) == (
        4,
        "e2",
        True,
        False,
    )


def test_delete_when_done_then_it_says_so(api: Api) -> None:
    """Nothing else is answered."""
    api.on("DELETE", ONE, (204, None))
    assert run(api, "executions", "delete", "e1").stdout == "execution e1 is deleted\n"
    assert run(api, "executions", "delete", "e1", "--json").stdout == ""


def test_history_when_a_page_is_wanted_then_it_says_what_leads_on(api: Api) -> None:
    """Without options, the whole of it is asked for."""
    event = {"event_id": 7, "kind": "timer_fired", "seq": 2, "recorded_at": "2026-01-01T00:00:00Z"}
    api.on("GET", f"{ONE}/history", (200, {"events": [event], "next_after": 7}), (200, {"events": [], "next_after": None}))
    options = ["--after", "9", "--order", "desc", "--kind", "timer_fired", "--kind", "timer_started", "--no-payloads"]
    result = run(api, "executions", "history", "e1", *options)
    assert result.stderr == "there is more: --after 7\n"
    run(api, "executions", "history", "e1")
    query = "after=9&order=desc&kinds=timer_fired&kinds=timer_started&include_payloads=false"
    assert [path for _, path, _, _ in api.asked] == [f"{ONE}/history?{query}", f"{ONE}/history"]
