"""`levante keys`: who may use the API."""

from __future__ import annotations

import click

from levante.cli.client import Client, segment
from levante.cli.options import json_option, with_client
from levante.cli.output import Column, print_json, print_record, print_table

COLUMNS = [
    Column("key_id", "KEY"),
    Column("name", "NAME", 40),
    Column("role", "ROLE"),
    Column("workspace", "WORKSPACE"),
    Column("created_at", "CREATED"),
    Column("revoked_at", "REVOKED"),
]
RECORD = ["key_id", "name", "role", "workspace", "created_at", "secret"]


@click.group()
def keys() -> None:
    """Create, list and revoke API keys, with an admin's key."""


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--role", required=True, type=click.Choice(["admin", "client", "worker"]), help="What it may do.")
@json_option
@with_client
def create(client: Client, *, name: str, role: str, as_json: bool) -> None:
    """Create a key, and print its secret this once."""
    made = client.post("/v1/keys", {"name": name, "role": role})
    if as_json:
        print_json(made)
        return
    made.field("secret", str)
    print_record(made.value, RECORD)
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
        print_table(found.rows("keys"), COLUMNS, none="no keys")


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
