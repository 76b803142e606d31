"""`levante deployments`: who serves workflows."""

from __future__ import annotations

import click

from levante.cli.client import Client, segment
from levante.cli.options import json_option, with_client
from levante.cli.output import Column, print_json, print_table

COLUMNS = [
    Column("name", "NAME"),
    Column("is_active", "ACTIVE"),
    Column("active_worker_count", "ACTIVE WORKERS"),
    Column("worker_count", "WORKERS"),
    Column("last_heartbeat", "LAST HEARTBEAT"),
]
BUILD_COLUMNS = [
    Column("build_id", "BUILD", 64),
    Column("is_current", "CURRENT"),
    Column("active_worker_count", "ACTIVE WORKERS"),
    Column("open_executions", "OPEN EXECUTIONS"),
    Column("is_drained", "DRAINED"),
    Column("registered_at", "REGISTERED"),
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


@deployments.command()
@click.argument("name")
@json_option
@with_client
def builds(client: Client, *, name: str, as_json: bool) -> None:
    """List a deployment's builds, the newest first: workers of those that are drained can be stopped."""
    found = client.get(f"/v1/workflows/deployments/{segment(name)}/builds")
    if as_json:
        print_json(found)
    else:
        print_table(found.rows("builds"), BUILD_COLUMNS, none="no builds: set BUILD_ID for the workers of the deployment")
