"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from levante.cli.client import NO_KEY, Client
from levante.cli.exits import CommandFailed

STATUSES = ["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT"]
"""Of executions and runs."""

T = TypeVar("T")

DEFAULT_SERVER_URL = "http://127.0.0.1:8700"
"""Same as the worker's; importing it from there would bring aiohttp."""

SERVER_URL_HELP = f"Where the API is. Default: LEVANTE_SERVER_URL or SERVER_URL, else {DEFAULT_SERVER_URL}."
API_KEY_HELP = (
    "Better set LEVANTE_API_KEY or MISTRAL_API_KEY: everybody on this machine can see the option in the list of processes."
)

INPUT_HELP = "A JSON object; @FILE reads it from a file, - from standard input."
INPUT_KEYS = "the parameters of the workflow's entrypoint"

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's answer, JSON, as it is.")
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON as the API sends it, one document a line."
)
limit_option = click.option(
    "--limit", type=click.IntRange(1), default=50, show_default=True, help="No more rows than these."
)
registration_option = click.option("--registration-id", help="What one deployment has registered, instead of WORKFLOW.")


def with_client(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command its client as first argument, and the options that say which."""

    @click.option("--server-url", envvar=["LEVANTE_SERVER_URL", "SERVER_URL"], callback=_server_url, help=SERVER_URL_HELP)
    @click.option("--api-key", envvar=["LEVANTE_API_KEY", "MISTRAL_API_KEY"], callback=_api_key, help=API_KEY_HELP)
    @wraps(command)
    def run(*args: Any, server_url: str, api_key: str, **options: Any) -> T:
        return command(Client(server_url, api_key), *args, **options)

    return run


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, as parameters of a query."""
    wanted = {name: value for name, value in options.items() if value is not None and value != ()}
    return {name: str(value).lower() if isinstance(value, bool) else value for name, value in wanted.items()}


def one_of(workflow: str | None, registration_id: str | None) -> None:
    """Check that it is said what to start, and once. Raises: click.UsageError."""
    if (workflow is None) == (registration_id is None):
        raise click.UsageError("say what to start: either WORKFLOW, a name or id, or --registration-id")


def _server_url(_context: click.Context, _option: click.Parameter, given: str | None) -> str:
    url = (given or DEFAULT_SERVER_URL).strip()
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and url.isprintable()
    except ValueError:
        usable = False
    if not usable or " " in url or not url.isascii():
        raise click.BadParameter(f"{url!r} is no address such as {DEFAULT_SERVER_URL}")
    return url


def _api_key(context: click.Context, _option: click.Parameter, given: str | None) -> str:
    key = (given or "").strip()
    if not key and not context.resilient_parsing:
        raise CommandFailed(NO_KEY)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise CommandFailed("the API key holds characters that no key has: copy it again into LEVANTE_API_KEY")
    return key
