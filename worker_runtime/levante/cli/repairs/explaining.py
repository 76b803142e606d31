"""`levante executions explain`: what an execution waits for, who has to act, and which command helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

import click

from levante.cli.client import Client
from levante.cli.exits import one_line
from levante.cli.options import json_option, with_client
from levante.cli.output.text import cell, print_json
from levante.client.requests import explain as request_to_explain

ACTORS = {
    "nobody": "goes on by itself",
    "worker": "a worker has to act",
    "caller": "a caller has to act",
    "operator": "an operator has to act",
    "developer": "a developer has to act",
}


HELP = {
    ("activity", "retry"): "retry-activity {id} {seq}",
    ("activity", "complete"): "complete-activity {id} {seq} --result JSON",
    ("activity", "fail"): "fail-activity {id} {seq} --message TEXT",
    ("rate", "complete"): "complete-activity {id} {seq} --result JSON",
    ("rate", "fail"): "fail-activity {id} {seq} --message TEXT",
    ("timer", "skip"): "skip-timer {id} {seq}",
    ("child", "complete"): "complete-child {id} {seq} --result JSON",
    ("child", "fail"): "fail-child {id} {seq} --message TEXT",
    ("", "reset"): "reset {id} --event EVENT",
    ("", "resume"): "resume {id}",
}
"""The command that is a remedy, by what is repaired."""


@click.command()
@click.argument("execution_id")
@json_option
@with_client
def explain(client: Client, *, execution_id: str, as_json: bool) -> None:
    """Say what an execution waits for, who has to act, and what can be done by hand."""
    request = request_to_explain(execution_id)
    answer = client.get(request.path)
    if as_json:
        print_json(answer)
        return
    click.echo(one_line(f"{answer.field('status', str)}: {answer.field('summary', str)}"))
    for wait in answer.rows("waits"):
        click.echo("")
        for line in _lines(execution_id, wait):
            click.echo(line)


def _lines(execution_id: str, wait: Mapping[str, Any]) -> Iterator[str]:
    yield one_line(f"{wait.get('kind')}: {wait.get('message')}")
    times = [f"{name} {cell(wait[name]).rstrip('Z')} UTC" for name in ("since", "until") if wait.get(name)]
    yield f"  {', '.join([*times, ACTORS.get(str(wait.get('actor')), str(wait.get('actor')))])}"
    kind = str(wait.get("kind"))
    what = kind if kind in ("timer", "child") else kind.partition("_")[0]
    for remedy in wait.get("remedies") or ():
        command = HELP.get((what, remedy)) or HELP.get(("", remedy))
        if command:
            yield "  " + one_line(f"levante executions {command.format(id=quote(execution_id), seq=wait.get('seq'))}")
