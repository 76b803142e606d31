"""`levante dev`: the host as a command."""

import asyncio
import logging
import os
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import click
import uvicorn

from levante_core.adapters.error_logs import keep_payloads_out
from levante_core.adapters.otlp_http import span_sender
from levante_local.host import Host, HostSettings
from levante_local.sqlite_schema import StoreNotOpened

SHUTDOWN_SECONDS = 2
SWITCH_INTERVAL_SECONDS = 0.0005
"""The store's writer thread must get the interpreter quickly when the event loop is busy."""


@click.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".levante"),
    show_default=True,
    help="Directory for everything that survives a restart.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8700, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--retention-days",
    type=click.IntRange(0, 3650),
    default=30,
    show_default=True,
    help="How long closed executions are kept, with all that belongs to them. 0: for ever.",
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning", show_default=True)
def dev(data: Path, port: int, host: str, retention_days: int, log_level: str) -> None:
    """Run Levante on this machine: API, dispatcher and storage in one process."""
    log = logging.StreamHandler()
    keep_payloads_out(log)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(name)s: %(message)s", handlers=[log])
    url = f"http://{host}:{port}"
    try:
        settings = HostSettings(
            data,
            first_key=os.environ.get("LEVANTE_API_KEY") or None,
            quiet=log_level not in {"debug", "info"},
            send_spans=span_sender(os.environ),
            retention=timedelta(days=retention_days) or None,
        )
        application = Host(settings)
        secret = application.first_key()
    except (StoreNotOpened, ValueError) as error:
        raise click.ClickException(str(error)) from None
    if secret:
        click.echo(f"First API key (shown only now):\n\n  export LEVANTE_API_KEY={secret}\n")
    click.echo(f"Levante listens on {url}, data in {data}\n  export LEVANTE_SERVER_URL={url}")
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    with suppress(KeyboardInterrupt):
        _run(
            application,
            uvicorn.Config(
                application,
                host=host,
                port=port,
                log_level=log_level,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                timeout_keep_alive=75,
                server_header=False,
                date_header=False,
                proxy_headers=False,
                ws="none",
            ),
        )


def _run(application: Host, config: uvicorn.Config) -> None:
    async def serve() -> None:
        keep_payloads_out(*logging.getLogger("uvicorn").handlers)
        async with application.running():
            await uvicorn.Server(config).serve()

    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        asyncio.run(serve())
    else:
        uvloop.run(serve())
