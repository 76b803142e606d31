"""Starting an execution, and waiting for its end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.executions.blockers import blockers_told
from levante.cli.executions.events import follow_tree
from levante.cli.exits import EPILOG, CommandFailed, NotCompleted, OutOfTime
from levante.cli.options import INPUT_HELP, INPUT_KEYS, json_option, one_of, registration_option, with_client
from levante.cli.output.json_texts import json_object
from levante.cli.output.progress import progress_line
from levante.cli.output.records import print_execution
from levante.cli.output.text import cell, print_value
from levante.client.answers import Answer
from levante.client.errors import ClientError
from levante.client.requests import execution_path, segment
from levante.client.waiting import end_of


@click.command(epilog=EPILOG)
@click.argument("workflow", required=False)
@registration_option
@click.option("--input", "input_text", help=INPUT_HELP)
@click.option("--execution-id", help="The execution's id. Default: made by the API.")
@click.option("--deployment-name", help="Which deployment, if several serve the workflow.")
@click.option("--wait", is_flag=True, help="Wait until the execution ends, and print its result.")
@click.option("--follow", is_flag=True, help="Print its events, and those of all below it, as they come; then its result.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), help="With --wait or --follow: wait no longer than so many seconds."
)
@json_option
@with_client
def start(
    client: Client,
    *,
    workflow: str | None,
    registration_id: str | None,
    input_text: str | None,
    wait: bool,
    follow: bool,
    timeout: float | None,
    as_json: bool,
    **chosen: str | None,
) -> None:
    """Start an execution of WORKFLOW, a name or id. With --json, --follow prints one document a line."""
    one_of(workflow, registration_id)
    if timeout is not None and not (wait or follow):
        raise click.UsageError("--timeout says how long to wait: give it with --wait or --follow")
    body: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if input_text is not None:
        body["input"] = json_object(input_text, "--input", INPUT_KEYS)
    what = segment(workflow) if workflow is not None else f"registrations/{segment(registration_id or '')}"
    started = client.post(f"/v1/workflows/{what}/execute", body)
    if not (wait or follow):
        print_execution(started, as_json=as_json)
        return
    execution_id = started.field("execution_id", str)
    with _was_started(execution_id), blockers_told(client, execution_id):
        if follow:
            follow_tree(client, execution_id, timeout, as_json=as_json)
        # Who has followed to the end of the time asks once more.
        ended = _end_of(client, execution_id, 0 if follow and timeout is not None else timeout)
    _report(execution_id, started, ended, timeout, as_json=as_json)


@click.command(epilog=EPILOG)
@click.argument("execution_id")
@click.option("--timeout", type=click.FloatRange(min=0), help="Wait no longer than so many seconds.")
@json_option
@with_client
def wait(client: Client, *, execution_id: str, timeout: float | None, as_json: bool) -> None:
    """Wait until an execution ends, and print its result."""
    found = client.get(execution_path(execution_id))
    with blockers_told(client, execution_id):
        ended = _end_of(client, execution_id, timeout)
    _report(execution_id, found, ended, timeout, as_json=as_json)


@contextmanager
def _was_started(execution_id: str) -> Iterator[None]:
    """Let nobody lose what was started because of what comes after."""
    try:
        yield
    except ClientError as failed:
        raise CommandFailed(f"execution {execution_id} was started, but then: {failed.message}") from None
    except KeyboardInterrupt:
        click.echo(f"execution {execution_id} goes on: see `levante executions get {execution_id}`", err=True)
        raise


def _end_of(client: Client, execution_id: str, timeout: float | None) -> Answer | None:
    """Return the execution as it ended; None if the time is over before that."""
    with progress_line() as say:
        say(f"waiting for execution {execution_id}; Ctrl-C leaves it running")
        return client.run(end_of(client.server, execution_id, timeout))


def _report(execution_id: str, started: Answer, ended: Answer | None, timeout: float | None, *, as_json: bool) -> None:
    """Print what became of the execution. Raises: CommandFailed with the exit code of anything but COMPLETED."""
    if as_json:
        print_value((ended or started).value)
    if ended is None:
        hint = f"it goes on: see `levante executions get {execution_id}`"
        raise OutOfTime(f"execution {execution_id} is still open after {timeout or 0:g} s; {hint}")
    status, failure = ended.value.get("status"), ended.value.get("failure")
    if status != "COMPLETED":
        reason = f": {cell(failure)}" if failure else ""
        raise NotCompleted(f"execution {execution_id} ended as {status}{reason}")
    if not as_json:
        print_value(ended.value.get("result"))
