"""`levante redrive`: queues are disposable."""

from __future__ import annotations

import click

from levante.cli.client import Client
from levante.cli.options import json_option, with_client
from levante.cli.output.progress import progress_line
from levante.cli.output.text import print_value


@click.command()
@json_option
@with_client
def redrive(client: Client, *, as_json: bool) -> None:
    """Send again all tasks that the workspace's open executions need. Requires an admin's key.

    Use it after queues were deleted or purged, or when messages are in a dead-letter queue. It is harmless at any time.
    """
    count, after = 0, None
    with progress_line() as say:
        while True:
            answer = client.post("/v1/redrive", {} if after is None else {"after": after})
            count += answer.field("executions", int)
            after = answer.value.get("next")
            if after is None:
                break
            say(f"{count} open executions so far")
    if as_json:
        print_value({"executions": count, "next": None})
    else:
        click.echo(f"{count} open executions carry on")
