"""One line on stderr that says how far long work has come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

WIPE = "\r\x1b[K"
"""Empties the line of a terminal."""


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Give a function that writes the line anew. It is only for terminals, and is gone at the end."""
    is_shown = sys.stderr.isatty()

    def say(text: str) -> None:
        if is_shown:
            click.echo(f"{WIPE}{text}", nl=False, err=True, color=True)  # wiping is no colour, which NO_COLOR would be about

    try:
        yield say
    finally:
        say("")
