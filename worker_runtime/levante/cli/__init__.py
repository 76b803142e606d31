"""The command `levante`: nouns, then verbs. Other packages add commands through the entry points `levante.commands`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from levante.cli.completion import completion
from levante.cli.executions.activities import activities
from levante.cli.executions.executions import executions
from levante.cli.executions.replay import replay
from levante.cli.executions.runs import runs
from levante.cli.exits import EPILOG, Exit
from levante.cli.operations.audit import audit
from levante.cli.operations.deployments import deployments
from levante.cli.operations.init import init
from levante.cli.operations.keys import keys
from levante.cli.operations.parked import parked
from levante.cli.operations.redrive import redrive
from levante.cli.operations.registrations import registrations
from levante.cli.operations.schedules import schedules
from levante.cli.operations.worker import worker
from levante.cli.operations.workflows import workflows
from levante.cli.output.color import are_colors_refused
from levante.cli.plugins import find_plugin, plugin_names
from levante.cli.repairs.batches import batch
from levante.cli.statistics.stats import stats

__all__ = ["main"]


class _Commands(click.Group):
    """A group that knows the commands of other packages, and leaves them alone until they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name all commands."""
        return sorted({*super().list_commands(ctx), *plugin_names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command: ours first."""
        return super().get_command(ctx, cmd_name) or find_plugin(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. Ctrl-C ends it without a word more, with a code of its own."""
        ctx.color = False if are_colors_refused() else None
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            ctx.exit(Exit.INTERRUPTED)


def _print_version(context: click.Context, _option: click.Parameter, is_wanted: bool) -> None:  # noqa: FBT001 - click's form
    if not is_wanted or context.resilient_parsing:
        return
    try:
        click.echo(f"levante {version('levante')}")
    except PackageNotFoundError:
        click.echo("levante, not installed: a checkout")
    context.exit()


@click.group(cls=_Commands, epilog=EPILOG)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version and exit."
)
def main() -> None:
    """Durable workflows.

    Server and key come from options of the commands, from LEVANTE_SERVER_URL and LEVANTE_API_KEY (SERVER_URL and
    MISTRAL_API_KEY work too) in the environment, or from the file .env in the working directory.
    """


for _command in (
    activities,
    audit,
    batch,
    completion,
    deployments,
    executions,
    init,
    keys,
    parked,
    redrive,
    registrations,
    replay,
    runs,
    schedules,
    stats,
    worker,
    workflows,
):
    main.add_command(_command)
