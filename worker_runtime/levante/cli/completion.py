"""`levante completion`: commands, options and their values, completed by the shell. click knows how."""

from __future__ import annotations

from collections.abc import Mapping

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

PROGRAM = "levante"
SHELLS: Mapping[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script for your shell that completes commands, options and their values.

    For bash, put `eval "$(levante completion bash)"` into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for fish,
    run `levante completion fish > ~/.config/fish/completions/levante.fish`.
    """
    complete = SHELLS[shell](context.find_root().command, {}, PROGRAM, f"_{PROGRAM.upper()}_COMPLETE")
    click.echo(complete.source())
