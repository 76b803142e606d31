"""Serving the host over HTTP or HTTPS."""

import asyncio
import ipaddress
import logging
import resource
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

import uvicorn

from levante_core.adapters.error_logs import keep_payloads_out
from levante_local.host import Host
from levante_local.http.sockets import SocketLimits, Sockets

SHUTDOWN_SECONDS = 2
KEEP_ALIVE_SECONDS = 75
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


def server_of(application: Host, listening: Listening, log_level: str, sockets: Sockets) -> uvicorn.Server:
    """Build the server."""
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
    return uvicorn.Server(config)


def serve(application: Host, listening: Listening, log_level: str) -> None:
    """Serve until the process is told to stop."""
    server = server_of(application, listening, log_level, Sockets(_fitting(SocketLimits())))

    async def run() -> None:
        keep_payloads_out(*logging.getLogger("uvicorn").handlers)
        async with application.running():
            await server.serve()

    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())


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
