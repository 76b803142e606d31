"""`levante schedules`: executions that start by themselves."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from levante.cli.client import Client
from levante.cli.options import INPUT_HELP, INPUT_KEYS, given, json_option, one_of, registration_option, with_client
from levante.cli.output.json_texts import json_object, json_value
from levante.cli.output.text import Column, print_json, print_record, print_table
from levante.client.answers import Answer
from levante.client.requests import segment

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = "/v1/workflows/schedules"
OVERLAPS = {
    "skip": 1,
    "buffer-one": 2,
    "buffer-all": 3,
    "cancel-other": 4,
    "terminate-other": 5,
    "allow-all": 6,
}
COLUMNS = [
    Column("schedule_id", "SCHEDULE"),
    Column("workflow_name", "WORKFLOW"),
    Column("paused", "PAUSED"),
    Column("next", "NEXT"),
    Column("last", "LAST"),
    Column("note", "NOTE", 40),
]
_SHORT_DURATION = re.compile(r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?")
"""Days, hours, minutes and seconds."""
TIMES = ["calendars", "intervals", "cron_expressions", "skip", "start_at", "end_at", "jitter", "time_zone_name"]
RECORD = [
    "schedule_id",
    "workflow_name",
    "deployment_name",
    "paused",
    "note",
    *TIMES,
    "policy",
    "remaining_executions",
    "input",
]


def definition_options(command: Command) -> Command:
    """Add the options that say what a schedule is."""
    options = [
        click.option("--cron", "cron_expressions", multiple=True, help="Five fields; may be repeated."),
        click.option("--every", multiple=True, help="As 10s, 1h30m or PT1H; 1h+5m is moved by five minutes."),
        click.option("--calendar", "calendars", multiple=True, help="A JSON object of ranges; may be repeated."),
        click.option("--skip", multiple=True, help="A JSON object as for --calendar: times that are left out."),
        click.option("--time-zone", "time_zone_name", help="An IANA name, as Europe/Paris. Default: UTC."),
        click.option("--start-at", help="No times before this one, as 2027-01-01T00:00:00Z."),
        click.option("--end-at", help="No times after this one."),
        click.option("--jitter", help="An ISO 8601 duration that times may be late by."),
        click.option("--overlap", type=click.Choice(list(OVERLAPS)), help="While executions are open. Default: skip."),
        click.option("--catch-up-seconds", type=click.IntRange(1), help="How late times are caught up. Default: a year."),
        click.option("--pause-on-failure", is_flag=True, help="Start nothing more once an execution has failed."),
        click.option("--max-executions", type=click.IntRange(0), help="How many in all."),
        click.option("--input", "input_text", help=INPUT_HELP),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def schedules() -> None:
    """Make, look at and change schedules."""


@schedules.command(name="list")
@click.option("--workflow", "workflow_name", help="Only schedules of this workflow, by its name.")
@click.option("--status", type=click.Choice(["active", "paused"]))
@click.option("--search", help="Only those with these words in their id or in the name of their workflow.")
@click.option("--user-id", help="Only those made with this API key; current: with yours.")
@json_option
@with_client
def list_(client: Client, *, as_json: bool, **filters: str | None) -> None:
    """List schedules by id."""
    found = client.get(PATH, given(filters))
    if as_json:
        print_json(found)
    else:
        print_table([_shown(row) for row in found.rows("schedules")], COLUMNS, none="no schedules")


@schedules.command()
@click.argument("schedule_id")
@json_option
@with_client
def get(client: Client, *, schedule_id: str, as_json: bool) -> None:
    """Show a schedule, its next ten times and its last ten executions."""
    found = client.get(_path(schedule_id))
    if as_json:
        print_json(found)
        return
    found.field("schedule_id", str)
    print_record({name: value for name, value in found.value.items() if value != []}, RECORD)
    for one in found.value["future_executions"]:
        click.echo(f"next  {one['scheduled_at']}")
    for one in found.value["recent_executions"]:
        click.echo(f"last  {one['scheduled_at']}  {one['execution_id']}")


@schedules.command()
@click.argument("workflow", required=False)
@registration_option
@click.option("--schedule-id", help="The schedule's id. Default: made by the API.")
@click.option("--deployment-name", help="Which deployment, if several serve the workflow.")
@definition_options
@json_option
@with_client
def create(client: Client, *, workflow: str | None, registration_id: str | None, as_json: bool, **said: Any) -> None:
    """Make a schedule of WORKFLOW, a name or id. It counts from now on."""
    one_of(workflow, registration_id)
    chosen = {name: said.pop(name) for name in ("schedule_id", "deployment_name")}
    what = {"workflow_identifier": workflow, "workflow_registration_id": registration_id, **chosen}
    body = {"schedule": {"input": None, **_definition(**said)}, **given(what)}
    made = client.post(PATH, body)
    _say(made, made.field("schedule_id", str), as_json=as_json)


@schedules.command()
@click.argument("schedule_id")
@definition_options
@json_option
@with_client
def update(client: Client, *, schedule_id: str, as_json: bool, **said: Any) -> None:
    """Change what is given; other times count from now on. A policy is given whole."""
    changed = client.patch(_path(schedule_id), {"schedule": _definition(**said)})
    _say(changed, f"schedule {schedule_id} is changed", as_json=as_json)


@schedules.command()
@click.argument("schedule_id")
@click.option("--note", help="Why.")
@json_option
@with_client
def pause(client: Client, *, schedule_id: str, note: str | None, as_json: bool) -> None:
    """Start nothing until it is resumed."""
    _say(client.post(f"{_path(schedule_id)}/pause", {"note": note}), f"schedule {schedule_id} is paused", as_json=as_json)


@schedules.command()
@click.argument("schedule_id")
@click.option("--note", help="Why.")
@json_option
@with_client
def resume(client: Client, *, schedule_id: str, note: str | None, as_json: bool) -> None:
    """Go on; what was missed meanwhile is not caught up."""
    _say(client.post(f"{_path(schedule_id)}/resume", {"note": note}), f"schedule {schedule_id} goes on", as_json=as_json)


@schedules.command()
@click.argument("schedule_id")
@click.option("--overlap", type=click.Choice(list(OVERLAPS)), help="Instead of the schedule's own.")
@json_option
@with_client
def trigger(client: Client, *, schedule_id: str, overlap: str | None, as_json: bool) -> None:
    """Start an execution now, as far as the overlap policy allows that."""
    answer = client.post(f"{_path(schedule_id)}/trigger", {"overlap": OVERLAPS[overlap] if overlap else None})
    _say(answer, f"schedule {schedule_id} was triggered", as_json=as_json)


@schedules.command()
@click.argument("schedule_id")
@json_option
@with_client
def delete(client: Client, *, schedule_id: str, as_json: bool) -> None:
    """Remove a schedule; executions that it has started go on."""
    _say(client.delete(_path(schedule_id)), f"schedule {schedule_id} is removed", as_json=as_json)


def _definition(
    *,
    every: tuple[str, ...],
    calendars: tuple[str, ...],
    skip: tuple[str, ...],
    overlap: str | None,
    catch_up_seconds: int | None,
    pause_on_failure: bool,
    input_text: str | None,
    **rest: Any,
) -> dict[str, Any]:
    """Write what was said as the API takes it, without what was not."""
    policy = {
        "overlap": OVERLAPS[overlap] if overlap else None,
        "catchup_window_seconds": catch_up_seconds,
        "pause_on_failure": pause_on_failure or None,
    }
    said = {
        **rest,
        "intervals": [_interval(one) for one in every],
        "calendars": [json_value(one, "--calendar") for one in calendars],
        "skip": [json_value(one, "--skip") for one in skip],
        "policy": {name: value for name, value in policy.items() if value is not None},
    }
    definition = {name: value for name, value in said.items() if value not in (None, (), [], {})}
    if input_text is not None:
        definition["input"] = json_object(input_text, "--input", INPUT_KEYS)
    return definition


def _interval(text: str) -> dict[str, str]:
    every, plus, offset = text.partition("+")
    interval = {"every": _iso_duration(every)}
    return {**interval, "offset": _iso_duration(offset)} if plus else interval


def _iso_duration(text: str) -> str:
    """Write `10s`, `5m` or `1h30m` as ISO 8601 has it; what is of another form is the API's to judge."""
    found = _SHORT_DURATION.fullmatch(text.strip().lower())
    if not found or not any(found.groups()):
        return text
    days, *rest = (part.upper() if part else "" for part in found.groups())
    time = "".join(rest)
    return f"P{days}{'T' if time else ''}{time}"


def _say(answer: Answer, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        click.echo(what)


def _shown(schedule: dict[str, Any]) -> dict[str, Any]:
    """Add when a schedule comes next, and when it came last."""
    ahead, behind = schedule["future_executions"], schedule["recent_executions"]
    return {
        **schedule,
        "next": ahead[0]["scheduled_at"] if ahead else None,
        "last": behind[-1]["scheduled_at"] if behind else None,
    }


def _path(schedule_id: str) -> str:
    return f"{PATH}/{segment(schedule_id)}"
