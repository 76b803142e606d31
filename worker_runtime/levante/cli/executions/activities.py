"""`levante activities`: attempts that go on outside of workers, by their tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import CommandFailed
from levante.cli.options import json_option, with_client
from levante.cli.output.json_texts import json_value
from levante.cli.output.text import print_json

GONE = "nobody waits for this attempt any more: it has ended, or its time was up"


@click.group()
def activities() -> None:
    """Complete activities from outside (`activity.complete_later()`), with the token of the attempt."""


@activities.command()
@click.argument("task_token")
@click.option("--result", "result_text", help="JSON; @FILE reads a file, - reads standard input. Default: null.")
@json_option
@with_client
def complete(client: Client, *, task_token: str, result_text: str | None, as_json: bool) -> None:
    """Complete an attempt with a result."""
    result = None if result_text is None else json_value(result_text, "--result")
    _say(client, "complete", {"task_token": task_token, "result": result}, "is_accepted", as_json=as_json)


@activities.command()
@click.argument("task_token")
@click.option("--message", required=True, help="What went wrong.")
@click.option("--non-retryable", is_flag=True, help="Do not retry the activity.")
@json_option
@with_client
def fail(client: Client, *, task_token: str, message: str, non_retryable: bool, as_json: bool) -> None:
    """Fail an attempt; the activity's retry policy decides what follows."""
    body = {"task_token": task_token, "message": message, "non_retryable": non_retryable}
    _say(client, "fail", body, "is_accepted", as_json=as_json)


@activities.command()
@click.argument("task_token")
@json_option
@with_client
def heartbeat(client: Client, *, task_token: str, as_json: bool) -> None:
    """Send a heartbeat for an attempt."""
    _say(client, "heartbeat", {"task_token": task_token}, "is_wanted", as_json=as_json)


def _say(client: Client, what: str, body: Mapping[str, Any], field: str, *, as_json: bool) -> None:
    answer = client.post(f"/v1/workflows/activities/{what}", body)
    if as_json:
        print_json(answer)
    if not answer.field(field, bool):
        raise CommandFailed(GONE)
