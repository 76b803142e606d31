"""`levante deployments`: who serves workflows."""

from __future__ import annotations

from typing import Any

import click

from levante.cli.client import Client
from levante.cli.operations.logs import deployment_logs
from levante.cli.options import given, json_option, limit_option, with_client
from levante.cli.output.paging import Listing, Rows
from levante.cli.output.text import Column, print_json, print_record, print_table
from levante.client.requests import segment

DEPLOYMENTS = Listing("/v1/workflows/deployments", "deployments")
COLUMNS = [
    Column("name", "NAME"),
    Column("is_active", "ACTIVE"),
    Column("active_worker_count", "ACTIVE WORKERS"),
    Column("worker_count", "WORKERS"),
    Column("last_heartbeat", "LAST HEARTBEAT"),
]
RECORD = ["name", "id", "is_active", "active_worker_count", "worker_count", "created_at", "last_heartbeat", "location"]
WORKER_COLUMNS = [
    Column("name", "WORKER"),
    Column("is_active", "ACTIVE"),
    Column("slots", "SLOTS IN USE"),
    Column("created_at", "FIRST SEEN"),
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
NO_WORKERS = "no workers"


@click.group()
def deployments() -> None:
    """Look at deployments and their workers."""


@deployments.command(name="list")
@click.option("--active", "active_only", is_flag=True, help="Only those with live workers.")
@click.option("--workflow", "workflow_name", help="Only those that have registered this workflow (name or id).")
@click.option("--search", help="Only those whose name contains this.")
@click.option("--location-type", "location_types", multiple=True, help="local, k8s or managed; repeatable.")
@click.option("--order-by", type=click.Choice(["updated_at", "created_at"]), help="Default: by name.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="With --order-by. Default: desc.")
@limit_option
@json_option
@with_client
def list_(client: Client, *, limit: int, as_json: bool, **filters: Any) -> None:
    """List the deployments, including those without live workers."""
    found = DEPLOYMENTS.read(client, given(filters), limit)
    DEPLOYMENTS.show(found, COLUMNS, none="no deployments: start a worker with `levante worker`", as_json=as_json)


@deployments.command()
@click.argument("name")
@click.option("--workflow", "workflow_name", help="Only workers that serve this workflow (name or id).")
@json_option
@with_client
def get(client: Client, *, name: str, as_json: bool, **filters: str | None) -> None:
    """Show a deployment with its workers."""
    found = client.get(_path(name), given(filters))
    if as_json:
        print_json(found)
        return
    found.field("name", str)
    print_record(found.value, RECORD)
    print_table(_with_slots(found.rows("workers")), WORKER_COLUMNS, none=NO_WORKERS)


@deployments.command()
@click.argument("name")
@click.option(
    "--status", "worker_status", type=click.Choice(["active", "inactive"]), help="Only live workers, or only stopped ones."
)
@limit_option
@json_option
@with_client
def workers(client: Client, *, name: str, limit: int, as_json: bool, **filters: str | None) -> None:
    """List a deployment's workers by name, including stopped ones."""
    listing = Listing(f"{_path(name)}/workers", "workers")
    found = listing.read(client, given(filters), limit)
    listing.show(found, WORKER_COLUMNS, none=NO_WORKERS, as_json=as_json, shown=_with_slots)


@deployments.command()
@click.argument("name")
@json_option
@with_client
def builds(client: Client, *, name: str, as_json: bool) -> None:
    """List a deployment's builds, newest first. You can stop the workers of drained builds."""
    found = client.get(f"{_path(name)}/builds")
    if as_json:
        print_json(found)
    else:
        rows = found.rows("builds")
        if found.value.get("is_partial"):
            rows = [{**row, "open_executions": f"{row['open_executions']}+"} for row in rows]
        print_table(rows, BUILD_COLUMNS, none="no builds: set BUILD_ID for the workers of the deployment")


def _with_slots(rows: Rows) -> Rows:
    """Add to each worker how many of its slots are in use, as it said with its last heartbeat."""
    slots = [row.get("activity_slots") for row in rows]
    used = [f"{one['in_use']} of {one['total']}" if one else None for one in slots]
    return [{**row, "slots": shown} for row, shown in zip(rows, used, strict=True)]


def _path(name: str) -> str:
    return f"{DEPLOYMENTS.path}/{segment(name)}"


deployments.add_command(deployment_logs)
