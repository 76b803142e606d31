"""`levante activities`: attempts that go on outside of workers."""

import json
from typing import Any

import pytest

from levante.cli.exits import Exit
from tests.support.cli import Api, api, assert_one_line, run

__all__ = ["api"]

PATH = "/v1/workflows/activities"
COMMANDS: list[tuple[list[str], dict[str, Any], str]] = [
    (["complete", "t"], {"task_token": "t", "result": None}, "is_accepted"),
    (["complete", "t", "--result", "[1]"], {"task_token": "t", "result": [1]}, "is_accepted"),
    (
        ["fail", "t", "--message", "no", "--non-retryable"],
        {"task_token": "t", "message": "no", "non_retryable": True},
        "is_accepted",
    ),
    (["heartbeat", "t"], {"task_token": "t"}, "is_wanted"),
]


@pytest.mark.parametrize(("command", "body", "field"), COMMANDS)
def test_attempt_when_something_is_said_of_it_then_the_exit_code_says_whether_anybody_listens(
    api: Api, command: list[str], body: dict[str, Any], field: str
) -> None:
    """An attempt that was given up meanwhile is no success."""
    api.on("POST", f"{PATH}/{command[0]}", (200, {field: True}), (200, {field: True}), (200, {field: False}))
    plain, as_json, late = (run(api, "activities", *command, *more) for more in ([], ["--json"], []))
    assert (plain.exit_code, plain.output) == (0, "")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, {field: True})
    assert_one_line(late, "nobody waits for this attempt any more")
    assert api.asked[0][2] == body


def test_attempt_when_it_is_unknown_or_the_result_is_no_json_then_one_line_says_so(api: Api) -> None:
    """As for all commands."""
    api.on("POST", f"{PATH}/complete", (404, {"detail": "no such attempt", "code": "WF_1100"}))
    assert_one_line(run(api, "activities", "complete", "t"), "no such attempt (404 WF_1100)")
    wrong = run(api, "activities", "complete", "t", "--result", "{")
    assert (wrong.exit_code, "--result" in wrong.stderr, len(api.asked)) == (Exit.USAGE, True, 1)
