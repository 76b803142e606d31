"""`levante batch`: one action on every execution that a filter finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.executions.filters import filter_options, filters_of
from levante.cli.exits import EPILOG, CommandFailed, NotCompleted, OutOfTime
from levante.cli.options import INPUT_HELP, json_option, limit_option, with_client
from levante.cli.output.json_texts import json_object
from levante.cli.output.paging import Listing
from levante.cli.output.progress import progress_line
from levante.cli.output.text import Column, cell, print_json, print_record, print_table
from levante.client.answers import Answer
from levante.client.errors import ClientError
from levante.client.requests import Request, segment
from levante.client.steps import Pause, Steps, call
from levante.client.waiting import PATIENCE_SECONDS, Deadline

ACTIONS = ["cancel", "terminate", "signal", "reset", "retry", "rerun"]
STATUSES = ["RUNNING", "COMPLETED", "ABORTED", "FAILED"]
OF_ACTIONS: Mapping[str, tuple[str, str]] = {
    "name": ("--signal", "signal"),
    "to": ("--to", "reset"),
    "exclude_signals": ("--exclude-signals", "reset"),
    "exclude_updates": ("--exclude-updates", "reset"),
}
"""Options that one action has, by the name of its field: what they are called, and whose they are."""
LOOK_SECONDS = 1.0
"""Between two looks at a job that is waited for."""
BATCHES = Listing("/v1/batches", "batches")
COLUMNS = [
    Column("batch_id", "BATCH"),
    Column("status", "STATUS"),
    Column("kind", "ACTION"),
    Column("done", "DONE"),
    Column("skipped", "SKIPPED"),
    Column("failed", "FAILED"),
    Column("created_at", "STARTED"),
    Column("reason", "REASON", 60),
]
FOUND = [
    Column("execution_id", "EXECUTION"),
    Column("workflow_name", "WORKFLOW"),
    Column("status", "STATUS"),
    Column("start_time", "STARTED"),
]
FAILED = [Column("execution_id", "EXECUTION"), Column("at", "TRIED"), Column("reason", "REASON", 200)]
FIELDS = [
    *("batch_id", "status", "action", "filter", "reason", "requested_by", "created_at", "reached", "ended_at"),
    *("matched", "done", "skipped", "skipped_because", "failed"),
]

_wait_option = click.option("--wait", is_flag=True, help="Wait until the job ends, and show how far it has come.")
_timeout_option = click.option(
    "--timeout", type=click.FloatRange(min=0), help="With --wait: maximum number of seconds to wait."
)


@click.group()
def batch() -> None:
    """Cancel, terminate, signal, reset, retry or rerun all executions that a filter finds."""


@batch.command()
@filter_options
@json_option
@with_client
def preview(client: Client, *, as_json: bool, **chosen: Any) -> None:
    """Count the executions that a job would be about, and show the ten oldest. Nothing is done to them."""
    answer = client.post("/v1/batches/preview", {"filter": filters_of(**chosen)})
    if as_json:
        print_json(answer)
        return
    print_table(answer.rows("executions"), FOUND, none="the filter finds no execution")
    count = answer.field("matched", int)
    click.echo(f"{'' if answer.value.get('is_complete') else 'at least '}{count} {_executions(count)}")


@batch.command(epilog=EPILOG)
@click.argument("action", type=click.Choice(ACTIONS))
@click.option("--signal", "name", help="Name of the signal, for the action signal.")
@click.option("--input", "input_text", help=f"Of the signal; or for reruns, instead of the input of each. {INPUT_HELP}")
@click.option("--to", type=click.Choice(["last", "start"]), help="For reset: before the last step (default), or the start.")
@click.option("--exclude-signals", is_flag=True, help="For reset: leave out signals after that point.")
@click.option("--exclude-updates", is_flag=True, help="For reset: leave out updates after that point.")
@click.option("--everything", is_flag=True, help="All executions of the workspace: instead of a filter.")
@click.option("--batch-id", help="The job's id. A repeat with the same one starts no second job. Default: generated.")
@click.option("--reason", help="Why, for people: in the audit trail, and in the histories of resets and retries.")
@filter_options
@_wait_option
@_timeout_option
@json_option
@with_client
def start(client: Client, *, action: str, wait: bool, timeout: float | None, as_json: bool, **chosen: Any) -> None:
    """Start a job that does ACTION to every execution that the filter finds. It goes on without this command."""
    _check_timeout(timeout, wait=wait)
    of_action = {name: chosen.pop(name) for name in OF_ACTIONS}
    of_job = {name: chosen.pop(name) or None for name in ("batch_id", "reason", "everything")}
    input_text = chosen.pop("input_text")
    body: dict[str, Any] = {"filter": filters_of(**chosen), "action": _action(action, of_action)}
    if input_text is not None:
        body["input"] = json_object(input_text, "--input", "the parameters of the signal or of the entrypoint")
    body |= {name: value for name, value in of_job.items() if value is not None}
    _show(client, client.post("/v1/batches", body), timeout, wait=wait, as_json=as_json)


@batch.command(name="list")
@click.option("--status", type=click.Choice(STATUSES, case_sensitive=False), help="Only jobs with this status.")
@limit_option
@json_option
@with_client
def list_(client: Client, *, status: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first. Those that have ended are kept for 30 days."""
    found = BATCHES.read(client, {"status": status} if status else {}, limit)
    shown = [{**row, "kind": row["action"]["kind"]} for row in found.rows(BATCHES.rows)]
    BATCHES.show(found, COLUMNS, none="no batch jobs", as_json=as_json, shown=lambda _: shown)


