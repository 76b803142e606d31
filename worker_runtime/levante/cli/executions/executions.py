"""`levante executions`: start, look at, talk to and end executions."""

from __future__ import annotations

from typing import Any

import click

from levante.cli.client import Client
from levante.cli.executions.blockers import kinds_of
from levante.cli.executions.endings import cancel, reset, terminate
from levante.cli.executions.events import events
from levante.cli.executions.filters import filter_options
from levante.cli.executions.histories import show_history
from levante.cli.executions.messages import query, signal, update
from levante.cli.executions.starting import start, wait
from levante.cli.executions.traces import trace
from levante.cli.operations.logs import execution_logs
from levante.cli.options import given, json_option, limit_option, with_client
from levante.cli.output.paging import Listing
from levante.cli.output.records import print_execution
from levante.cli.output.text import Column
from levante.cli.repairs.by_hand import COMMANDS as REPAIRS
from levante.cli.repairs.explaining import explain
from levante.cli.repairs.reruns import delete, fork, rerun, reset_points
from levante.client.requests import execution_path

RUNS = Listing("/v1/workflows/runs", "executions", next="next_page_token", size="page_size", cursor="next_page_token")
COLUMNS = [
    Column("execution_id", "EXECUTION"),
    Column("workflow_name", "WORKFLOW"),
    Column("status", "STATUS"),
    Column("start_time", "STARTED"),
    Column("end_time", "ENDED"),
    Column("blocked_by", "BLOCKED BY"),
]


@click.group()
def executions() -> None:
    """Start, inspect, message and end executions."""


@executions.command()
@click.argument("execution_id")
@json_option
@with_client
def get(client: Client, *, execution_id: str, as_json: bool) -> None:
    """Show an execution and the state of its latest run."""
    print_execution(client.get(execution_path(execution_id), {"include_search_keys": "true"}), as_json=as_json)


@executions.command(name="list")
@filter_options
@click.option("--sort-by", type=click.Choice(["start_time", "end_time"]), help="Default: start_time.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="Default: desc, newest first.")
@limit_option
@json_option
@with_client
def list_(client: Client, *, limit: int, as_json: bool, stuck: bool, **filters: Any) -> None:
    """List runs, newest first, and what blocks the open ones."""
    query = {**given(filters), "include_blockers": "true", **({"is_blocked": "true"} if stuck else {})}
    RUNS.show(
        RUNS.read(client, query, limit),
        COLUMNS,
        none="no executions",
        as_json=as_json,
        shown=lambda rows: [{**row, "blocked_by": kinds_of(row)} for row in rows],
    )


@executions.command()
@click.argument("execution_id")
@click.option("--after", type=click.IntRange(0), help="Only events behind this one, in the order that is wanted.")
@click.option("--limit", type=click.IntRange(1, 1000), help="No more events than these; the whole history without it.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="desc: the newest first.")
@click.option("--kind", "kinds", multiple=True, help="Only events of this kind; may be repeated.")
@click.option("--payloads/--no-payloads", "include_payloads", default=None, help="With or without inputs and results.")
@click.option("--wait", "wait_seconds", type=click.FloatRange(0, 60), help="Seconds to wait for an event, if none is there.")
@json_option
@with_client
def history(client: Client, *, execution_id: str, as_json: bool, **page: Any) -> None:
    """Show the history of an execution's latest run, event by event."""
    show_history(client.get(f"{execution_path(execution_id)}/history", given(page)), as_json=as_json)


for _command in (
    start,
    wait,
    explain,
    signal,
    query,
    update,
    cancel,
    terminate,
    reset,
    reset_points,
    rerun,
    fork,
    delete,
    events,
    trace,
    *REPAIRS,
):
    executions.add_command(_command)
executions.add_command(execution_logs, "logs")
