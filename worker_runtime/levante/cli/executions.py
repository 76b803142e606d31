"""`levante executions`: start, look at and end executions."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from levante.cli.client import Answer, Client, segment
from levante.cli.exits import EPILOG, CommandFailed, NotCompleted, OutOfTime
from levante.cli.json_texts import json_object
from levante.cli.options import json_option, with_client
from levante.cli.output import Column, cell, print_json, print_record, print_table, print_value
from levante.cli.waiting import Surroundings, wait_for_end

STATUSES = ["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT"]
RECORD = [
    "execution_id",
    "workflow_name",
    "status",
    "start_time",
    "end_time",
    "deployment_name",
    "parent_execution_id",
    "run_id",
    "result",
    "failure",
]
RUN_COLUMNS = [
    Column("execution_id", "EXECUTION"),
    Column("workflow_name", "WORKFLOW"),
    Column("status", "STATUS"),
    Column("start_time", "STARTED"),
    Column("end_time", "ENDED"),
]
EVENT_COLUMNS = [
    Column("event_id", "EVENT"),
    Column("recorded_at", "RECORDED"),
    Column("kind", "KIND"),
    Column("seq", "SEQ"),
    Column("about", "ABOUT", 80),
]
ABOUT = ("name", "result", "failure", "fire_at", "workflow_name", "fact")
"""The fields of events that say most; each kind has one of them, or none."""


@click.group()
def executions() -> None:
    """Start, look at and end executions."""


@executions.command(epilog=EPILOG)
@click.argument("workflow")
@click.option("--input", "input_text", help="A JSON object; @FILE reads it from a file, - from standard input.")
@click.option("--execution-id", help="The execution's id. Default: made by the API.")
@click.option("--deployment-name", help="Which deployment, if several serve the workflow.")
@click.option("--wait", is_flag=True, help="Wait until the execution ends, and print its result.")
@click.option("--timeout", type=click.FloatRange(min=0), help="With --wait: wait no longer than so many seconds.")
@json_option
@with_client
def start(
    client: Client,
    *,
    workflow: str,
    input_text: str | None,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **chosen: str | None,
) -> None:
    """Start an execution of WORKFLOW, a name or id."""
    if timeout is not None and not wait:
        raise click.UsageError("--timeout says how long to wait: give it with --wait")
    body: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if input_text is not None:
        body["input"] = json_object(input_text, "--input", "the parameters of the workflow's entrypoint")
    started = client.post(f"/v1/workflows/{segment(workflow)}/execute", body)
    execution_id = started.field("execution_id", str)
    if wait:
        ended = _wait(client, execution_id, timeout)
        _report(execution_id, started, ended, timeout, as_json=as_json)
    elif as_json:
        print_json(started)
    else:
        print_record(started.value, RECORD)


@executions.command()
@click.argument("execution_id")
@json_option
@with_client
def get(client: Client, *, execution_id: str, as_json: bool) -> None:
    """Show an execution."""
    found = client.get(_path(execution_id))
    if as_json:
        print_json(found)
        return
    found.field("execution_id", str)
    print_record(found.value, RECORD)


@executions.command(name="list")
@click.option("--workflow", help="Only runs of this workflow, a name or id.")
@click.option("--status", multiple=True, type=click.Choice(STATUSES, case_sensitive=False), help="May be repeated.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@json_option
@with_client
def list_(client: Client, *, workflow: str | None, status: tuple[str, ...], limit: int, as_json: bool) -> None:
    """List runs, the newest first."""
    query: dict[str, Any] = {"page_size": limit, "status": status}
    if workflow is not None:
        query["workflow_identifier"] = workflow
    found = client.get("/v1/workflows/runs", query)
    if as_json:
        print_json(found)
        return
    print_table(found.rows("executions"), RUN_COLUMNS, none="no executions")
    if found.value.get("next_page_token"):
        click.echo(f"these are the newest {limit}: raise --limit for more", err=True)


@executions.command()
@click.argument("execution_id")
@json_option
@with_client
def history(client: Client, *, execution_id: str, as_json: bool) -> None:
    """Show what is recorded of an execution, event by event."""
    found = client.get(f"{_path(execution_id)}/history")
    if as_json:
        print_json(found)
        return
    events = [{**event, "about": _about(event)} for event in found.rows("events")]
    print_table(events, EVENT_COLUMNS, none="no events")
    stuck = found.value.get("workflow_task_failure")
    if stuck:
        click.echo(f"cannot be advanced at present: {cell(stuck.get('failure', stuck))}")


@executions.command()
@click.argument("execution_id")
@json_option
@with_client
def terminate(client: Client, *, execution_id: str, as_json: bool) -> None:
    """End an execution at once; none of its code runs any more."""
    answer = client.post(f"{_path(execution_id)}/terminate")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"execution {execution_id} is terminated")


@executions.command(epilog=EPILOG)
@click.argument("execution_id")
@click.option("--event", "event_id", type=click.IntRange(min=1), required=True, help="The last event to be kept.")
@click.option("--reason", help="For whoever reads the history.")
@click.option("--exclude-signals", is_flag=True, help="Drop signals that came after the event.")
@click.option("--exclude-updates", is_flag=True, help="Drop updates that came after the event.")
@json_option
@with_client
def reset(
    client: Client,
    *,
    execution_id: str,
    event_id: int,
    reason: str | None,
    exclude_signals: bool,
    exclude_updates: bool,
    as_json: bool,
) -> None:
    """Go on from an earlier event with a new run and the code of today; the latest run ends if it is open."""
    body = {
        "event_id": event_id,
        "reason": reason,
        "exclude_signals": exclude_signals,
        "exclude_updates": exclude_updates,
    }
    answer = client.post(f"{_path(execution_id)}/reset", body)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"execution {execution_id} goes on from event {event_id}")


def _path(execution_id: str) -> str:
    return f"/v1/workflows/executions/{segment(execution_id)}"


def _about(event: dict[str, Any]) -> Any:
    return next((event[field] for field in ABOUT if event.get(field) is not None), "")


# --- waiting ----------------------------------------------------------------------------------------------------------


def _wait(client: Client, execution_id: str, timeout: float | None) -> Answer | None:
    """Return the execution as it ended; None if the time is over before that."""
    try:
        with _progress(execution_id) as world:
            return wait_for_end(lambda seconds: client.get(_path(execution_id), seconds=seconds), timeout, world)
    except CommandFailed as failed:
        raise CommandFailed(f"execution {execution_id} was started, but then: {failed.message}") from None


def _report(execution_id: str, started: Answer, ended: Answer | None, timeout: float | None, *, as_json: bool) -> None:
    """Print what became of the execution. Raises: CommandFailed with the exit code of anything but COMPLETED."""
    if as_json:
        print_json(ended or started)
    if ended is None:
        hint = f"it goes on: see `levante executions get {execution_id}`"
        raise OutOfTime(f"execution {execution_id} is still open after {timeout or 0:g} s; {hint}")
    status, failure = ended.value.get("status"), ended.value.get("failure")
    if status != "COMPLETED":
        reason = f": {cell(failure)}" if failure else ""
        raise NotCompleted(f"execution {execution_id} ended as {status}{reason}")
    if not as_json:
        print_value(ended.value.get("result"))


@contextmanager
def _progress(execution_id: str) -> Iterator[Surroundings]:
    """Keep one line on stderr up to date if that is a terminal, and end it."""
    shown = sys.stderr.isatty()

    def progress(waited: float) -> None:
        if shown:
            click.echo(f"\rexecution {execution_id}: {waited:.0f} s", nl=False, err=True)

    progress(0)
    try:
        yield Surroundings(time.monotonic, time.sleep, progress)
    finally:
        if shown:
            click.echo(err=True)
