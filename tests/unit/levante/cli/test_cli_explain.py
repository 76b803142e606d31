"""What an execution waits for, as people read it, and the commands that repair by hand."""

import json

from tests.support.cli import Api, api, run
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
    assert "  an operator has to act" in lines
    assert "  somebody" in lines


def test_explain_when_asked_for_json_then_it_is_the_answer(api: Api) -> None:
    """As the API gave it."""
    api.on("GET", f"{ONE}/explain", (200, ANSWER))
    assert json.loads(run(api, "executions", "explain", "e1", "--json").stdout) == ANSWER
