"""How a command ends: the exit codes, and the errors that carry them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

import click


class Exit(IntEnum):
    """The exit codes; 2 is click's own, 130 what shells make of an interrupt."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_COMPLETED = 3
    OUT_OF_TIME = 4
    INTERRUPTED = 130


MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: "refused by the API, out of reach, or failed here",
    Exit.USAGE: "wrong usage",
    Exit.NOT_COMPLETED: "what was waited for, an execution or a batch job, ended without completing, or with failures",
    Exit.OUT_OF_TIME: "what was waited for was still open after --timeout",
    Exit.INTERRUPTED: "interrupted by Ctrl-C",
}

EPILOG = "Exit codes: " + "; ".join(f"{code.value} {meaning}" for code, meaning in MEANINGS.items()) + "."


class CommandFailed(click.ClickException):
    """Ends the command with one line on stderr that says what was wrong and what to do."""

    exit_code = Exit.FAILED

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class NotCompleted(CommandFailed):
    """The execution that was waited for failed, was terminated, or ran out of its own time."""

    exit_code = Exit.NOT_COMPLETED


class OutOfTime(CommandFailed):
    """The execution that was waited for goes on."""

    exit_code = Exit.OUT_OF_TIME


def one_line(text: str) -> str:
    """Keep a text of somebody else's to one line that cannot steer a terminal."""
    return "".join(one if one.isprintable() else "\ufffd" for one in " ".join(text.split()))
