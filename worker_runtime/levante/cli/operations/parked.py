"""`levante parked`: what could not be handled, and waits for another try."""

from __future__ import annotations

import click

from levante.cli.client import Client
from levante.cli.options import json_option, limit_option, with_client
from levante.cli.output.paging import Listing
from levante.cli.output.text import Column, print_json, print_table, print_value
from levante.client.requests import segment

PARKED = Listing("/v1/parked", "parked")
COLUMNS = [
    Column("parked_id", "PARKED", 300),
    Column("kind", "KIND"),
    Column("execution_id", "EXECUTION", 40),
    Column("deployment_name", "DEPLOYMENT", 40),
    Column("since", "SINCE"),
    Column("count", "FAILED"),
    Column("retry_at", "NEXT TRY"),
    Column("error", "ERROR", 80),
]


@click.group()
def parked() -> None:
    """List items that could not be handled. With an admin's key: retry or drop them."""


@parked.command(name="list")
@limit_option
@json_option
@with_client
def list_(client: Client, *, limit: int, as_json: bool) -> None:
    """List parked items, why they failed, and when they are retried."""
    found = PARKED.read(client, {}, limit)
    if as_json:
        print_json(found)
        return
    print_table(found.rows(PARKED.rows), COLUMNS, none="nothing is parked")
    PARKED.say_if_there_is_more(found)


@parked.command()
@click.argument("parked_id", required=False)
@click.option("--all", "is_for_all", is_flag=True, help="All parked items of the workspace.")
@json_option
@with_client
def retry(client: Client, *, parked_id: str | None, is_for_all: bool, as_json: bool) -> None:
    """Retry parked items within a minute. Fix the cause first."""
    if is_for_all == (parked_id is not None):
        raise click.UsageError("name one parked item, or take --all")
    if parked_id is not None:
        answer = client.post(f"/v1/parked/{segment(parked_id)}/retry", {})
        if as_json:
            print_json(answer)
        else:
            click.echo(f"{parked_id} is tried again within a minute")
        return
    after = None
    while True:
        after = client.post("/v1/parked/retry", {} if after is None else {"after": after}).value.get("next")
        if after is None:
            break
    if as_json:
        print_value({"next": None})
    else:
        click.echo("everything that is parked is tried again within a minute")


@parked.command()
@click.argument("parked_id")
@json_option
@with_client
def drop(client: Client, *, parked_id: str, as_json: bool) -> None:
    """Delete a parked item without doing what it asked for."""
    answer = client.delete(f"/v1/parked/{segment(parked_id)}")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{parked_id} is dropped")
