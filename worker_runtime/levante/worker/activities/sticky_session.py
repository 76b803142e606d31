"""The sticky session of a worker: activities that follow its first one to the same process."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Self

from levante import sessions
from levante_core.protocol import WorkerPool


class StickySession:
    """Names a worker. No tasks come under this name until an activity asks for it.

    Attributes:
        name: of the session, unique to the worker's process.
        opened: set once an activity has asked for the session.
    """

    def __init__(self, name: str = sessions.NOWHERE) -> None:
        self.name = name
        self.opened = asyncio.Event()

    @classmethod
    def of(cls, pool: WorkerPool, worker_id: str) -> Self:
        """Name the session of a worker that serves this pool."""
        digest = hashlib.sha256(worker_id.encode()).hexdigest()[:32]
        return cls(f"{pool.deployment}-sticky-worker-session-{digest}")

    def open(self) -> str:
        """Let tasks of the session come from now on. Returns its name."""
        self.opened.set()
        return self.name
