"""`levante deployments`: who serves workflows."""

from __future__ import annotations

import click

from levante.cli.client import Client
from levante.cli.options import json_option, with_client
from levante.cli.output import Column, print_json, print_table

COLUMNS = [
    Column("name", "NAME"),
    Column("is_active", "ACTIVE"),
    Column("active_worker_count", "ACTIVE WORKERS"),
    Column("worker_count", "WORKERS"),
    Column("last_heartbeat", "LAST HEARTBEAT"),
]


@click.group()
def deployments() -> None:
    """Look at deployments."""


@deployments.command(name="list")
@json_option
@with_client
def list_(client: Client, *, as_json: bool) -> None:
    """List the deployments, those without live workers too."""
    found = client.get("/v1/workflows/deployments", {"active_only": "false"})
    if as_json:
        print_json(found)
    else:
        print_table(found.rows("deployments"), COLUMNS, none="no deployments: start a worker with `levante worker`")
