"""Repairs by hand: what is given to an execution in place of what it waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.options import json_option, with_client
from levante.cli.output.json_texts import json_value
from levante.cli.output.text import print_json
from levante.client.requests import repair


def _command(function: Callable[..., None]) -> click.Command:
    """Make a command about one thing that an execution waits for, as what all of them take."""
    return _of_execution(click.argument("seq", type=click.IntRange(1))(function))


def _of_execution(function: Callable[..., None]) -> click.Command:
    """Make a command about an execution."""
    reason = click.option("--reason", help="Why, for whoever reads the history.")
    wrapped = with_client(function)
    for add in (json_option, reason):
        wrapped = add(wrapped)
    return click.command(name=function.__name__.replace("_", "-"))(click.argument("execution_id")(wrapped))


_result = click.option("--result", required=True, help="JSON; @FILE reads it from a file, - from standard input.")
_message = click.option("--message", required=True, help="What went wrong, for people.")
_type = click.option("--type", "kind", help="Type of the failure, as workflow code can tell it from others.")


@_of_execution
def pause(client: Client, *, execution_id: str, reason: str | None, as_json: bool) -> None:
    """Record no step of an execution until it is resumed. Timers and its time limit count on meanwhile."""
    _send(client, execution_id, "pause", {"reason": reason}, f"execution {execution_id} is paused", as_json=as_json)


@_of_execution
def resume(client: Client, *, execution_id: str, reason: str | None, as_json: bool) -> None:
    """Let a paused execution go on, with all that has come in meanwhile."""
    _send(client, execution_id, "resume", {"reason": reason}, f"execution {execution_id} goes on", as_json=as_json)


@_command
def retry_activity(client: Client, *, execution_id: str, seq: int, reason: str | None, as_json: bool) -> None:
    """Let the next attempt of an activity that has failed begin now."""
    path = f"activities/{seq}/retry"
    _send(client, execution_id, path, {"reason": reason}, f"activity {seq} is tried again now", as_json=as_json)


@_command
@_result
def complete_activity(
    client: Client, *, execution_id: str, seq: int, result: str, reason: str | None, as_json: bool
) -> None:
    """Give an activity a result. A running attempt stops at its next heartbeat; its outcome changes nothing."""
    body = {"result": json_value(result, "--result"), "reason": reason}
    _send(client, execution_id, f"activities/{seq}/complete", body, f"activity {seq} is completed", as_json=as_json)


@_command
@_message
@_type
def fail_activity(
    client: Client, *, execution_id: str, seq: int, message: str, kind: str | None, reason: str | None, as_json: bool
) -> None:
    """Let an activity fail for good. A running attempt stops at its next heartbeat; its outcome changes nothing."""
    body = _failure(message, kind, reason)
    _send(client, execution_id, f"activities/{seq}/fail", body, f"activity {seq} has failed", as_json=as_json)


@_command
def skip_timer(client: Client, *, execution_id: str, seq: int, reason: str | None, as_json: bool) -> None:
    """Let a timer fire now: a sleep is over, a timeout has passed."""
    _send(client, execution_id, f"timers/{seq}/skip", {"reason": reason}, f"timer {seq} has fired", as_json=as_json)


@_command
@_result
def complete_child(client: Client, *, execution_id: str, seq: int, result: str, reason: str | None, as_json: bool) -> None:
    """Give the parent a result of a child, which itself goes on if it is open."""
    body = {"result": json_value(result, "--result"), "reason": reason}
    _send(client, execution_id, f"children/{seq}/complete", body, f"child {seq} is completed", as_json=as_json)


@_command
@_message
@_type
def fail_child(
    client: Client, *, execution_id: str, seq: int, message: str, kind: str | None, reason: str | None, as_json: bool
) -> None:
    """Let the parent see that a child has failed; the child itself goes on if it is open."""
    body = _failure(message, kind, reason)
    _send(client, execution_id, f"children/{seq}/fail", body, f"child {seq} has failed", as_json=as_json)


def _failure(message: str, kind: str | None, reason: str | None) -> dict[str, Any]:
    return {"message": message, "reason": reason, **({"type": kind} if kind else {})}


def _send(client: Client, execution_id: str, path: str, body: Mapping[str, Any], done: str, *, as_json: bool) -> None:
    request = repair(execution_id, path, body)
    answer = client.post(request.path, request.body)
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{done}, recorded as done by hand")


COMMANDS = (pause, resume, retry_activity, complete_activity, fail_activity, skip_timer, complete_child, fail_child)