@batch.command(epilog=EPILOG)
@click.argument("batch_id")
@_wait_option
@_timeout_option
@json_option
@with_client
def get(client: Client, *, batch_id: str, wait: bool, timeout: float | None, as_json: bool) -> None:
    """Show a job, and how far it has come."""
    _check_timeout(timeout, wait=wait)
    _show(client, client.get(_path(batch_id)), timeout, wait=wait, as_json=as_json)


@batch.command()
@click.argument("batch_id")
@limit_option
@json_option
@with_client
def failures(client: Client, *, batch_id: str, limit: int, as_json: bool) -> None:
    """List the executions with which a job failed, and why."""
    listing = Listing(f"{_path(batch_id)}/failures", "failures")
    listing.show(listing.read(client, {}, limit), FAILED, none="no failures", as_json=as_json)


@batch.command()
@click.argument("batch_id")
@json_option
@with_client
def abort(client: Client, *, batch_id: str, as_json: bool) -> None:
    """Stop a job. Up to 50 executions may still be acted on; what was done stays done."""
    answer = client.post(f"{_path(batch_id)}/abort")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"batch job {batch_id} is aborted")


def _action(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Put an action together of the options that are its own. Raises: click.UsageError for others."""
    chosen = {name: value for name, value in options.items() if value}
    for name in chosen:
        option, of = OF_ACTIONS[name]
        if of != kind:
            raise click.UsageError(f"{option} is for the action {of}, not for {kind}: leave it out")
    if kind == "signal" and not chosen:
        raise click.UsageError("say which signal: --signal NAME")
    return {"kind": kind, **chosen}


def _check_timeout(timeout: float | None, *, wait: bool) -> None:
    if timeout is not None and not wait:
        raise click.UsageError("--timeout says how long to wait: give it with --wait")


# --- waiting ----------------------------------------------------------------------------------------------------------


def _show(client: Client, job: Answer, timeout: float | None, *, wait: bool, as_json: bool) -> None:
    """Print a job, if wanted once it has ended. Raises: CommandFailed if it ended otherwise than well."""
    if wait:
        job = _end_of(client, job, timeout)
    if as_json:
        print_json(job)
    else:
        print_record(job.value, FIELDS)
    if wait:
        _require_success(job, timeout)


def _end_of(client: Client, job: Answer, timeout: float | None) -> Answer:
    """Return a job as it ended, or as it stands when the time is over."""
    batch_id, deadline = job.field("batch_id", str), Deadline(client.server, timeout)
    try:
        with progress_line() as say:
            while job.value.get("status") == "RUNNING" and deadline.left:
                say(_progress(job))
                client.run(_pause(min(LOOK_SECONDS, deadline.left)))
                job = client.run(call(client.server, Request("GET", _path(batch_id)), patience=PATIENCE_SECONDS))
    except ClientError as failed:
        raise CommandFailed(f"batch job {batch_id} was started, but then: {failed.message}") from None
    except KeyboardInterrupt:
        click.echo(f"batch job {batch_id} goes on: see `levante batch get {batch_id}`", err=True)
        raise
    return job


def _pause(seconds: float) -> Steps[None]:
    yield Pause(seconds)


def _progress(job: Answer) -> str:
    value = job.value
    reached = f", up to those started at {cell(value['reached'])}" if value.get("reached") else ""
    return f"{value.get('done')} done, {value.get('skipped')} skipped, {value.get('failed')} failed{reached}"


def _require_success(job: Answer, timeout: float | None) -> None:
    """Let the exit code tell. Raises: OutOfTime, NotCompleted."""
    batch_id, status, count = job.field("batch_id", str), job.field("status", str), job.field("failed", int)
    if status == "RUNNING":
        raise OutOfTime(f"batch job {batch_id} is still running after {timeout or 0:g} s; it goes on")
    if count:
        raise NotCompleted(
            f"it is {status}, and {count} {_executions(count)} failed: see `levante batch failures {batch_id}`"
        )
    if status != "COMPLETED":
        raise NotCompleted(f"batch job {batch_id} did not complete, it is {status}")


def _executions(count: int) -> str:
    return "execution" if count == 1 else "executions"


def _path(batch_id: str) -> str:
    return f"/v1/batches/{segment(batch_id)}"
