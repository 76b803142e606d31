"""What keeps executions from going on, as the command line says it."""

from typing import Any

import pytest

from levante.cli.executions import blockers
from levante.cli.exits import Exit
from levante.client import waiting
from tests.support.cli import Api, Stream, api, run
from tests.unit.levante.cli.executing import COMPLETED, EVENTS, ONE, RUNNING

__all__ = ["api"]

FAILURE = {"type": "KeyError", "message": "'x'", "stack": "..."}
CODE = {
    "kind": "code_failing",
    "message": "workflow code fails: KeyError: 'x' (shop.py:3 in run); fix it and restart the worker, and it goes on",
    "since": "2026-11-23T00:00:00Z",
    "attempt": 3,
    "next_attempt_at": "2026-11-23T00:00:04.5Z",
    "activity_name": None,
    "failure": FAILURE,
}
NOBODY = {"kind": "no_worker", "message": "no worker of deployment 'd' is there: start one", "next_attempt_at": None}
CODE_LINE = f"{CODE['message']} (attempt 3 failed; the next one is due at 00:00:04 UTC)"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blockers, "FIRST_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(waiting, "FIRST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(waiting, "RECONNECT_SECONDS", 0.2)


def blocked(*found: dict[str, Any]) -> dict[str, Any]:
    return {**RUNNING, "blockers": list(found) or None}


@pytest.mark.parametrize("command", [["wait", "e1"], ["start", "w", "--wait"], ["start", "w", "--follow"]])
def test_waiting_when_something_is_in_the_way_then_it_is_said_once(api: Api, command: list[str]) -> None:
    """On stderr, so that scripts get the result alone; a further attempt that fails alike is nothing new."""
    again = {**CODE, "attempt": 4, "next_attempt_at": "2026-11-23T00:00:12Z"}
    states = [blocked(), blocked(CODE), blocked(CODE), blocked(again, NOBODY), *[blocked(again, NOBODY)] * 8]
    api.on("POST", "/v1/workflows/w/execute", (200, RUNNING))
    api.on("GET", ONE, *[(200, state) for state in states], (200, COMPLETED))
    api.on("GET", EVENTS, (200, Stream("retry: 50\n\n")))
    result = run(api, "executions", *command)
    assert (result.exit_code, result.stdout) == (Exit.OK, '{"result": 5}\n')
    assert sorted(line.partition(" (attempt ")[0] for line in result.stderr.splitlines()) == [
        NOBODY["message"],
        CODE["message"],
    ]


def test_waiting_when_nothing_is_in_the_way_or_cannot_be_asked_then_nothing_is_said(api: Api) -> None:
    """The wait itself says what is wrong with the API."""
    api.on("GET", ONE, (200, RUNNING), (200, RUNNING), (503, {"detail": "busy"}), (200, RUNNING), (200, COMPLETED))
    api.on("GET", EVENTS, (200, Stream("retry: 50\n\n")))
    result = run(api, "executions", "wait", "e1")
    assert (result.exit_code, result.stderr) == (Exit.OK, "")


def test_get_when_something_is_in_the_way_then_it_is_below_with_the_deadline_above(api: Api) -> None:
    """A line each."""
    api.on("GET", ONE, (200, {**blocked(CODE, NOBODY), "deadline_at": "2026-11-23T01:00:00Z"}))
    lines = run(api, "executions", "get", "e1").stdout.splitlines()
    assert lines[-2:] == [f"blocked: {CODE_LINE}", f"blocked: {NOBODY['message']}"]
    assert "deadline_at    2026-11-23T01:00:00Z" in lines


def test_list_when_runs_are_stuck_then_a_column_says_by_what(api: Api) -> None:
    """And --stuck lists those alone."""
    rows = [blocked(CODE, CODE, NOBODY), {**COMPLETED, "blockers": None}]
    api.on("GET", "/v1/workflows/runs", (200, {"executions": rows, "next_page_token": None}))
    result = run(api, "executions", "list", "--stuck")
    assert [line.split()[-2:] for line in result.stdout.splitlines()] == [
        ["BLOCKED", "BY"], ["code_failing,", "no_worker"], ["-", "-"],
    ]  # fmt: skip
    assert api.asked[0][1].endswith("include_blockers=true&is_blocked=true")
