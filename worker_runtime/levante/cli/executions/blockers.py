"""Saying what keeps an execution from going on: to whoever waits for it, and in listings."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import one_line
from levante.cli.output.color import are_colors_refused, warning
from levante.cli.output.progress import WIPE
from levante.client.errors import ClientError
from levante.client.requests import execution_path

FIRST_LOOK_SECONDS = 1.2
"""After the start; the API says nothing of blockers in the first second."""
LAST_PAUSE_SECONDS = 15.0


@contextmanager
def blockers_told(client: Client, execution_id: str) -> Iterator[None]:
    """Print on stderr what is in the way of an execution, each thing once, while the block waits for it."""
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(client, execution_id, over), name="blockers", daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()


def kinds_of(row: Mapping[str, Any]) -> str | None:
    """Name what is in the way of a run that a listing shows."""
    return ", ".join(dict.fromkeys(str(one.get("kind")) for one in _blockers(row))) or None


def messages_of(row: Mapping[str, Any]) -> list[str]:
    """Return what is in the way, and what to do about it, a line each."""
    return [_line(one) for one in _blockers(row)]


def _watch(client: Client, execution_id: str, over: threading.Event) -> None:
    said: set[tuple[str, ...]] = set()
    pause = FIRST_LOOK_SECONDS
    own = client.another()
    try:
        while not over.wait(pause):
            try:
                found = own.get(execution_path(execution_id)).value
            except ClientError:
                found = {}  # who waits for the end says what is wrong
            for blocker in _blockers(found):
                kind = _kind(blocker)
                if kind not in said and not over.is_set():
                    said.add(kind)
                    _say(_line(blocker))
            pause = min(1.5 * pause, LAST_PAUSE_SECONDS)
    finally:
        own.close()


def _say(line: str) -> None:
    """Print a line on stderr, in place of the line that says how far the work has come."""
    is_terminal = sys.stderr.isatty()
    text = line if are_colors_refused() else warning(line)
    click.echo(f"{WIPE}{text}" if is_terminal else line, err=True, color=is_terminal)


def _kind(blocker: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what tells a blocker from others, whichever attempt it was."""
    failure = blocker.get("failure") or {}
    parts = (blocker.get("kind"), blocker.get("activity_name"), failure.get("type"), failure.get("stack"))
    return tuple(map(str, parts))


def _line(blocker: Mapping[str, Any]) -> str:
    again = blocker.get("next_attempt_at")
    when = f" (attempt {blocker.get('attempt')} failed; the next one is due at {str(again)[11:19]} UTC)" if again else ""
    return one_line(f"{blocker.get('message')}{when}")


def _blockers(value: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    found = value.get("blockers")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
