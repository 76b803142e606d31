"""`levante registrations`: what each deployment says of the workflows that it serves."""

from __future__ import annotations

from typing import Any

import click

from levante.cli.client import Client
from levante.cli.options import given, json_option, limit_option, with_client
from levante.cli.output.paging import Listing
from levante.cli.output.text import Column, print_json, print_record, print_table
from levante.client.requests import segment

REGISTRATIONS = Listing("/v1/workflows/registrations", "workflow_registrations")
COLUMNS = [
    Column("id", "REGISTRATION"),
    Column("name", "WORKFLOW"),
    Column("deployment_name", "DEPLOYMENT"),
    Column("execution_timeout", "TIMEOUT"),
]
RECORD = [
    "id",
    "name",
    "workflow_id",
    "deployment_name",
    "active",
    "execution_timeout",
    "enforce_determinism",
    "input_schema",
    "output_schema",
    "signals",
    "queries",
    "updates",
]


@click.group()
def registrations() -> None:
    """Inspect the workflows that deployments have registered."""


@registrations.command(name="list")
@click.option("--workflow", "workflow_name", help="Only registrations of this workflow (name).")
@click.option("--workflow-id", help="Same (id).")
@click.option("--search", "workflow_search", help="Only those whose workflow has this in its names, description or id.")
@click.option("--task-queue", help="Only registrations with this task queue.")
@click.option("--active", "active_only", is_flag=True, default=None, help="Only those that a live worker serves.")
@click.option("--archived/--not-archived", default=None, help="Only of archived workflows, or only of others.")
@limit_option
@json_option
@with_client
def list_(client: Client, *, limit: int, as_json: bool, **filters: Any) -> None:
    """List registrations by the name of the workflow."""
    found = REGISTRATIONS.read(client, {"with_workflow": "true", **given(filters)}, limit)
    if as_json:
        print_json(found)
        return
    print_table([_shown(row) for row in found.rows(REGISTRATIONS.rows)], COLUMNS, none="no registrations")
    REGISTRATIONS.say_if_there_is_more(found)


@registrations.command()
@click.argument("registration_id")
@json_option
@with_client
def get(client: Client, *, registration_id: str, as_json: bool) -> None:
    """Show a registration: the schemas of its input and result, and its handlers."""
    found = client.get(f"{REGISTRATIONS.path}/{segment(registration_id)}", {"with_workflow": "true"})
    if as_json:
        print_json(found)
        return
    registration = _shown(found.field("workflow_registration", dict))
    handlers = {
        kind: [one.get("name") for one in registration.get(kind) or []] for kind in ("signals", "queries", "updates")
    }
    print_record({**registration, **handlers}, RECORD)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Lay a registration, its definition and the name of its workflow side by side."""
    return {**(row.get("definition") or {}), **row, "name": (row.get("workflow") or {}).get("name")}
