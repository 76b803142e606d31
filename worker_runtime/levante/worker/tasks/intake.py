"""Where a worker's tasks come from, and how their leases end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from levante.worker.tasks.leases import Leases
from levante.worker.tasks.source import TaskSource
from levante.worker.transport.splitting import send_apart
from levante_core.protocol.workers import HandBack, TaskQueue

logger = logging.getLogger("levante.worker")


class Intake:
    """A source of tasks, and the leases of those that have come."""

    def __init__(self, tasks: TaskSource) -> None:
        self.tasks = tasks
        self.leases = Leases(tasks)

    async def done(self, queue: TaskQueue, receipts: Sequence[str]) -> None:
        """End leases of tasks that need nothing more. Never raises: a lease that is left ends by itself."""
        try:
            await self.tasks.done(queue, receipts)
        except Exception:  # whatever it is, the work is done
            logger.warning("leases of the %s queue cannot be ended", queue, exc_info=True)

    async def hand_back(self, queue: TaskQueue, returned: Sequence[HandBack]) -> None:
        """Give tasks to other workers. Never raises: what is left comes again when its lease ends, and counts as lost."""

        async def send(some: Sequence[HandBack]) -> list[None]:
            await self.tasks.hand_back(queue, some)
            return [None for _ in some]

        def settle(_: HandBack, problem: Exception | None) -> None:
            if problem is not None:
                logger.warning("a task of the %s queue cannot be handed back: %s", queue, problem)

        await send_apart(returned, send, settle)
