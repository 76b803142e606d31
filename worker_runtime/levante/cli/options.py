"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import wraps
from typing import Any, TypeVar

import click

from levante.cli.client import Client
from levante.cli.exits import CommandFailed
from levante.client.errors import ClientError, InvalidServerUrl
from levante.client.settings import DEFAULT_SERVER_URL, Connection, read_connection

STATUSES = ["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT"]
"""Of executions and runs."""

T = TypeVar("T")

SERVER_URL_HELP = f"Where the API is. Default: LEVANTE_SERVER_URL or SERVER_URL, else {DEFAULT_SERVER_URL}."
API_KEY_HELP = (
    "Better set LEVANTE_API_KEY: everybody on this machine can see the option in the list of processes. Without it, "
    "MISTRAL_API_KEY is taken, but never sent to mistral.ai."
)

INPUT_HELP = "A JSON object; @FILE reads a file, - reads standard input."
INPUT_KEYS = "the parameters of the workflow's entrypoint"

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's answer, JSON, as it is.")
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON as the API sends it, one document a line."
)
limit_option = click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Maximum number of rows.")
registration_option = click.option("--registration-id", help="A registration of one deployment, instead of WORKFLOW.")


def with_client(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command its client as first argument, and the options that say which."""

    @click.option("--server-url", help=SERVER_URL_HELP)
    @click.option("--api-key", help=API_KEY_HELP)
    @wraps(command)
    def run(*args: Any, server_url: str | None, api_key: str | None, **options: Any) -> T:
        try:
            with closing(Client(_connection(server_url, api_key))) as client:
                return command(client, *args, **options)
        except ClientError as error:
            raise CommandFailed(error.message) from None

    return run


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as parameters of a query."""
    wanted = {name: value for name, value in options.items() if value is not None and value != ()}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in wanted.items()}


def one_of(workflow: str | None, registration_id: str | None) -> None:
    """Check that it is said what to start, and once. Raises: click.UsageError."""
    if (workflow is None) == (registration_id is None):
        raise click.UsageError("say what to start: either WORKFLOW, a name or id, or --registration-id")


def _connection(server_url: str | None, api_key: str | None) -> Connection:
    """Read where the API is. Raises: click.BadParameter for an address that is none; ClientMisconfigured."""
    try:
        return read_connection(server_url, api_key)
    except InvalidServerUrl as error:
        raise click.BadParameter(error.message, click.get_current_context(), param_hint="--server-url") from None
