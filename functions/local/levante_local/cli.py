"""`levante dev`: the host as a command."""

import errno
import gc
import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path

import click

from levante_core.adapters.error_logs import keep_payloads_out
from levante_core.adapters.otlp_http import span_sender
from levante_core.protocol.local_key import LOCAL_KEY, default_deployment
from levante_local.data_option import data_option
from levante_local.environment import HostEnvironment
from levante_local.host import Host, HostSettings
from levante_local.http.server import Beside, Listening, Tls, TlsNotUsable, bound, serve, server_of
from levante_local.sqlite.schema import StoreNotOpened

SWITCH_INTERVAL_SECONDS = 0.0005
"""The store's writer thread must get the interpreter quickly when the event loop is busy."""
GARBAGE_THRESHOLD = 20_000
"""Python's 700 would triple the time that reading a large body takes (measured 2026-11-30)."""
PEM = click.Path(path_type=Path, exists=True, dir_okay=False)
EXPOSED = (
    "Warning: others can reach this address, and API keys and payloads pass the network unencrypted. "
    "Give --tls-cert and --tls-key, put a proxy with TLS in front, or listen on 127.0.0.1."
)


@click.command()
@click.argument("targets", nargs=-1, metavar="[FILE.py|PACKAGE.MODULE[:CLASS]]...")
@data_option("Directory for all data.")
@click.option("--port", type=click.IntRange(1, 65535), default=8700, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--deployment-name", help="Deployment of the worker. Default: DEPLOYMENT_NAME, else the name of the first target."
)
@click.option("--tls-cert", type=PEM, help="Certificate for HTTPS, with its chain. Requires --tls-key.")
@click.option("--tls-key", type=PEM, help="Private key of the certificate, without a password.")
@click.option(
    "--retention-days",
    type=click.IntRange(0, 3650),
    default=30,
    show_default=True,
    help="How long to keep closed executions and all their data. 0: for ever.",
)
@click.option("--rotate-signing-key", is_flag=True, help="Sign tokens with a new key; the previous one stays valid.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="warning", show_default=True)
def dev(  # noqa: PLR0913 - each is an option
    *,
    targets: tuple[str, ...],
    data: Path,
    port: int,
    host: str,
    deployment_name: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    retention_days: int,
    rotate_signing_key: bool,
    log_level: str,
) -> None:
    """Run Levante on this machine: API, dispatcher and storage in one process.

    With TARGETS, it also runs a worker that serves these files or modules and restarts when a file changes.
    """
    _log_warnings()
    listening = Listening(host, port, _tls(tls_cert, tls_key))
    with _port_taken(listening) as taken:
        application, key = _opened(data, retention_days, log_level, rotate_signing_key=rotate_signing_key)
        server = server_of(application, listening, log_level)
        worker = _worker(targets, listening, key, deployment_name)
        click.echo(f"Levante listens on {listening.url}, data in {data}")
        click.echo(f"Its API key is in {data / LOCAL_KEY}, where commands, clients and workers on this machine find it.")
        click.echo(f"Console: {_console(listening, key, is_seen_by_a_person=sys.stdout.isatty())}")
        if listening.is_exposed:
            click.echo(EXPOSED, err=True)
        sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD)
        problem = serve(application, server, taken, worker)
    if problem:
        raise click.ClickException(problem)


@contextmanager
def _port_taken(listening: Listening) -> Iterator[socket.socket]:
    """Take the port before anything else is done or said. Raises: click.ClickException."""
    try:
        taken = bound(listening)
    except OSError as error:
        what = "is in use: stop what listens there, or take another one with --port"
        reason = what if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror or error}"
        raise click.ClickException(f"port {listening.port} of {listening.host} {reason}") from None
    with taken:
        yield taken


def _opened(data: Path, retention_days: int, log_level: str, *, rotate_signing_key: bool) -> tuple[Host, str]:
    """Open the data. Returns the host, and the key for everything on this machine. Raises: click.ClickException."""
    try:
        environment = HostEnvironment()
        settings = HostSettings(
            data,
            first_key=environment.first_key,
            quiet=log_level not in {"debug", "info"},
            send_spans=span_sender(environment.of_collector()),
            retention=timedelta(days=retention_days) or None,
        )
        application = Host(settings)
        key = application.local_key()
        if rotate_signing_key:
            click.echo(f"Signing key {application.rotate_signing_key()} signs from now on.")
    except (StoreNotOpened, ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
    return application, key


def _worker(targets: Sequence[str], listening: Listening, key: str, deployment_name: str | None) -> Beside:
    if not targets:
        return nullcontext()
    from levante_local.development.worker_process import DevWorker  # noqa: PLC0415 - brings watchfiles

    deployment = deployment_name or os.environ.get("DEPLOYMENT_NAME") or default_deployment(targets[0])
    return DevWorker(targets, {"LEVANTE_SERVER_URL": listening.url, "LEVANTE_API_KEY": key, "DEPLOYMENT_NAME": deployment})


def _console(listening: Listening, key: str, *, is_seen_by_a_person: bool) -> str:
    """Return the address of the console; on a terminal, one that signs in. Keys are kept out of what may be a log."""
    page = f"{listening.url}/console/"
    return f"{page}#key={key}" if is_seen_by_a_person else page


def _log_warnings() -> None:
    log = logging.StreamHandler()
    keep_payloads_out(log)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(name)s: %(message)s", handlers=[log])


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key go together: give both, or neither for plain HTTP")
    tls = Tls(certificate, key)
    try:
        tls.check()
    except TlsNotUsable as error:
        raise click.ClickException(str(error)) from None
    return tls
