"""`levante redrive`: queues are disposable."""

from __future__ import annotations

import click

from levante.cli.client import Client
from levante.cli.options import with_client


@click.command()
@with_client
def redrive(client: Client) -> None:
    """Send again whatever the open executions of the workspace need to go on, with an admin's key.

    After queues were deleted or purged, or messages ended in a dead-letter queue. Harmless at any time.
    """
    count, after = 0, None
    while True:
        answer = client.post("/v1/redrive", {} if after is None else {"after": after})
        count += answer.field("executions", int)
        after = answer.value.get("next")
        if after is None:
            break
    click.echo(f"{count} open executions carry on")
