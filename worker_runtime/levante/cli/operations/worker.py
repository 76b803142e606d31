"""`levante worker`: serve the workflows of modules."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

import click

from levante.cli.exits import EPILOG, CommandFailed
from levante.cli.options import API_KEY_HELP, SERVER_URL_HELP
from levante.cli.targets import find_modules_here, workflows_of
from levante.client.answers import refusal
from levante.errors import WorkflowsException


@click.command(epilog=EPILOG)
@click.argument("targets", nargs=-1, required=True, metavar="FILE.py|PACKAGE.MODULE[:CLASS]...")
@click.option("--server-url", help=SERVER_URL_HELP)
@click.option("--api-key", help=API_KEY_HELP)
@click.option(
    "--deployment-name", help="Default: DEPLOYMENT_NAME; on the machine of the host, else the first target's name."
)
@click.option("--worker-name", help="Name in listings. Default: WORKER_NAME, else host name and process id.")
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="Also stop when standard input closes.")
def worker(
    targets: tuple[str, ...],
    *,
    server_url: str | None,
    api_key: str | None,
    deployment_name: str | None,
    worker_name: str | None,
    until_stdin_closes: bool,
) -> None:
    """Run a worker until SIGTERM or Ctrl-C. It serves all workflows of the files or modules, or one class.

    Modules are searched first in the current directory. A call of run_worker at the end of a file has no effect here. Logs
    go to stderr; LOG_LEVEL sets their level and LOG_FORMAT their format, console or json.
    """
    from levante.worker import run_worker  # noqa: PLC0415 - brings aiohttp, which the other commands do without
    from levante.worker.logs.console import formatter  # noqa: PLC0415 - same
    from levante.worker.settings import read_settings  # noqa: PLC0415 - same

    given = {
        "server_url": server_url,
        "api_key": api_key,
        "deployment_name": deployment_name,
        "worker_name": worker_name,
    }
    try:
        settings = read_settings(given, targets[0])
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(formatter(settings))
        logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
        find_modules_here()
        workflows = workflows_of(targets)
        if until_stdin_closes:
            threading.Thread(target=_stop_when_stdin_closes, name="stdin", daemon=True).start()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(
                run_worker(
                    workflows,
                    server_url=server_url,
                    api_key=api_key,
                    deployment_name=settings.deployment_name,
                    worker_name=worker_name,
                )
            )
    except WorkflowsException as error:
        raise CommandFailed(_reason(error)) from None


def _stop_when_stdin_closes() -> None:
    """The program that has started this one holds the other end, and is gone when it closes."""
    while os.read(sys.stdin.fileno(), 1):  # not by the buffer, whose lock this thread would hold when the process ends
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the faster event loop where there is one."""
    if sys.platform == "win32":
        return None
    try:
        import uvloop  # noqa: PLC0415 - not for every interpreter
    except ImportError:
        return None
    return uvloop.new_event_loop


def _reason(error: WorkflowsException) -> str:
    """Say an answer of the API as the other commands do; the SDK's own errors are plain already."""
    before, colon, content = error.message.partition(": ")
    return refusal(error.status, content) if colon and before.startswith("the API answered ") else error.message
