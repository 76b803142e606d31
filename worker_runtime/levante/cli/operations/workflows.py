"""`levante workflows`: which workflows there are, and what is said of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import CommandFailed
from levante.cli.options import STATUSES, given, json_option, limit_option, with_client
from levante.cli.output.paging import Listing
from levante.cli.output.text import Column, print_json, print_record, print_value
from levante.client.answers import Answer
from levante.client.requests import in_batches, segment

WORKFLOWS = Listing("/v1/workflows", "workflows")
COLUMNS = [
    Column("name", "NAME"),
    Column("display_name", "DISPLAY NAME", 40),
    Column("archived", "ARCHIVED"),
    Column("description", "DESCRIPTION", 60),
]
RECORD = ["name", "id", "display_name", "description", "active", "archived", "is_technical", "tags", "workspace_id"]
METRICS = ["execution_count", "success_count", "error_count", "average_latency_ms", "blocked_count"]

names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME...")


@click.group()
def workflows() -> None:
    """Inspect workflows, and change how they are shown."""


@workflows.command(name="list")
@click.option("--internal", is_flag=True, help="Include Levante's own workflows; --json always does.")
@click.option("--search", help="Only those with this in their names, description or id.")
@click.option("--tag", "tags", multiple=True, help="Only those with this tag; repeatable.")
@click.option("--deployment-name", multiple=True, help="Only those registered by this deployment; repeatable.")
@click.option(
    "--status",
    "deployment_status",
    type=click.Choice(["active", "inactive"]),
    help="Only those served by live workers, or only others.",
)
@click.option(
    "--run-status",
    "status",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only those with a run in this status; repeatable.",
)
@click.option("--archived/--not-archived", default=None, help="Only archived ones, or only others.")
@click.option("--order", type=click.Choice(["asc", "desc"]), help="By display name. Default: asc.")
@limit_option
@json_option
@with_client
def list_(client: Client, *, limit: int, as_json: bool, internal: bool, **filters: Any) -> None:
    """List the workflows that workers have registered, without Levante's own."""
    WORKFLOWS.show(
        WORKFLOWS.read(client, given(filters), limit),
        COLUMNS,
        none="no workflows: start a worker with `levante worker`",
        as_json=as_json,
        shown=lambda rows: [row for row in rows if internal or not row.get("is_technical")],
    )


@workflows.command()
@click.argument("name")
@json_option
@with_client
def get(client: Client, *, name: str, as_json: bool) -> None:
    """Show the workflow NAME (name or id)."""
    _show(client.get(_path(name)), as_json=as_json)


@workflows.command()
@click.argument("name")
@click.option("--display-name", help="Name to show instead.")
@click.option("--description", help="What it is for.")
@click.option("--tag", "tags", multiple=True, help="Replace all tags with these; repeatable.")
@click.option("--no-tags", is_flag=True, help="Remove all tags.")
@click.option(
    "--as-in-code",
    multiple=True,
    type=click.Choice(["display_name", "description"]),
    help="Show again the value from the code; repeatable.",
)
@json_option
@with_client
def update(
    client: Client,
    *,
    name: str,
    tags: tuple[str, ...],
    no_tags: bool,
    as_in_code: tuple[str, ...],
    as_json: bool,
    **texts: str | None,
) -> None:
    """Change how a workflow is shown. Options that you leave out change nothing."""
    if tags and no_tags:
        raise click.UsageError("--tag and --no-tags say two things: give one of them")
    twice = [field for field in as_in_code if texts[field] is not None]
    if twice:
        raise click.UsageError(f"{twice[0]} is given, and to be as in the code: give one of them")
    body = {field: text for field, text in texts.items() if text is not None}
    changes = {**body, **dict.fromkeys(as_in_code), **({"tags": list(tags)} if tags or no_tags else {})}
    if not changes:
        raise click.UsageError("say what to change: --display-name, --description, --tag, --no-tags or --as-in-code")
    _show(client.put(_path(name), changes), as_json=as_json)


@workflows.command()
@click.argument("name")
@click.argument("tags", nargs=-1, required=True, metavar="TAG...")
@json_option
@with_client
def tag(client: Client, *, name: str, tags: tuple[str, ...], as_json: bool) -> None:
    """Add tags to a workflow."""
    answer = client.post(f"{_path(name)}/tags", {"tags": list(tags)})
    if as_json:
        print_json(answer)
    else:
        click.echo(f"workflow {name} has these tags now, too: {', '.join(tags)}")


@workflows.command()
@names_argument
@json_option
@with_client
def archive(client: Client, *, names: tuple[str, ...], as_json: bool) -> None:
    """Archive workflows. They work as before, and listings can leave them out."""
    _each(client, "archive", names, as_json=as_json)


@workflows.command()
@names_argument
@json_option
@with_client
def unarchive(client: Client, *, names: tuple[str, ...], as_json: bool) -> None:
    """Undo the archiving of workflows."""
    _each(client, "unarchive", names, as_json=as_json)


@workflows.command()
@click.argument("name")
@click.option(
    "--started-after", "start_time", help="A time with its zone, such as 2027-01-01T00:00:00Z. Default: a day before."
)
@click.option("--started-before", "end_time", help="Default: now.")
@json_option
@with_client
def metrics(client: Client, *, name: str, as_json: bool, **period: str | None) -> None:
    """Count and measure the executions of a workflow that started in a period."""
    found = client.get(f"{_path(name)}/metrics", given(period))
    if as_json:
        print_json(found)
        return
    print_record({field: found.field(field, dict).get("value") for field in METRICS}, METRICS)


def _path(name: str) -> str:
    return f"/v1/workflows/{segment(name)}"


def _show(found: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        print_record(found.field("workflow", dict), RECORD)


def _each(client: Client, verb: str, names: Sequence[str], *, as_json: bool) -> None:
    """Do it to each on its own. Raises: CommandFailed, after the last one, if it could not be done to all."""
    done: list[dict[str, Any]] = []
    errored: list[dict[str, Any]] = []
    for some in in_batches(names):
        answer = client.put(f"/v1/workflows/{verb}", {"workflow_ids": some})
        done += answer.rows(f"{verb}d")
        errored += answer.rows("errored")
    if as_json:
        print_value({f"{verb}d": done, "errored": errored})
    else:
        for one in done:
            click.echo(f"workflow {one.get('name')} is {verb}d")
    if errored:
        raise CommandFailed("; ".join(f"{one.get('workflow_id')}: {one.get('message')}" for one in errored))
