"""`levante stats`: how executions ended, how long they took, what waits, and what one cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.options import given, json_option, with_client
from levante.cli.output.text import Column, print_json, print_table
from levante.client.answers import Answer
from levante.client.requests import execution_path, segment

STATISTICS = "/v1/statistics"
OTHERS = "(others)"
WORKFLOWS = [
    Column("workflow_name", "WORKFLOW"),
    Column("completed", "COMPLETED"),
    Column("failed", "FAILED"),
    Column("other", "OTHER"),
    Column("p50", "P50"),
    Column("p95", "P95"),
    Column("p99", "P99"),
    Column("failures", "FAILURES", 60),
]
ACTIVITIES = [
    Column("activity_name", "ACTIVITY"),
    Column("count", "SAMPLED"),
    Column("p50", "P50"),
    Column("p95", "P95"),
    Column("p99", "P99"),
]
QUEUES = [
    Column("queue", "QUEUE"),
    Column("build_id", "BUILD"),
    Column("waiting", "WAITING"),
    Column("in_flight", "IN FLIGHT"),
    Column("delayed", "DELAYED"),
    Column("oldest", "OLDEST"),
]

COSTS = [Column("unit", "UNIT"), Column("count", "COUNT"), Column("usd", "USD")]

period_option = click.option(
    "--period",
    type=click.Choice(["hour", "day", "week", "month"]),
    help="What ended in this time, from a whole hour on. Default: day.",
)


@click.group()
def stats() -> None:
    """How executions ended, how long they took, and what waits."""


@stats.command()
@period_option
@click.option("--workflow", "workflow_name", help="Only this workflow.")
@json_option
@with_client
def workflows(client: Client, *, as_json: bool, **query: str | None) -> None:
    """Show per workflow how its runs ended, and how long those took that completed."""
    found = client.get(STATISTICS, given(query))
    rows = [_workflow(row) for row in found.field("workflows", list)]
    _show(found, rows, WORKFLOWS, none="nothing ended", as_json=as_json)


@stats.command()
@period_option
@json_option
@with_client
def activities(client: Client, *, as_json: bool, **query: str | None) -> None:
    """Show how long activities take, by a sample of executions that completed."""
    found = client.get(STATISTICS, given(query))
    rows = [
        {"activity_name": row["activity_name"] or OTHERS, **_durations(row["duration"])}
        for row in found.field("activities", list)
    ]
    _show(found, rows, ACTIVITIES, none="no activity is in the sample", as_json=as_json)


@stats.command()
@click.argument("deployment")
@json_option
@with_client
def backlog(client: Client, *, deployment: str, as_json: bool) -> None:
    """Show how many tasks wait for the workers of a deployment, and since when."""
    found = client.get(f"/v1/workflows/deployments/{segment(deployment)}/backlog")
    rows = [{**row, "oldest": _seconds(row["oldest_waiting_seconds"])} for row in found.field("queues", list)]
    _show(found, rows, QUEUES, none="nothing was ever sent to this deployment", as_json=as_json)


@stats.command()
@click.argument("execution_id")
@json_option
@with_client
def cost(client: Client, *, execution_id: str, as_json: bool) -> None:
    """Show what an execution has cost on AWS, estimated from its history, at list prices."""
    found = client.get(f"{execution_path(execution_id)}/cost")
    rows = [
        {"unit": row["unit"], "count": f"{row['count']:g}", "usd": f"{row['usd']:.8f}"} for row in found.field("units", list)
    ]
    _show(found, [*rows, {"unit": "all", "usd": f"{found.field('usd', float):.8f}"}], COSTS, none="", as_json=as_json)


def _show(answer: Answer, rows: list[dict[str, Any]], columns: list[Column], *, none: str, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    print_table(rows, columns, none=none)
    if answer.value.get("is_partial"):
        click.echo("there is more, which is not counted yet", err=True)


def _workflow(row: Mapping[str, Any]) -> dict[str, Any]:
    closed = dict(row["closed"])
    completed, failed = closed.pop("COMPLETED", 0), closed.pop("FAILED", 0)
    failures = ", ".join(f"{failure['type'] or OTHERS} {failure['count']}" for failure in row["failures"])
    return {
        "workflow_name": row["workflow_name"] or OTHERS,
        "completed": completed,
        "failed": failed,
        "other": ", ".join(f"{status} {count}" for status, count in sorted(closed.items())) or None,
        "failures": failures or None,
        **_durations(row["duration"]),
    }


def _durations(duration: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: _seconds(duration[f"{name}_seconds"]) for name in ("p50", "p95", "p99")}
    return {"count": duration["count"], **shown}


def _seconds(seconds: float | None) -> str | None:
    """Write a duration with three digits, in the unit that people would use."""
    if seconds is None:
        return None
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1000:.3g} ms"
