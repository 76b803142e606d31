"""Options that many commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from levante.cli.client import NO_KEY, Client
from levante.cli.exits import CommandFailed

T = TypeVar("T")

DEFAULT_SERVER_URL = "http://127.0.0.1:8700"
"""Same as the worker's; importing it from there would bring aiohttp."""

SERVER_URL_HELP = f"Where the API is. Default: LEVANTE_SERVER_URL or SERVER_URL, else {DEFAULT_SERVER_URL}."
API_KEY_HELP = (
    "Better set LEVANTE_API_KEY or MISTRAL_API_KEY: everybody on this machine can see the option in the list of processes."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's answer, JSON, as it is.")


def with_client(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command its client as first argument, and the options that say which."""

    @click.option("--server-url", envvar=["LEVANTE_SERVER_URL", "SERVER_URL"], callback=_server_url, help=SERVER_URL_HELP)
    @click.option("--api-key", envvar=["LEVANTE_API_KEY", "MISTRAL_API_KEY"], callback=_api_key, help=API_KEY_HELP)
    @wraps(command)
    def run(*args: Any, server_url: str, api_key: str, **options: Any) -> T:
        return command(Client(server_url, api_key), *args, **options)

    return run


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
