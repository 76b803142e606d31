"""What is said to an open execution: signals, queries, updates."""

from __future__ import annotations

from typing import Any

import click

from levante.cli.client import Client
from levante.cli.options import INPUT_HELP, json_option, with_client
from levante.cli.output.json_texts import json_object
from levante.cli.output.progress import progress_line
from levante.cli.output.text import print_json, print_value
from levante.client.answers import Answer
from levante.client.requests import IDEMPOTENCY_HEADER, execution_path

input_option = click.option("--input", "input_text", help=INPUT_HELP)
once_option = click.option("--idempotency-key", help="A repeat with the same key changes nothing.")


@click.command()
@click.argument("execution_id")
@click.argument("name")
@input_option
@once_option
@json_option
@with_client
def signal(client: Client, *, execution_id: str, name: str, as_json: bool, **said: str | None) -> None:
    """Send the signal NAME to an execution."""
    answer = _send(client, f"{execution_path(execution_id)}/signals", name, **said)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"signal {name} is accepted")


@click.command()
@click.argument("execution_id")
@click.argument("name")
@input_option
@json_option
@with_client
def query(client: Client, *, execution_id: str, name: str, as_json: bool, input_text: str | None) -> None:
    """Send the query NAME to an execution, and print the answer. A query changes nothing."""
    answer = _send(client, f"{execution_path(execution_id)}/queries", name, input_text)
    _print_result(answer, "query_name", as_json=as_json)


@click.command()
@click.argument("execution_id")
@click.argument("name")
@input_option
@once_option
@json_option
@with_client
def update(client: Client, *, execution_id: str, name: str, as_json: bool, **said: str | None) -> None:
    """Send the update NAME to an execution, and print the answer."""
    answer = _send(client, f"{execution_path(execution_id)}/updates", name, **said)
    _print_result(answer, "update_name", as_json=as_json)


def _send(client: Client, path: str, name: str, input_text: str | None, idempotency_key: str | None = None) -> Answer:
    body: dict[str, Any] = {"name": name}
    if input_text is not None:
        body["input"] = json_object(input_text, "--input", "the parameters of the handler")
    headers = {} if idempotency_key is None else {IDEMPOTENCY_HEADER: idempotency_key}
    with progress_line() as say:
        say(f"waiting for the answer to {name}")
        return client.post(path, body, headers)


def _print_result(answer: Answer, name: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    answer.field(name, str)
    print_value(answer.value.get("result"))
