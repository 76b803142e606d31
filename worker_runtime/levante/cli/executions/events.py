"""The stream events of an execution: those there are, or as they come."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import one_line
from levante.cli.options import given, json_lines_option, with_client
from levante.cli.output.text import cell, cut
from levante.client.errors import UnexpectedAnswer
from levante.client.requests import Request, event_stream
from levante.client.steps import Frame
from levante.client.waiting import follow, read_once
from levante_core.protocol.streams import sequence_in

OF = {"itself": "workflow_exec_id", "children": "parent_workflow_exec_id", "tree": "root_workflow_exec_id"}
ABOUT = ("result", "failure", "payload", "reason", "timeout_type", "new_execution_run_id", "input")
"""The attributes that say most beside the name; each type of event has one of them, or none."""
NAMES = ("activity_name", "custom_task_type", "workflow_name")
MOST_CHARACTERS = 80


@click.command()
@click.argument("execution_id")
@click.option("--follow", is_flag=True, help="Print new events as they arrive, until the execution has ended.")
@click.option("--from", "first", type=click.IntRange(1), default=1, help="First sequence number to print.")
@click.option(
    "--of",
    type=click.Choice(list(OF)),
    default="itself",
    show_default=True,
    help="Whose events: its own, its children's, or, if it has no parent, its own and those of all executions below it.",
)
@click.option("--type", "workflow_event_types", multiple=True, help="Event type, such as ACTIVITY_TASK_FAILED; repeatable.")
@click.option("--scope", type=click.Choice(["workflow", "activity"]), help="Only events of this scope.")
@click.option("--activity-name", help="Only events of activities with this name.")
@click.option("--activity-id", help="Only events of this activity (the task_id of its events).")
@click.option("--workflow", "workflow_name", help="Only events of executions of this workflow (name).")
@click.option("--stream", help="workflow, activity, or the type of a custom task.")
@json_lines_option
@with_client
def events(client: Client, *, execution_id: str, follow: bool, first: int, of: str, as_json: bool, **filters: Any) -> None:
    """Print the stream events of an execution, oldest first, with their sequence numbers.

    After a broken connection, it reconnects and continues after the last printed event.
    """
    query = {OF[of]: execution_id, **given(filters)}
    if follow:
        _print(_following(client, execution_id, query, first), execution_id, as_json=as_json)
        return
    here = event_stream({**query, "event_source": "DATABASE"}, first)
    _print(client.frames(read_once(client.server, here)), execution_id, as_json=as_json)


def follow_tree(client: Client, execution_id: str, timeout: float | None, *, as_json: bool) -> None:
    """Print the events of an execution without parent and of all below it, until it has ended or the time is over."""
    query = {OF["tree"]: execution_id}
    _print(_following(client, execution_id, query, 1, timeout), execution_id, as_json=as_json)


def _following(
    client: Client, execution_id: str, query: Mapping[str, Any], first: int, timeout: float | None = None
) -> Iterable[Frame]:
    def read(last: str | None) -> Request:
        return event_stream(query, first if last is None else _sequence(last) + 1)

    return client.frames(follow(client.server, read, execution_id, timeout))


def _sequence(frame_id: str) -> int:
    sequence = sequence_in(frame_id)
    if sequence is None:
        raise UnexpectedAnswer(f"{frame_id!r} is no sequence number")
    return sequence


def _print(frames: Iterable[Frame], execution_id: str, *, as_json: bool) -> None:
    for frame in frames:
        if frame.data is not None:
            click.echo(frame.data if as_json else _line(frame.data, execution_id))


def _line(data: str, execution_id: str) -> str:
    """Write an event for people: its number, when, what, of which execution if not of this one, and about what."""
    try:
        message = json.loads(data)
        event = message["data"]
        attributes, of = event["attributes"], event["workflow_exec_id"]
        words = [f"{message['broker_sequence']:>5}", cell(message["timestamp"]), f"{event['event_type']:<35}"]
    except (ValueError, LookupError, TypeError):
        raise UnexpectedAnswer(f"this is no event: {data}") from None
    words += [f"{one_line(of)}:"] if of != execution_id else []
    words += [cell(attributes[one]) for one in NAMES if attributes.get(one)]
    about = next((_plain(attributes[one]) for one in ABOUT if attributes.get(one) is not None), None)
    words += [cut(cell(about), MOST_CHARACTERS)] if about is not None else []
    return "  ".join(words).rstrip()


def _plain(value: Any) -> Any:
    """Take a value out of what events carry it in."""
    match value:
        case {"type": str(), "value": plain}:
            return plain
        case {"message": message}:
            return message
        case _:
            return value
