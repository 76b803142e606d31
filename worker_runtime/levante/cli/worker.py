"""`levante worker`: serve the workflows of a module."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from types import ModuleType
from typing import Any

import click

from levante.cli.client import CommandFailed
from levante.definitions import WORKFLOW
from levante.errors import WorkflowsException


@click.command()
@click.argument("targets", nargs=-1, required=True, metavar="MODULE[:CLASS]...")
@click.option("--server-url", help="Default: LEVANTE_SERVER_URL.")
@click.option("--api-key", help="Default: LEVANTE_API_KEY. Others on this machine can see the option; better set that.")
@click.option("--deployment-name", help="Default: DEPLOYMENT_NAME.")
@click.option("--worker-name", help="Default: WORKER_NAME, else the name of this machine.")
def worker(targets: Sequence[str], **given: Any) -> None:
    """Serve workflows until told to stop: all that a module defines, or one class of it."""
    from levante.worker import run_worker  # noqa: PLC0415 - brings the HTTP client, which other commands do without

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    sys.path.insert(0, os.getcwd())  # noqa: PTH109 - sys.path holds texts
    try:
        _run(run_worker([cls for target in targets for cls in _workflows_of(target)], **given))
    except WorkflowsException as error:
        raise CommandFailed(error.message) from None


def _workflows_of(target: str) -> list[type]:
    name, _, class_name = target.partition(":")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise CommandFailed(f"no module {error.name!r} to import from here: check the name and the directory") from None
    found = _one(module, class_name) if class_name else _all(module)
    if not found:
        raise CommandFailed(f"module {name!r} defines no workflows: decorate a class with @workflow.define(name=...)")
    return found


def _one(module: ModuleType, class_name: str) -> list[type]:
    cls = getattr(module, class_name, None)
    if not isinstance(cls, type) or WORKFLOW not in vars(cls):
        raise CommandFailed(f"{module.__name__}:{class_name} is no workflow class")
    return [cls]


def _all(module: ModuleType) -> list[type]:
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return [cls for cls in classes if WORKFLOW in vars(cls) and cls.__module__ == module.__name__]


def _run(serving: Coroutine[Any, Any, Any]) -> None:
    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        asyncio.run(serving)
    else:
        uvloop.run(serving)
