"""What is recorded of a run, shown event by event."""

from __future__ import annotations

from typing import Any

import click

from levante.cli.output.text import Column, cell, print_json, print_table
from levante.client.answers import Answer

COLUMNS = [
    Column("event_id", "EVENT"),
    Column("recorded_at", "RECORDED"),
    Column("kind", "KIND"),
    Column("seq", "SEQ"),
    Column("about", "ABOUT", 80),
]
ABOUT = ("name", "result", "failure", "fire_at", "workflow_name", "fact")
"""The fields of events that say most; each kind has one of them, or none."""


def show_history(found: Answer, *, as_json: bool) -> None:
    """Print a history."""
    if as_json:
        print_json(found)
        return
    events = [{**event, "about": _about(event)} for event in found.rows("events")]
    print_table(events, COLUMNS, none="no events")
    if found.value.get("next_after") is not None:
        click.echo(f"there is more: --after {found.value['next_after']}", err=True)
    failure = found.value.get("workflow_task_failure")
    if failure:
        click.echo(f"cannot be advanced at present: {cell(failure.get('failure', failure))}")


def _about(event: dict[str, Any]) -> Any:
    return next((event[field] for field in ABOUT if event.get(field) is not None), "")
