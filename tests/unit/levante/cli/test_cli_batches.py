"""`levante batch` against a small server that answers as the API does."""

import json
from typing import Any

import pytest

from levante.cli.exits import Exit
from levante.cli.repairs import batches
from levante.client.answers import Answer
from tests.support.cli import Api, api, assert_one_line, run

__all__ = ["api"]

JOB: dict[str, Any] = {
    "batch_id": "b1",
    "status": "RUNNING",
    "action": {"kind": "cancel"},
    "filter": {"search": "x"},
    "reason": "because",
    "requested_by": {"key_id": "k", "key_name": "ann", "role": "client"},
    "created_at": "2026-11-30T00:00:00Z",
    "updated_at": "2026-11-30T00:10:00Z",
    "ended_at": None,
    "reached": "2026-11-29T00:00:00Z",
    "matched": 6,
    "done": 3,
    "skipped": 2,
    "skipped_because": {"ended": 2},
    "failed": 1,
}
FOUND = {"execution_id": "e1", "workflow_name": "w", "status": "FAILED", "start_time": "2026-11-30T00:00:00Z"}
FAILURE = {"execution_id": "e1", "run_id": "r1", "at": "2026-11-30T00:00:00Z", "reason": "NotFound: no such signal"}


def ended(status: str = "COMPLETED", failed: int = 0) -> dict[str, Any]:
    """Return the job once it has ended."""
    return {**JOB, "status": status, "failed": failed, "ended_at": "2026-11-30T00:20:00Z"}


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LOOK_SECONDS", 0.0)


@pytest.mark.parametrize(("is_complete", "count", "said"), [(True, 1, "1 execution"), (False, 7, "at least 7 executions")])
def test_preview_when_asked_for_then_it_tells_how_many_and_which_come_first(
    api: Api, *, is_complete: bool, count: int, said: str
) -> None:
    """With the filters of the listing."""
    answer = {"matched": count, "is_complete": is_complete, "executions": [FOUND]}
    api.on("POST", "/v1/batches/preview", (200, answer))
    arguments = ("--workflow", "w", "--status", "failed", "--stuck", "--no-internal", "--tag", "t")
    shown = run(api, "batch", "preview", *arguments).stdout
    assert "e1" in shown
    assert shown.splitlines()[-1] == said
    assert json.loads(run(api, "batch", "preview", "--json").stdout) == answer
    wanted = {"workflow_identifier": "w", "status": ["FAILED"], "is_blocked": True, "include_internal": False}
    assert [body for _, _, body, _ in api.asked] == [{"filter": {**wanted, "workflow_tags": ["t"]}}, {"filter": {}}]


def test_preview_when_nothing_fits_then_that_is_said(api: Api) -> None:
    """An empty answer is one."""
    api.on("POST", "/v1/batches/preview", (200, {"matched": 0, "is_complete": True, "executions": []}))
    assert "finds no execution" in run(api, "batch", "preview", "--search", "x").output


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        (["cancel", "--search", "x"], {"filter": {"search": "x"}, "action": {"kind": "cancel"}}),
        (["terminate", "--everything"], {"filter": {}, "action": {"kind": "terminate"}, "everything": True}),
        (
            ["signal", "--search", "x", "--signal", "s", "--input", '{"a": 1}'],
            {"filter": {"search": "x"}, "action": {"kind": "signal", "name": "s"}, "input": {"a": 1}},
        ),
        (
            ["reset", "--search", "x", "--to", "start", "--exclude-signals", "--exclude-updates"],
            {
                "filter": {"search": "x"},
                "action": {"kind": "reset", "to": "start", "exclude_signals": True, "exclude_updates": True},
            },
        ),
        (
            ["rerun", "--search", "x", "--batch-id", "b1", "--reason", "because"],
            {"filter": {"search": "x"}, "action": {"kind": "rerun"}, "batch_id": "b1", "reason": "because"},
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_start_when_an_action_is_named_then_the_job_is_asked_for(
    api: Api, arguments: list[str], body: dict[str, Any]
) -> None:
    """What is left out is left to the API."""
    api.on("POST", "/v1/batches", (200, JOB))
    result = run(api, "batch", "start", *arguments)
    assert result.exit_code == 0
    assert [asked for _, _, asked, _ in api.asked] == [body]
    assert all(text in result.stdout for text in ("b1", "RUNNING", "because", '{"ended": 2}'))
    assert json.loads(run(api, "batch", "start", *arguments, "--json").stdout) == JOB


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cancel", "--signal", "s"], "--signal is for the action signal"),
        (["signal", "--to", "start"], "--to is for the action reset"),
        (["signal"], "--signal NAME"),
        (["retry", "--exclude-updates"], "--exclude-updates is for the action reset"),
        (["cancel", "--timeout", "1"], "--wait"),
        (["signal", "--signal", "s", "--input", "[1]"], "JSON object"),
        (["explode"], "explode"),
    ],
    ids=" ".join,
)
def test_start_when_the_options_do_not_fit_then_nothing_is_asked_for(api: Api, arguments: list[str], said: str) -> None:
    """And the error says which."""
    result = run(api, "batch", "start", "--search", "x", *arguments)
    assert (result.exit_code, api.asked) == (Exit.USAGE, [])
    assert said in result.output


