"""The options that say which runs are meant: of the listing, and of batch jobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from levante.cli.options import STATUSES

T = TypeVar("T", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--workflow", "workflow_identifier", help="Only runs of this workflow (name or id)."),
    click.option(
        "--status",
        multiple=True,
        type=click.Choice(STATUSES, case_sensitive=False),
        help="Only runs with this status; repeatable.",
    ),
    click.option("--deployment-name", help="Only runs on this deployment."),
    click.option("--root", "root_execution_id", help="Only runs of this root execution and of all executions below it."),
    click.option("--search", help="Only those with these words in an id or in the workflow's name."),
    click.option("--user-id", help="Only those started with this API key, directly or through a parent; current: your key."),
    click.option("--search-key", multiple=True, help="KEY, KEY:PART, KEY==:VALUE or KEY== (no value); up to three times."),
    click.option("--tag", "workflow_tags", multiple=True, help="Only runs of workflows with this tag; repeatable."),
    click.option("--started-after", "start_time_after", help="A time with its zone, such as 2027-01-01T00:00:00Z."),
    click.option("--started-before", "start_time_before", help="Same."),
    click.option("--ended-after", "end_time_after", help="Same."),
    click.option("--ended-before", "end_time_before", help="Same."),
    click.option(
        "--internal/--no-internal", "include_internal", default=None, help="Include or leave out Levante's own workflows."
    ),
    click.option("--stuck", is_flag=True, help="Only blocked runs, for example because their code fails."),
)


def filter_options(command: T) -> T:
    """Give a command the options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def filters_of(*, stuck: bool, **chosen: Any) -> dict[str, Any]:
    """Return what was chosen as a filter in a body."""
    filters = {name: value for name, value in chosen.items() if value is not None and value != ()}
    return {**filters, **({"is_blocked": True} if stuck else {})}
