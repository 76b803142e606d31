"""`levante workflows`: which workflows there are."""

from __future__ import annotations

import click

from levante.cli.client import Client, segment
from levante.cli.options import json_option, with_client
from levante.cli.output import Column, print_json, print_record, print_table

PAGE = 1000
"""The most that the API gives at once."""

COLUMNS = [
    Column("name", "NAME"),
    Column("display_name", "DISPLAY NAME", 40),
    Column("archived", "ARCHIVED"),
    Column("description", "DESCRIPTION", 60),
]
RECORD = ["name", "id", "display_name", "description", "active", "archived", "is_technical", "tags", "workspace_id"]


@click.group()
def workflows() -> None:
    """Look at workflows."""


@workflows.command(name="list")
@json_option
@with_client
def list_(client: Client, *, as_json: bool) -> None:
    """List the workflows that workers have registered."""
    found = client.get("/v1/workflows", {"limit": PAGE})
    if as_json:
        print_json(found)
        return
    print_table(found.rows("workflows"), COLUMNS, none="no workflows: start a worker with `levante worker`")
    if found.value.get("next_cursor"):
        click.echo(f"these are the first {PAGE}", err=True)


@workflows.command()
@click.argument("name")
@json_option
@with_client
def get(client: Client, *, name: str, as_json: bool) -> None:
    """Show the workflow NAME, a name or id."""
    found = client.get(f"/v1/workflows/{segment(name)}")
    if as_json:
        print_json(found)
    else:
        print_record(found.field("workflow", dict), RECORD)
