"""The option of commands that work on the host's data directory."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from levante_core.protocol.local_key import DATA_DIRECTORY, DATA_VARIABLE

Command = TypeVar("Command", bound=Callable[..., object])


def data_option(what: str) -> Callable[[Command], Command]:
    """Give a command the option `--data`. what: it is, as help says."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=DATA_DIRECTORY,
        envvar=DATA_VARIABLE,
        show_default=True,
        help=f"{what} Default: LEVANTE_DATA, else this.",
    )
