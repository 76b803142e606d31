"""The command `levante`: nouns, then verbs. Other packages add commands through the entry points `levante.commands`."""

from __future__ import annotations

from importlib.metadata import entry_points, version

import click

from levante.cli.executions import executions
from levante.cli.keys import keys
from levante.cli.listings import deployments, workflows
from levante.cli.worker import worker

EPILOG = "Exit codes: 0 done, 1 refused or out of reach, 2 wrong usage, 3 the execution did not complete, 4 out of time."


class _Commands(click.Group):
    """A group that loads the commands of other packages only when they are called or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return sorted({*super().list_commands(ctx), *(point.name for point in entry_points(group="levante.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command of ours, else of another package."""
        command = super().get_command(ctx, cmd_name)
        if command is None:
            for point in entry_points(group="levante.commands", name=cmd_name):
                loaded: click.Command = point.load()
                return loaded
        return command


@click.group(cls=_Commands, epilog=EPILOG)
@click.version_option(version("levante"))
def main() -> None:
    """Durable workflows. Server and key come from LEVANTE_SERVER_URL and LEVANTE_API_KEY."""


for _command in (deployments, executions, keys, worker, workflows):
    main.add_command(_command)
