"""`levante keys`: who may use the API."""

from __future__ import annotations

import click

from levante.cli.client import Client, json_option, segment, show, with_client

COLUMNS = ["key_id", "name", "role", "workspace", "created_at", "revoked_at"]


@click.group()
def keys() -> None:
    """Create, list and revoke API keys; takes an admin key."""


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", type=click.Choice(["admin", "client", "worker"]), required=True)
@json_option
@with_client
def create(client: Client, name: str, role: str, *, as_json: bool) -> None:
    """Create a key and print its secret, which cannot be had again."""
    made = client.call("POST", "/v1/keys", {"name": name, "role": role})
    show(made, as_json=as_json, rows=[made], columns=["key_id", "role", "secret"])


@keys.command(name="list")
@json_option
@with_client
def list_(client: Client, *, as_json: bool) -> None:
    """List the keys of the workspace, without their secrets."""
    found = client.call("GET", "/v1/keys")
    show(found, as_json=as_json, rows=found["keys"], columns=COLUMNS)


@keys.command()
@click.argument("key_id")
@with_client
def revoke(client: Client, key_id: str) -> None:
    """Refuse a key from now on."""
    client.call("DELETE", f"/v1/keys/{segment(key_id)}")
    click.echo(f"{key_id} is revoked")
