"""How one execution, or one run of it, is found and shown."""

from __future__ import annotations

import click

from levante.cli.executions.blockers import messages_of
from levante.cli.output.color import warning
from levante.cli.output.text import print_json, print_record
from levante.client.answers import Answer

RECORD = [
    "execution_id",
    "workflow_name",
    "status",
    "start_time",
    "end_time",
    "deadline_at",
    "deployment_name",
    "build_id",
    "parent_execution_id",
    "run_id",
    "search_keys",
    "parked",
    "result",
    "failure",
]


def print_execution(answer: Answer, *, as_json: bool) -> None:
    """Print an execution."""
    if as_json:
        print_json(answer)
        return
    answer.field("execution_id", str)
    print_record({name: value for name, value in answer.value.items() if value != {}}, RECORD)
    for message in messages_of(answer.value):
        click.echo(warning(f"blocked: {message}"))
