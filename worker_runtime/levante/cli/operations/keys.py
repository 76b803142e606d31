"""`levante keys`: who may use the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from levante.cli.client import Client
from levante.cli.options import json_option, with_client
from levante.cli.output.text import Column, print_json, print_record, print_table
from levante.client.requests import segment

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS = [
    Column("key_id", "KEY"),
    Column("name", "NAME", 40),
    Column("role", "ROLE"),
    Column("deployments", "WORKS FOR", 60),
    Column("workspace", "WORKSPACE"),
    Column("created_at", "CREATED"),
    Column("revoked_at", "REVOKED"),
]
RECORD = ["key_id", "name", "role", "deployments", "workspace", "created_at", "secret"]


@click.group()
def keys() -> None:
    """Create, list and revoke API keys, with an admin's key."""


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", required=True, type=click.Choice(["admin", "viewer", "client", "worker"]), help="What it may do.")
@click.option(
    "deployments", "--deployment", multiple=True, help="A deployment that a worker's key is for, and no other; repeatable."
)
@json_option
@with_client
def create(client: Client, *, name: str, role: str, deployments: tuple[str, ...], as_json: bool) -> None:
    """Create a key, and print its secret this once. A worker's key without --deployment is for any deployment."""
    if deployments and role != "worker":
        raise click.UsageError("--deployment is for keys with the role worker: leave it out")
    bound = {"deployments": list(deployments)} if deployments else {}
    made = client.post("/v1/keys", {"name": name, "role": role, **bound})
    if as_json:
        print_json(made)
        return
    made.field("secret", str)
    print_record(_shown(made.value), RECORD)
    click.echo("keep the secret: it cannot be shown again", err=True)


@keys.command(name="list")
@json_option
@with_client
def list_(client: Client, *, as_json: bool) -> None:
    """List the workspace's keys without their secrets, revoked ones too."""
    found = client.get("/v1/keys")
    if as_json:
        print_json(found)
    else:
        print_table([_shown(key) for key in found.rows("keys")], COLUMNS, none="no keys")


@keys.command()
@click.argument("key_id")
@json_option
@with_client
def revoke(client: Client, *, key_id: str, as_json: bool) -> None:
    """Refuse a key from now on."""
    answer = client.delete(f"/v1/keys/{segment(key_id)}")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"key {key_id} is revoked")


def _shown(key: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a worker's key is for; a host of an earlier version says nothing of it."""
    bound = ", ".join(key.get("deployments") or ())
    return {**key, "deployments": bound or ("any deployment" if key.get("role") == "worker" else None)}
