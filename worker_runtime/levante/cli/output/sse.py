"""Server-sent events, read. Format: HTML standard, Server-sent events (read 2026-11-23)."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from levante.cli.client import REQUEST_SECONDS, Client
from levante.cli.exits import CommandFailed

PASSING = frozenset({"stream_error", "read_error"})
"""Reasons of an error frame that is worth coming again after. Source: REST contract, section 4 (read 2026-11-23)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What comes at once. id: where a reader goes on that comes again. data: None where only the other fields are said."""

    id: str | None = None
    event: str | None = None
    data: str | None = None
    retry_seconds: float | None = None


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Make frames of lines, empty ones of mere comments. What is cut off at the end is left out."""
    fields: dict[str, list[str]] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields.setdefault(name, []).append(value.removeprefix(" "))
            continue
        data, retry = fields.get("data"), _last(fields, "retry") or ""
        yield Frame(
            id=_last(fields, "id"),
            event=_last(fields, "event"),
            data=None if data is None else "\n".join(data),
            retry_seconds=int(retry) / 1000 if retry.isdecimal() else None,
        )
        fields = {}


def read_stream(
    client: Client, path: str, query: Mapping[str, Any], seconds: float = REQUEST_SECONDS
) -> Generator[Frame, None, None]:
    """Read frames as they come. seconds: of silence, at most.

    Raises: CommandFailed, also where the stream itself says that something went wrong.
    """
    for frame in frames(client.lines(path, query, seconds=seconds)):
        if frame.event == "error":
            raise _broken(frame.data or "{}")
        yield frame


def _broken(data: str) -> CommandFailed:
    try:
        message = json.loads(data)
        error, reason = str(message["error"]), message.get("reason")
    except (ValueError, LookupError, TypeError, AttributeError):
        error, reason = data, None
    return CommandFailed(f"the stream broke off: {error}", is_temporary=reason in PASSING)


def _last(fields: Mapping[str, list[str]], name: str) -> str | None:
    return fields[name][-1] if name in fields else None
