"""What commands print: the API's JSON as it is, else tables and records for people."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from levante.cli.exits import one_line
from levante.cli.output.color import colored_status, title
from levante.client.answers import Answer

_FRACTION = re.compile(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. most: longer cells are cut, as ids never are."""

    field: str
    title: str
    most: int | None = None


def print_json(answer: Answer) -> None:
    """Print an answer exactly as the API gave it; nothing if it was empty."""
    if answer.text:
        click.echo(answer.text)


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], *, none: str) -> None:
    """Print rows under their titles. none: what is said, on stderr, when there are no rows."""
    if not rows:
        click.echo(none, err=True)
        return
    titles = [column.title for column in columns]
    lines = [[cut(cell(row.get(column.field)), column.most) for column in columns] for row in rows]
    widths = [max(map(len, texts)) for texts in zip(titles, *lines, strict=True)]
    click.echo(_aligned(titles, [title(text) for text in titles], widths))
    for line in lines:
        shown = [_colored(column.field, text) for column, text in zip(columns, line, strict=True)]
        click.echo(_aligned(line, shown, widths))


def print_record(record: Mapping[str, Any], fields: Sequence[str]) -> None:
    """Print the named fields one below the other, without those that are null."""
    present = [name for name in fields if record.get(name) is not None]
    width = max(map(len, present), default=0)
    for name in present:
        click.echo(f"{name.ljust(width)}  {_colored(name, cell(record[name]))}")


def print_value(value: Any) -> None:
    """Print one JSON value on one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def cell(value: Any) -> str:
    """Write a JSON value for people, on one line: texts bare, times to the second, null as -, a failure by its message."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return one_line(_FRACTION.sub(r"\1", value))
        case {"message": str(message), "type": failure_type}:
            return one_line(f"{failure_type}: {message}" if failure_type else message)
        case _:
            return one_line(json.dumps(value, ensure_ascii=False))


def _colored(field: str, text: str) -> str:
    return colored_status(text) if field == "status" else text


def _aligned(texts: Sequence[str], shown: Sequence[str], widths: Sequence[int]) -> str:
    """Join the cells of a line. shown: the texts as they are printed, with colours, which take no room."""
    cells = [one + " " * (width - len(text)) for text, one, width in zip(texts, shown, widths, strict=True)]
    return "  ".join(cells).rstrip()


def cut(text: str, most: int | None) -> str:
    """Return a text of so many characters at most."""
    return text if most is None or len(text) <= most else text[: most - 1] + "…"
