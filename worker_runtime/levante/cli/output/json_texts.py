"""JSON that is given to a command: in an option, in a file, or on standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click


def json_value(text: str, option: str) -> Any:
    """Read JSON; @FILE reads it from a file, - from standard input. Raises: click.BadParameter."""
    try:
        return json.loads(_content(text), parse_constant=_no_json)
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"no JSON could be read from {_source(text)}: {error}", param_hint=option) from None


def json_object(text: str, option: str, keys: str) -> Any:
    """Read a JSON object, or null. keys: what it is keyed by. Raises: click.BadParameter."""
    value = json_value(text, option)
    if value is not None and not isinstance(value, dict):
        raise click.BadParameter(f"the input must be a JSON object, keyed by {keys}", param_hint=option)
    return value


def _content(text: str) -> str | bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    return Path(text[1:]).read_bytes() if text.startswith("@") else text


def _source(text: str) -> str:
    if text == "-":
        return "standard input"
    return text[1:] if text.startswith("@") else "the option"


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
