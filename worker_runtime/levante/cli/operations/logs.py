"""What the code of an execution, or the workers of a deployment, have logged; or log from now on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import one_line
from levante.cli.options import given, json_lines_option, limit_option, with_client
from levante.cli.output.paging import Listing
from levante.cli.output.text import cell, print_json
from levante.client.errors import UnexpectedAnswer
from levante.client.requests import Request, execution_path, segment
from levante.client.waiting import follow

Command = Callable[..., None]


def _options(command: Command) -> Command:
    """Add the options that both commands have."""
    options = [
        click.option("--follow", is_flag=True, help="Print new lines as they arrive."),
        click.option("--after", help="No lines before this time, such as 2027-01-01T00:00:00Z."),
        click.option("--before", help="No lines after this time; not with --follow."),
        click.option("--order", type=click.Choice(["asc", "desc"]), help="Default: asc; not with --follow."),
        limit_option,
        json_lines_option,
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("logs")
@click.argument("execution_id")
@click.option("--run-id", help="Only lines of this run.")
@click.option("--activity-id", help="Only lines of this activity (the task_id of its events).")
@_options
@with_client
def execution_logs(client: Client, *, execution_id: str, follow: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """Print what an execution's code logged in the last two weeks. --follow stops when the execution has ended."""
    path = execution_path(execution_id)
    if follow:
        _follow(client, f"{path}/logs", filters, execution_id, as_json=as_json)
    else:
        _list(client, f"{path}/logs", filters, limit, as_json=as_json)


@click.command("logs")
@click.argument("name")
@click.option("--worker-name", help="Only lines of this worker.")
@click.option("--workflow", "workflow_name", help="Only lines of executions of this workflow (name).")
@_options
@with_client
def deployment_logs(client: Client, *, name: str, follow: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """Print what a deployment's workers logged in the last two weeks. --follow starts now, or at --after."""
    path = f"/v1/workflows/deployments/{segment(name)}/logs"
    if follow:
        _follow(client, path, filters, None, as_json=as_json)
    else:
        _list(client, path, filters, limit, as_json=as_json)


def _list(client: Client, path: str, filters: Mapping[str, Any], limit: int, *, as_json: bool) -> None:
    listing = Listing(path, "results")
    found = listing.read(client, given(filters), limit)
    if as_json:
        print_json(found)
        return
    for record in found.rows("results"):
        click.echo(_line(record))
    listing.say_if_there_is_more(found)


def _follow(client: Client, path: str, filters: Mapping[str, Any], execution_id: str | None, *, as_json: bool) -> None:
    """Print new lines as they arrive. Raises: click.UsageError for options that say how to list."""
    if filters["before"] is not None or filters["order"] is not None:
        raise click.UsageError("--before and --order are for lines that there are: leave them out with --follow")
    query = given(filters)

    def read(last: str | None) -> Request:
        place = {} if last is None else {"last_event_id": last}
        return Request("GET", f"{path}/stream", {**query, **place})

    for frame in client.frames(follow(client.server, read, execution_id)):
        click.echo(frame.data if as_json else _line(json.loads(frame.data or "null")))


def _line(record: Any) -> str:
    """Write a line for people, with the execution and the activity whose code logged it."""
    try:
        attributes = record["log_attributes"]
        of = " ".join(one_line(attributes[one]) for one in ("execution_id", "activity_name") if attributes.get(one))
        at, level, body = cell(record["timestamp"]), record["severity_text"], one_line(record["body"])
    except (LookupError, TypeError):
        raise UnexpectedAnswer(f"this is no line of a log: {record}") from None
    return f"{at}  {level:<8} {of + ': ' if of else ''}{body}"
