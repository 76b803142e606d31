"""`levante keys`: who may use the API."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from levante.cli.client import Client
from levante.cli.exits import CommandFailed
from levante.cli.options import json_option, with_client
from levante.cli.output.text import Column, print_json, print_record, print_table
from levante.client.errors import ClientError
from levante.client.requests import segment
from levante.client.settings import Connection, local_data_directory, read_connection
from levante_core.protocol.local_key import LOCAL_KEY, LOCAL_KEY_NAME, read_local_key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
@click.option("--role", required=True, type=click.Choice(["admin", "viewer", "client", "worker"]), help="Its permissions.")
@click.option("deployments", "--deployment", multiple=True, help="Bind a worker's key to this deployment; repeatable.")
@json_option
@with_client
def create(client: Client, *, name: str, role: str, deployments: tuple[str, ...], as_json: bool) -> None:
    """Create a key, and print its secret, which is not shown again.

    Without --deployment, a worker's key is valid for any deployment.
    """
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
    """List the workspace's keys, including revoked ones, without their secrets."""
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
    """Revoke a key."""
    answer = client.delete(f"/v1/keys/{segment(key_id)}")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"key {key_id} is revoked")


@keys.command()
@click.option("--renew", is_flag=True, help="Create a new key and revoke the old one.")
def local(*, renew: bool) -> None:
    """Print the key that the host on this machine keeps in its data directory, LEVANTE_DATA or .levante."""
    try:
        directory = local_data_directory()
        secret = read_local_key(directory)
        if secret is None:
            raise CommandFailed(f"there is no key in {directory / LOCAL_KEY}: `levante dev` leaves one there when it starts")
        if renew:
            secret = _renewed(read_connection(api_key=secret), directory)
    except ClientError as error:
        raise CommandFailed(error.message) from None
    click.echo(secret)


def _renewed(connection: Connection, directory: Path) -> str:
    """Make another key, keep it, and revoke those that it replaces. Raises: CommandFailed, ClientError."""
    if not connection.is_local:
        raise CommandFailed(f"{connection.server_url} is not on this machine: leave LEVANTE_SERVER_URL out")
    with closing(Client(connection)) as client:
        before = [key["key_id"] for key in client.get("/v1/keys").rows("keys") if key["name"] == LOCAL_KEY_NAME]
        secret: str = client.post("/v1/keys", {"name": LOCAL_KEY_NAME, "role": "admin"}).field("secret", str)
        (directory / LOCAL_KEY).write_text(f"{secret}\n", encoding="ascii")
        for key_id in before:
            client.delete(f"/v1/keys/{segment(key_id)}")
    return secret


def _shown(key: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a worker's key is for; a host of an earlier version says nothing of it."""
    bound = ", ".join(key.get("deployments") or ())
    return {**key, "deployments": bound or ("any deployment" if key.get("role") == "worker" else None)}
