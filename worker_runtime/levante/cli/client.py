"""The API as the commands call it: each call once, by the steps of `levante.client`."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

from levante.client.answers import Answer
from levante.client.requests import Request
from levante.client.settings import Connection
from levante.client.steps import Frame, Server, Steps, call

T = TypeVar("T")


class Client:
    """Calls the API with one key. Methods raise: ClientError, which `with_client` makes one line of."""

    def __init__(self, connection: Connection) -> None:
        from levante.client.transport.sync_transport import SyncTransport  # noqa: PLC0415 - brings httpx: `--help` does without

        self._connection = connection
        self.server = Server(connection, time.monotonic, retry_seconds=0.0)
        self._transport = SyncTransport(connection)

    def another(self) -> Client:
        """Return a client of the same API for another thread."""
        return Client(self._connection)

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Answer:
        """Read. query: lists repeat the key."""
        return self.run(call(self.server, Request("GET", path, query or {})))

    def post(self, path: str, body: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Post a JSON object, or nothing."""
        return self.run(call(self.server, Request("POST", path, body=body, headers=headers or {})))

    def put(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Put."""
        return self.run(call(self.server, Request("PUT", path, body=body)))

    def patch(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change."""
        return self.run(call(self.server, Request("PATCH", path, body=body)))

    def delete(self, path: str) -> Answer:
        """Delete."""
        return self.run(call(self.server, Request("DELETE", path)))

    def run(self, steps: Steps[T]) -> T:
        """Carry out steps of the client that emit nothing."""
        return self._transport.run(steps)

    def frames(self, steps: Steps[None]) -> Generator[Frame, None, None]:
        """Carry out steps that read a stream, and yield its frames."""
        return self._transport.emitted(steps)

    def close(self) -> None:
        """Close connections. A repeat is harmless."""
        self._transport.close()
