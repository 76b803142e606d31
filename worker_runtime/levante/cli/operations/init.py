"""`levante init`: a small project to begin with."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import click

from levante.cli.exits import EPILOG, CommandFailed

TEMPLATES = "new_project"
SUFFIX = ".template"
HIDDEN = {"gitignore": ".gitignore"}
"""Files that have another name in a project: a package with these would hide its own files."""


@click.command(epilog=EPILOG)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=Path())
def init(directory: Path) -> None:
    """Create a small project in DIRECTORY (default: the current one), with a workflow, a test, and a Dockerfile.

    Existing files are not changed.
    """
    name = re.sub(r"[^a-z0-9-]+", "-", directory.resolve().name.lower()).strip("-") or "shop"
    texts = {directory / file: text.replace("{name}", name) for file, text in _templates().items()}
    there = [path for path in texts if path.exists()]
    if there:
        raise CommandFailed(f"{', '.join(map(str, there))} is there already: name another directory. Nothing was written")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"{directory} cannot be written: {error.strerror or error}") from None
    for path in texts:
        click.echo(f"wrote {path}")
    where = "" if directory == Path() else f"cd {directory} && "
    click.echo(f"\nGo on with:  {where}levante dev checkout.py")


def _templates() -> dict[str, str]:
    """Return the texts by the name that the file has in a project."""
    found = {
        file.name.removesuffix(SUFFIX): file.read_text(encoding="utf-8")
        for file in files("levante.cli").joinpath(TEMPLATES).iterdir()
        if file.name.endswith(SUFFIX)
    }
    return {HIDDEN.get(name, name): text for name, text in sorted(found.items())}
