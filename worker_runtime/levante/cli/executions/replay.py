"""`levante replay`: whether the code of today matches what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic_core import from_json

from levante.cli.exits import EPILOG, CommandFailed, Exit
from levante.cli.targets import find_modules_here, workflows_of
from levante.definition.definitions import get_workflow_definition
from levante.errors import NonDeterminismError
from levante.replay.endings import WorkflowCodeFailed
from levante.replay.recorded import RecordedHistory


@click.command(epilog=EPILOG)
@click.argument("history", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.argument("target", metavar="PACKAGE.MODULE[:CLASS]")
@click.pass_context
def replay(context: click.Context, history: Path, target: str) -> None:
    """Replay a history, as `levante executions history ID --json` prints it, against the code of its workflow.

    If an execution with this history could not go on with this code, it prints the first difference and exits with 1.
    """
    try:
        recorded = RecordedHistory(_read(history))
    except ValueError as error:
        raise CommandFailed(f"{history}: {error}") from None
    find_modules_here()
    wanted = recorded.start.workflow_name
    found = {get_workflow_definition(cls).name: cls for cls in workflows_of([target])}
    if wanted not in found:
        raise CommandFailed(f"the history is of workflow {wanted!r}; {target} has {', '.join(sorted(found))}")
    try:
        recorded.replay(found[wanted])
    except NonDeterminismError as error:
        click.echo(str(error), err=True)
        context.exit(Exit.FAILED)
    except WorkflowCodeFailed as error:
        cause = error.__cause__ or error
        raise CommandFailed(f"the code of {wanted!r} raised {type(cause).__name__}: {cause}") from cause
    click.echo(f"{wanted}: the code matches this history")


def _read(history: Path) -> Any:
    with click.open_file(str(history), "rb") as file:
        return from_json(file.read())
