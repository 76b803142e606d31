"""`levante audit`: which key changed what."""

from __future__ import annotations

from typing import Any

import click

from levante.cli.client import Client
from levante.cli.options import json_option, limit_option, with_client
from levante.cli.output.paging import Listing, Rows
from levante.cli.output.text import Column

ENTRIES = Listing("/v1/audit", "entries")
COLUMNS = [
    Column("at", "AT"),
    Column("key_name", "KEY", 40),
    Column("role", "ROLE"),
    Column("operation", "CHANGE"),
    Column("target", "OF", 80),
    Column("details", "DETAILS", 80),
    Column("refused_with", "REFUSED"),
]


@click.command()
@click.option("--since", metavar="TIME", help="Asked for at this time or later: 2026-12-01T09:00:00Z.")
@click.option("--until", metavar="TIME", help="Asked for before this time.")
@click.option("--key", "key_id", metavar="KEY_ID", help="With this key; `current` is your own.")
@click.option("--operation", metavar="NAME", help="Of this kind, such as terminate_workflow_execution.")
@limit_option
@json_option
@with_client
def audit(client: Client, *, limit: int, as_json: bool, **filters: str | None) -> None:
    """List which key changed what, the newest first; for admins and viewers."""
    wanted = {name: value for name, value in filters.items() if value is not None}
    found = ENTRIES.read(client, wanted, limit)
    ENTRIES.show(found, COLUMNS, none="nothing was changed", as_json=as_json, shown=_shown)


def _shown(rows: Rows) -> Rows:
    return [{**row, "target": _pairs(row["target"]), "details": _pairs(row["details"])} for row in rows]


def _pairs(named: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in named.items())
