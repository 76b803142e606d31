"""Serving the host over HTTP or HTTPS."""

import asyncio
import ipaddress
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import uvicorn

from levante_core.adapters.error_logs import keep_payloads_out
from levante_local.host import Host
from levante_local.http.sockets import SocketLimits, Sockets

SHUTDOWN_SECONDS = 2
KEEP_ALIVE_SECONDS = 75
BACKLOG = 2048
LOOK_SECONDS = 2.0
"""How often it is looked whether the data is still there."""
Beside: TypeAlias = AbstractAsyncContextManager[object]
FILES_BESIDE_SOCKETS = 512
"""Descriptors that are left for the database, payloads and pipes."""


class TlsNotUsable(Exception):
    """Certificate or key cannot be used. The message says why."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM. certificate: with the chain below it."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Load both. Raises: TlsNotUsable."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:
            what = "they do not belong together, or are no PEM" if isinstance(error, ssl.SSLError) else str(error)
            raise TlsNotUsable(f"cannot use the certificate {self.certificate} with the key {self.key}: {what}") from error


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the host listens, and how."""

    host: str
    port: int
    tls: Tls | None = None

    @property
    def url(self) -> str:
        """The address for clients."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}"

    @property
    def is_exposed(self) -> bool:
        """Whether keys and payloads pass a network unencrypted."""
        if self.tls or self.host == "localhost":
            return False
        try:
            return not ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return True


def server_of(application: Host, listening: Listening, log_level: str, sockets: Sockets | None = None) -> uvicorn.Server:
    """Build the server. sockets: what reads connections; as many as this process may have, by default."""
    sockets = sockets or Sockets(_fitting(SocketLimits()))
    config = uvicorn.Config(
        application,
        host=listening.host,
        port=listening.port,
        http=sockets,  # type: ignore[arg-type] # called to make a protocol, as a class would be
        ssl_certfile=listening.tls.certificate if listening.tls else None,
        ssl_keyfile=listening.tls.key if listening.tls else None,
        log_level=log_level,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
    )
    return _Server(config)


class _Server(uvicorn.Server):
    """Leaves signals to `serve`, which ends what waits before the server does."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


def bound(listening: Listening) -> socket.socket:
    """Take the port. Raises: OSError, when somebody else has it."""
    taken = socket.socket(socket.AF_INET6 if ":" in listening.host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((listening.host, listening.port))
        taken.listen(BACKLOG)
    except OSError:
        taken.close()
        raise
    return taken


def serve(application: Host, server: uvicorn.Server, taken: socket.socket, beside: Beside) -> str | None:
    """Serve until the process is told to stop, or its data is gone. Returns what went wrong, if something did.

    taken: the port. beside: what runs as long as requests are answered.
    """

    async def run() -> str | None:
        keep_payloads_out(*logging.getLogger("uvicorn").handlers)
        async with application.running():
            serving = asyncio.create_task(server.serve(sockets=[taken]))
            stopped = asyncio.create_task(_stop_signal(server))
            watching = asyncio.create_task(_data_is_gone(application))
            async with beside:
                await asyncio.wait([serving, stopped, watching], return_when=asyncio.FIRST_COMPLETED)
            await application.stop_serving()
            server.should_exit = True
            await serving
            problem = watching.result() if watching.done() else None
            for task in (stopped, watching):
                task.cancel()
            return problem

    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        return asyncio.run(run())
    return uvloop.run(run())


async def _stop_signal(server: uvicorn.Server) -> None:
    """Wait for SIGINT or SIGTERM; a second one ends the server whatever it does."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = stopped.is_set()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await stopped.wait()


async def _data_is_gone(application: Host) -> str:
    """Wait until somebody has deleted or moved the data."""
    while application.has_data:  # noqa: ASYNC110 - the file system tells nobody
        await asyncio.sleep(LOOK_SECONDS)
    return "the data directory was deleted or moved: what is written now would be lost"


def _fitting(limits: SocketLimits) -> SocketLimits:
    """Take as many connections as this process may have open files: whoever comes beyond must still be answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.connections + limits.reserve + FILES_BESIDE_SOCKETS
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = soft - limits.reserve - FILES_BESIDE_SOCKETS
    return replace(limits, connections=max(min(limits.connections, room), 1))


def _no_password() -> str:
    raise ValueError("the key is encrypted: write it without a password, readable for its owner alone")
