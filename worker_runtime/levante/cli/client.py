"""A small synchronous client of the HTTP API, and what all commands that use it share."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import click

from levante.worker.settings import DEFAULT_SERVER_URL

T = TypeVar("T")

TIMEOUT_SECONDS = 60


class CommandFailed(click.ClickException):
    """Ends the command with one line: the API refused it, or is out of reach."""

    exit_code = 1


class NotCompleted(CommandFailed):
    """The execution ended otherwise."""

    exit_code = 3


class OutOfTime(CommandFailed):
    """The execution did not end in time."""

    exit_code = 4


class Client:
    """Calls the API with one key."""

    def __init__(self, server_url: str, api_key: str) -> None:
        self._base = server_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON answer, None for an empty one. path: segments are quoted by the caller. Raises: CommandFailed."""
        url = self._base + path + (f"?{urlencode(query, doseq=True)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self._headers, method=method)  # noqa: S310 - the user's own server
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310 - as above
                content = response.read()
        except urllib.error.HTTPError as error:
            with error:
                raise CommandFailed(_refusal(error.code, error.read())) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            hint = "start it with `levante dev`, or set LEVANTE_SERVER_URL"
            raise CommandFailed(f"nothing answers at {self._base} ({reason}): {hint}") from None
        return json.loads(content) if content else None


def segment(text: str) -> str:
    """Quote a text for use as one segment of a path."""
    return quote(text, safe="")


def with_client(command: Callable[..., T]) -> Callable[..., T]:
    """Give a command its client as first argument, and the options that say which."""

    @click.option("--server-url", help=f"Default: LEVANTE_SERVER_URL, else {DEFAULT_SERVER_URL}.")
    @click.option("--api-key", help="Default: LEVANTE_API_KEY. Others on this machine can see the option; better set that.")
    @wraps(command)
    def run(*args: Any, **options: Any) -> T:
        given_url, given_key = options.pop("server_url"), options.pop("api_key")
        url = given_url or os.environ.get("LEVANTE_SERVER_URL") or os.environ.get("SERVER_URL") or DEFAULT_SERVER_URL
        key = given_key or os.environ.get("LEVANTE_API_KEY") or os.environ.get("MISTRAL_API_KEY")
        if not key:
            raise CommandFailed("no API key: set LEVANTE_API_KEY to the one that `levante dev` printed")
        return command(Client(str(url), str(key)), *args, **options)

    return run


json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's answer as JSON.")


def show(answer: Any, *, as_json: bool, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print an answer as JSON, or its rows as a table."""
    if as_json:
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    table = [list(columns), *[[_cell(row.get(column)) for column in columns] for row in rows]]
    widths = [max(len(line[position]) for line in table) for position in range(len(columns))]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _refusal(status: int, content: bytes) -> str:
    try:
        answer = json.loads(content)
        detail, code = answer["detail"], answer.get("code", "")
    except (ValueError, KeyError, TypeError):
        return f"the API answered {status}: {content.decode(errors='replace')[:500]}"
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in detail)
    return f"{detail} ({status}{f' {code}' if code else ''})"
