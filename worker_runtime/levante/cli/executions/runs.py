"""`levante runs`: single runs of executions, earlier ones too."""

from __future__ import annotations

import click

from levante.cli.client import Client
from levante.cli.executions.histories import show_history
from levante.cli.options import json_option, with_client
from levante.cli.output.records import print_execution
from levante.client.requests import segment


@click.group()
def runs() -> None:
    """Inspect single runs by their ids, including earlier ones. `levante executions list` lists them."""


@runs.command()
@click.argument("run_id")
@json_option
@with_client
def get(client: Client, *, run_id: str, as_json: bool) -> None:
    """Show an execution and the state of one of its runs."""
    print_execution(client.get(_path(run_id)), as_json=as_json)


@runs.command()
@click.argument("run_id")
@json_option
@with_client
def history(client: Client, *, run_id: str, as_json: bool) -> None:
    """Show the history of a run, event by event."""
    show_history(client.get(f"{_path(run_id)}/history"), as_json=as_json)


def _path(run_id: str) -> str:
    return f"/v1/workflows/runs/{segment(run_id)}"
