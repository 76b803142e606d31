"""`levante workflows` and `levante deployments`: what is served, and by whom."""

from __future__ import annotations

import click

from levante.cli.client import Client, json_option, segment, show, with_client


@click.group()
def workflows() -> None:
    """Look at workflows."""


@workflows.command(name="list")
@json_option
@with_client
def list_workflows(client: Client, *, as_json: bool) -> None:
    """List all workflows."""
    found = client.call("GET", "/v1/workflows", query={"limit": 1000})
    show(found, as_json=as_json, rows=found["workflows"], columns=["name", "display_name", "description", "id"])


@workflows.command()
@click.argument("workflow")
@json_option
@with_client
def get(client: Client, workflow: str, *, as_json: bool) -> None:
    """Show a workflow, by name or id."""
    found = client.call("GET", f"/v1/workflows/{segment(workflow)}")
    show(found, as_json=as_json, rows=[found["workflow"]], columns=["name", "active", "description", "id"])


@click.group()
def deployments() -> None:
    """Look at deployments."""


@deployments.command(name="list")
@json_option
@with_client
def list_deployments(client: Client, *, as_json: bool) -> None:
    """List all deployments, active or not."""
    found = client.call("GET", "/v1/workflows/deployments", query={"active_only": "false"})
    columns = ["name", "is_active", "active_worker_count", "last_heartbeat"]
    show(found, as_json=as_json, rows=found["deployments"], columns=columns)
