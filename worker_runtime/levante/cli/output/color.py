"""Colours of what commands print: in terminals only, as click sees to, and not where NO_COLOR is set."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

VARIABLE = "NO_COLOR"
"""https://no-color.org (read 2026-12-01): any value but an empty one."""
OF_STATUS: Mapping[str, str] = {
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "TERMINATED": "red",
    "CANCELED": "yellow",
    "ABORTED": "yellow",
}


def are_colors_refused() -> bool:
    """Tell whether the environment says that nothing may be coloured."""
    return bool(os.environ.get(VARIABLE))


def colored_status(text: str) -> str:
    """Colour the status of an execution; other texts stay as they are."""
    return click.style(text, fg=OF_STATUS[text]) if text in OF_STATUS else text


def title(text: str) -> str:
    """Make the title of a column stand out."""
    return click.style(text, bold=True)


def warning(text: str) -> str:
    """Colour what keeps something from going on."""
    return click.style(text, fg="yellow")
