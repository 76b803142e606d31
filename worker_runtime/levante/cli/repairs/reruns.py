"""What becomes of executions afterwards: where they can go on anew, the same once more, nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.options import INPUT_HELP, INPUT_KEYS, json_option, limit_option, with_client
from levante.cli.output.json_texts import json_object
from levante.cli.output.paging import Listing
from levante.cli.output.records import print_execution
from levante.cli.output.text import Column, print_json
from levante.client.requests import execution_path

COLUMNS = [
    Column("event_id", "EVENT"),
    Column("recorded_at", "RECORDED"),
    Column("kind", "KIND"),
    Column("name", "NAME"),
]


@click.command()
@click.argument("execution_id")
@limit_option
@json_option
@with_client
def reset_points(client: Client, *, execution_id: str, limit: int, as_json: bool) -> None:
    """List the events from which an execution can go on anew with `reset --event`."""
    path = f"{execution_path(execution_id)}/reset-points"
    listing = Listing(path, "points", next="next_after", size="limit", cursor="after")
    listing.show(listing.read(client, {}, limit), COLUMNS, none="no events", as_json=as_json)


@click.command()
@click.argument("execution_id")
@click.option("--execution-id", "new_id", help="Id of the new execution; made up, if left out.")
@click.option("--input", "input_text", help=f"Another input. {INPUT_HELP}")
@json_option
@with_client
def rerun(client: Client, *, execution_id: str, new_id: str | None, input_text: str | None, as_json: bool) -> None:
    """Start an execution with the workflow, the deployment and the input of another one."""
    body: Mapping[str, Any] = {
        **({"execution_id": new_id} if new_id else {}),
        **({} if input_text is None else {"input": json_object(input_text, "--input", INPUT_KEYS)}),
    }
    print_execution(client.post(f"{execution_path(execution_id)}/rerun", body), as_json=as_json)


@click.command()
@click.argument("execution_id")
@click.option(
    "--event", "event_id", type=click.IntRange(1), required=True, help="The last event of the history that is kept."
)
@click.option("--execution-id", "new_id", help="Id of the new execution; made up, if left out.")
@click.option("--reason", help="Why, for whoever reads the history.")
@click.option("--exclude-signals", is_flag=True, help="Leave out the signals after that event.")
@click.option("--exclude-updates", is_flag=True, help="Leave out the updates after that event.")
@json_option
@with_client
def fork(client: Client, *, execution_id: str, new_id: str | None, as_json: bool, **given: Any) -> None:
    """Start another execution that goes on from an event of this one, which does not notice."""
    body = {**given, **({"execution_id": new_id} if new_id else {})}
    print_execution(client.post(f"{execution_path(execution_id)}/fork", body), as_json=as_json)


@click.command()
@click.argument("execution_id")
@json_option
@with_client
def delete(client: Client, *, execution_id: str, as_json: bool) -> None:
    """Delete a closed execution, its history and, if it is a root, its events."""
    answer = client.delete(execution_path(execution_id))
    if as_json:
        print_json(answer)
    else:
        click.echo(f"execution {execution_id} is deleted")
