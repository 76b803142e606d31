"""Listings, which the API gives page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import click

from levante.cli.client import Client
from levante.cli.output.progress import progress_line
from levante.cli.output.text import Column, print_json, print_table
from levante.client.answers import Answer

Rows: TypeAlias = list[dict[str, Any]]
MOST_ROWS = 1000
"""The most that the API gives at once."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing is of. rows, next: fields of its answers. size, cursor: what its query calls these."""

    path: str
    rows: str
    next: str = "next_cursor"
    size: str = "limit"
    cursor: str = "cursor"

    def read(self, client: Client, query: Mapping[str, Any], limit: int) -> Answer:
        """Return the first rows in one answer: the API's, or its lists joined where one page was not enough."""
        pages: list[Answer] = []
        count, place = 0, None
        with progress_line() as say:
            while not pages or (place and count < limit):
                part = {self.size: min(limit - count, MOST_ROWS), **query, **({self.cursor: place} if place else {})}
                pages.append(client.get(self.path, part))
                count += len(pages[-1].rows(self.rows))
                place = pages[-1].value.get(self.next)
                say(f"{count} rows")
        return pages[0] if len(pages) == 1 else _joined(pages)

    def show(
        self, answer: Answer, columns: Sequence[Column], *, none: str, as_json: bool, shown: Callable[[Rows], Rows] = list
    ) -> None:
        """Print an answer. none: what is said when there are no rows. shown: makes what people see of the rows."""
        if as_json:
            print_json(answer)
            return
        print_table(shown(answer.rows(self.rows)), columns, none=none)
        self.say_if_there_is_more(answer)

    def say_if_there_is_more(self, answer: Answer) -> None:
        """Let nobody take a part for all."""
        if answer.value.get(self.next):
            click.echo(f"these are the first {len(answer.rows(self.rows))}: raise --limit for more", err=True)


def _joined(pages: Sequence[Answer]) -> Answer:
    last = pages[-1].value
    lists = {name: [row for page in pages for row in page.value[name]] for name in last if isinstance(last[name], list)}
    value = {**last, **lists}
    return Answer(json.dumps(value, ensure_ascii=False), value)