@pytest.mark.parametrize(
    ("job", "code", "said"),
    [
        (ended(), Exit.OK, None),
        (ended(failed=2), Exit.NOT_COMPLETED, "2 executions failed: see `levante batch failures b1`"),
        (ended(failed=1), Exit.NOT_COMPLETED, "1 execution failed"),
        (ended("ABORTED"), Exit.NOT_COMPLETED, "ABORTED"),
    ],
    ids=["well", "with failures", "with one failure", "aborted"],
)
@pytest.mark.parametrize("command", [("start", "cancel", "--search", "x"), ("get", "b1")], ids="-".join)
def test_wait_when_the_job_ends_then_the_exit_code_says_how(
    api: Api, command: tuple[str, ...], job: dict[str, Any], code: Exit, said: str | None
) -> None:
    """It is looked at until then."""
    api.on("POST", "/v1/batches", (200, JOB))
    api.on("GET", "/v1/batches/b1", (200, JOB), (200, JOB), (200, job))
    result = run(api, "batch", *command, "--wait")
    assert result.exit_code == code
    assert job["status"] in result.stdout
    assert len(api.asked) in {3, 4}
    assert result.stderr.count("\n") == (1 if said else 0)
    assert (said or "") in result.stderr


def test_wait_when_the_time_is_over_then_the_job_goes_on(api: Api) -> None:
    """And can be asked after."""
    api.on("GET", "/v1/batches/b1", (200, JOB))
    result = run(api, "batch", "get", "b1", "--wait", "--timeout", "0.01", "--json")
    assert result.exit_code == Exit.OUT_OF_TIME
    assert json.loads(result.stdout) == JOB


def test_wait_when_the_api_refuses_then_it_is_said_that_the_job_was_started(api: Api) -> None:
    """Nobody starts it once more for that."""
    api.on("POST", "/v1/batches", (200, JOB))
    api.on("GET", "/v1/batches/b1", (404, {"detail": "no batch job has the id 'b1'", "code": "WF_1100"}))
    result = run(api, "batch", "start", "cancel", "--search", "x", "--wait")
    assert_one_line(result, "b1 was started, but then: no batch job")


def test_wait_when_interrupted_then_the_job_goes_on_and_that_is_said(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C stops the command, and not the job."""

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(batches, "_pause", interrupted)
    api.on("GET", "/v1/batches/b1", (200, JOB))
    result = run(api, "batch", "get", "b1", "--wait")
    assert result.exit_code == Exit.INTERRUPTED
    assert "batch job b1 goes on" in result.stderr


def test_progress_when_shown_then_it_says_how_far_the_job_has_come() -> None:
    """On the line of a terminal."""
    answer = Answer("", JOB)
    assert batches._progress(answer) == "3 done, 2 skipped, 1 failed, up to those started at 2026-11-29T00:00:00Z"
    assert batches._progress(Answer("", {**JOB, "reached": None})) == "3 done, 2 skipped, 1 failed"


def test_jobs_when_listed_then_each_has_its_action_and_counts(api: Api) -> None:
    """As JSON too."""
    answer = {"batches": [JOB], "next_cursor": None}
    api.on("GET", "/v1/batches", (200, answer))
    shown = run(api, "batch", "list", "--status", "running").stdout
    assert shown.splitlines()[1].split() == [
        *("b1", "RUNNING", "cancel", "3", "2", "1", "2026-11-30T00:00:00Z", "because"),
    ]
    assert json.loads(run(api, "batch", "list", "--json").stdout) == answer
    assert "status=RUNNING" in api.asked[0][1]


def test_failures_when_listed_then_each_has_its_reason(api: Api) -> None:
    """Or it is said that there are none."""
    none: dict[str, Any] = {"failures": [], "next_cursor": None}
    api.on("GET", "/v1/batches/b1/failures", (200, {"failures": [FAILURE], "next_cursor": None}), (200, none))
    assert "NotFound: no such signal" in run(api, "batch", "failures", "b1").stdout
    assert "no failures" in run(api, "batch", "failures", "b1").output


def test_abort_when_named_then_the_job_is_stopped(api: Api) -> None:
    """Its id goes into the path."""
    api.on("POST", "/v1/batches/b1/abort", (204, None))
    assert run(api, "batch", "abort", "b1").stdout == "batch job b1 is aborted\n"
    assert run(api, "batch", "abort", "b1", "--json").stdout == ""
