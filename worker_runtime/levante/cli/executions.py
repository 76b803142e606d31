"""`levante executions`: start, look at and end executions."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click

from levante.cli.client import Client, NotCompleted, OutOfTime, json_option, segment, show, with_client

FIRST_PAUSE_SECONDS = 0.1
LAST_PAUSE_SECONDS = 1.0
STATUSES = ["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT"]
COLUMNS = ["execution_id", "workflow_name", "status", "start_time", "end_time"]


@click.group()
def executions() -> None:
    """Start, look at and end executions."""


@executions.command()
@click.argument("workflow")
@click.option("--input", help="JSON, @FILE, or - for standard input.")
@click.option("--execution-id", help="Made up if not given.")
@click.option("--deployment-name", help="Which deployment, if several serve the workflow.")
@click.option("--wait", is_flag=True, help="Wait for the end, and print the result.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Wait no longer than so many seconds.")
@json_option
@with_client
def start(client: Client, workflow: str, *, wait: bool, timeout: float | None, as_json: bool, **given: Any) -> None:
    """Start an execution of WORKFLOW."""
    body = {name: value for name, value in given.items() if value is not None}
    if "input" in body:
        body["input"] = _input(body["input"])
    started = client.call("POST", f"/v1/workflows/{segment(workflow)}/execute", body)
    if wait:
        _report(_wait(client, started["execution_id"], timeout), as_json=as_json)
    else:
        show(started, as_json=as_json, rows=[started], columns=COLUMNS[:3])


@executions.command()
@click.argument("execution_id")
@json_option
@with_client
def get(client: Client, execution_id: str, *, as_json: bool) -> None:
    """Show an execution."""
    found = client.call("GET", _path(execution_id))
    show(found, as_json=as_json, rows=[found], columns=[*COLUMNS, "result"])


@executions.command(name="list")
@click.option("--workflow", help="Only those of this workflow.")
@click.option("--status", multiple=True, type=click.Choice(STATUSES), help="Only those with one of these statuses.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@with_client
def list_(client: Client, workflow: str | None, status: tuple[str, ...], limit: int, *, as_json: bool) -> None:
    """List runs, the newest first."""
    query: dict[str, Any] = {"page_size": limit}
    if workflow:
        query["workflow_identifier"] = workflow
    if status:
        query["status"] = status
    found = client.call("GET", "/v1/workflows/runs", query=query)
    show(found, as_json=as_json, rows=found["executions"], columns=COLUMNS)


@executions.command()
@click.argument("execution_id")
@json_option
@with_client
def history(client: Client, execution_id: str, *, as_json: bool) -> None:
    """Show what is recorded of an execution."""
    found = client.call("GET", f"{_path(execution_id)}/history")
    columns = ["event_id", "recorded_at", "kind", "seq", "name"]
    show(found, as_json=as_json, rows=found["events"], columns=columns)
    failure = found["workflow_task_failure"]
    if failure and not as_json:
        click.echo(f"cannot be advanced at present: {failure['failure']['message']}", err=True)


@executions.command()
@click.argument("execution_id")
@with_client
def terminate(client: Client, execution_id: str) -> None:
    """End an execution at once; none of its code runs any more."""
    client.call("POST", f"{_path(execution_id)}/terminate")
    click.echo(f"{execution_id} is terminated")


def _path(execution_id: str) -> str:
    return f"/v1/workflows/executions/{segment(execution_id)}"


def _input(text: str) -> Any:
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"no JSON could be read: {error}", param_hint="--input") from None


def _wait(client: Client, execution_id: str, timeout: float | None) -> dict[str, Any]:
    began, pause = time.monotonic(), FIRST_PAUSE_SECONDS
    while True:
        found: dict[str, Any] = client.call("GET", _path(execution_id))
        waited = time.monotonic() - began
        if found["status"] != "RUNNING":
            return found
        if timeout is not None and waited >= timeout:
            raise OutOfTime(f"{execution_id} is still running after {timeout:g} s; it goes on")
        if sys.stderr.isatty():
            click.echo(f"\r{execution_id}: running for {waited:.0f} s", nl=False, err=True)
        time.sleep(pause if timeout is None else min(pause, max(0.0, timeout - waited)))
        pause = min(pause * 1.5, LAST_PAUSE_SECONDS)


def _report(found: dict[str, Any], *, as_json: bool) -> None:
    click.echo(json.dumps(found if as_json else found["result"], indent=2 if as_json else None, ensure_ascii=False))
    if found["status"] != "COMPLETED":
        reason = (found.get("failure") or {}).get("message", "")
        raise NotCompleted(f"{found['execution_id']} ended as {found['status']} {reason}".rstrip())
