"""`levante backup`: a backup as a command."""

from pathlib import Path

import click

from levante_local.data_option import data_option
from levante_local.operations.backup import BackupFailed, back_up


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@data_option("Data directory of the host, which may be running.")
def backup(directory: Path, data: Path) -> None:
    """Copy the data directory of a host to DIRECTORY, while the host works.

    The copy is consistent, and is itself a data directory: to restore it, run `levante dev --data` with it.
    """
    try:
        made = back_up(data, directory)
    except (BackupFailed, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{made.directory}: {made.database_bytes} bytes in the database, {made.payloads} payloads")
