"""Ending executions, or letting one go on from an earlier event."""

from __future__ import annotations

from collections.abc import Sequence

import click

from levante.cli.client import Client
from levante.cli.exits import CommandFailed, one_line
from levante.cli.options import json_option, with_client
from levante.cli.output.text import print_json, print_value
from levante.client.requests import execution_path, in_batches


@click.command()
@click.argument("execution_ids", nargs=-1, required=True, metavar="EXECUTION_ID...")
@json_option
@with_client
def cancel(client: Client, *, execution_ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel executions; their code may clean up, or go on."""
    _each(client, "cancel", execution_ids, "is asked to end", as_json=as_json)


@click.command()
@click.argument("execution_ids", nargs=-1, required=True, metavar="EXECUTION_ID...")
@json_option
@with_client
def terminate(client: Client, *, execution_ids: tuple[str, ...], as_json: bool) -> None:
    """End executions at once, without running their code."""
    _each(client, "terminate", execution_ids, "is terminated", as_json=as_json)


@click.command()
@click.argument("execution_id")
@click.option("--event", "event_id", type=click.IntRange(min=1), required=True, help="The last event to keep.")
@click.option("--reason", help="A note for the history.")
@click.option("--exclude-signals", is_flag=True, help="Drop signals received after the event.")
@click.option("--exclude-updates", is_flag=True, help="Drop updates received after the event.")
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
    """Continue from an earlier event, with a new run and today's code. The latest run ends if it is open."""
    body = {
        "event_id": event_id,
        "reason": reason,
        "exclude_signals": exclude_signals,
        "exclude_updates": exclude_updates,
    }
    answer = client.post(f"{execution_path(execution_id)}/reset", body)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"execution {execution_id} goes on from event {event_id}")


def _each(client: Client, verb: str, execution_ids: Sequence[str], done: str, *, as_json: bool) -> None:
    """Do it to each on its own. Raises: CommandFailed, after the last one, if it could not be done to all."""
    results: dict[str, dict[str, str | None]] = {}
    for some in in_batches(execution_ids):
        results |= client.post(f"/v1/workflows/executions/{verb}", {"execution_ids": some}).field("results", dict)
    if as_json:
        print_value({"results": results})
    errors = {one: result.get("error") for one, result in results.items() if result.get("status") != "success"}
    for one in results:
        if one not in errors and not as_json:
            click.echo(f"execution {one_line(one)} {done}")
    if errors:
        raise CommandFailed("; ".join(f"{one}: {error}" for one, error in errors.items()))
