"""The option of commands that work on the host's data directory."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from levante_core.protocol.local_key import DATA_DIRECTORY
from levante_local.environment import HostEnvironment

Command = TypeVar("Command", bound=Callable[..., object])


def data_option(what: str) -> Callable[[Command], Command]:
    """Give a command the option `--data`. what: it is, as help says."""
    return click.option(
        "--data",
        type=click.Path(path_type=Path, file_okay=False),
        default=lambda: HostEnvironment().data,
        show_default=f"LEVANTE_DATA, else {DATA_DIRECTORY}",
        help=what,
    )
