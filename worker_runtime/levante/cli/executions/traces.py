"""The trace of an execution: its spans as a tree, or its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import one_line
from levante.cli.options import json_option, with_client
from levante.cli.output.text import Column, print_json, print_table, print_value
from levante.client.answers import Answer
from levante.client.errors import UnexpectedAnswer
from levante.client.requests import execution_path

VIEWS = {"tree": "summary", "events": "events", "otel": "otel", "id": "info"}
SPAN_COLUMNS = [Column("name", "SPAN"), Column("duration", "DURATION"), Column("failure", "FAILURE", 80)]
EVENT_COLUMNS = [
    Column("name", "NAME"),
    Column("type", "TYPE"),
    Column("status", "STATUS"),
    Column("error", "ERROR", 80),
]
NANOSECONDS = 1_000_000_000


@click.command()
@click.argument("execution_id")
@click.option(
    "--view", type=click.Choice(list(VIEWS)), default="tree", show_default=True, help="otel: spans in OTLP's JSON."
)
@click.option("--internal", is_flag=True, help="With --view events: include Levante's own events.")
@click.option("--merged", is_flag=True, help="With --view events: each activity and custom task once, in its current state.")
@json_option
@with_client
def trace(client: Client, *, execution_id: str, view: str, internal: bool, merged: bool, as_json: bool) -> None:
    """Show the trace of an execution: the steps of its latest run, and how long each took."""
    if view != "events" and (internal or merged):
        raise click.UsageError("--internal and --merged are for --view events")
    query = {"include_internal_events": "true"} if internal else {}
    query |= {"merge_same_id_events": "true"} if merged else {}
    found = client.get(f"{execution_path(execution_id)}/trace/{VIEWS[view]}", query)
    if as_json:
        print_json(found)
        return
    match view:
        case "tree":
            print_table(_tree(found), SPAN_COLUMNS, none="no spans")
        case "events":
            print_table(found.rows("events"), EVENT_COLUMNS, none="no events")
        case "otel":
            print_value(found.field("otel_trace_data", dict))
        case _:
            click.echo(found.field("otel_trace_id", str))


def _tree(found: Answer) -> list[dict[str, Any]]:
    if isinstance(found.value, dict) and found.value.get("span_tree", 0) is None:
        return []
    try:
        return list(_rows(found.field("span_tree", dict)))
    except (LookupError, TypeError, AttributeError):
        raise UnexpectedAnswer(f"this is no tree of spans: {found.text}") from None


def _rows(span: Mapping[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    """Write a span and those below it, with a dot for each that it is below."""
    ended = span["end_time_unix_nano"]
    failures = [event["attributes"].get("exception.message") for event in span["events"]]
    yield {
        "name": "· " * depth + one_line(span["name"]),
        "duration": "open" if ended is None else f"{(ended - span['start_time_unix_nano']) / NANOSECONDS:.3f} s",
        "failure": failures[0] if failures else "",
    }
    for child in span["children"]:
        yield from _rows(child, depth + 1)
