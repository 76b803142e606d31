"""Commands of other packages: found by their entry points, imported only when they are called."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from levante.cli.exits import CommandFailed

GROUP = "levante.commands"
WELL_KNOWN: Mapping[str, str] = {
    "backup": "Copy the data of a host on this machine, while it works.",
    "dev": "Run the whole service on this machine.",
}
"""Commands that belong to Levante though another package has them. `levante --help` imports nothing to describe them."""


def plugin_names() -> list[str]:
    """Name the commands of other packages; those that every installation should have, too."""
    return sorted({*WELL_KNOWN, *(point.name for point in entry_points(group=GROUP))})


def find_plugin(name: str) -> click.Command | None:
    """Return a command that is not imported yet."""
    points = list(entry_points(group=GROUP, name=name))
    if not points and name not in WELL_KNOWN:
        return None
    return _Plugin(name, points[0] if points else None)


class _Plugin(click.Command):
    """Stands for a command until that is called."""

    def __init__(self, name: str, point: EntryPoint | None) -> None:
        provided = f"Provided by {point.module}." if point else None
        super().__init__(name, short_help=WELL_KNOWN.get(name) or provided)
        self._point = point

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Import the command, and let it read its arguments. Raises: CommandFailed if it cannot be imported."""
        return self._load().make_context(info_name, args, parent, **extra)

    def _load(self) -> click.Command:
        if self._point is None:
            problem = f"the command {self.name!r} is not installed in this environment"
            raise CommandFailed(f"{problem}: `pip install levante` brings it, in a checkout `pip install -e .`")
        try:
            command = self._point.load()
        except Exception as error:
            problem = f"the command {self.name!r} ({self._point.value}) cannot be loaded"
            reason = f"{type(error).__name__}: {error}"
            raise CommandFailed(f"{problem}: {reason}; install its package again, or remove it") from error
        if not isinstance(command, click.Command):
            raise CommandFailed(f"the command {self.name!r} ({self._point.value}) is no click command: remove its package")
        return command
