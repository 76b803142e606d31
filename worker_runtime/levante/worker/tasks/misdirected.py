"""Tasks for code that this worker does not have, and another one of its deployment may."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from contextlib import suppress

logger = logging.getLogger("levante.worker")

FIRST_PAUSE_SECONDS = 0.05
LAST_PAUSE_SECONDS = 30.0
MOST_REMEMBERED = 10_000
"""Tasks. One that is forgotten is handed back at once when it comes again."""


class Misdirected:
    """Says when a task is left to other workers, and says once for each name what to do about it."""

    def __init__(self, deployment: str) -> None:
        self._deployment = deployment
        self._times: OrderedDict[str, int] = OrderedDict()
        self._warned: set[str] = set()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let go of all tasks: this worker ends."""
        self._stopping.set()

    async def times(self, task_id: str, what: str) -> int:
        """Wait until a task is to be handed back: at once, then at a growing distance. what: it asks for, by name.

        Returns how often it had come before.
        """
        times = self._times.pop(task_id, 0)
        self._times[task_id] = times + 1
        if len(self._times) > MOST_REMEMBERED:
            self._times.popitem(last=False)
        if what not in self._warned:
            self._warned.add(what)
            logger.warning(
                "a task came for %s, which this worker does not have: it is left to the other workers of deployment %r. "
                "Let all workers of a deployment have the same code, or give this one a deployment of its own",
                *(what, self._deployment),
            )
        with suppress(TimeoutError):
            pause = min(FIRST_PAUSE_SECONDS * (2 ** min(times, 20) - 1), LAST_PAUSE_SECONDS)
            await asyncio.wait_for(self._stopping.wait(), pause)
        return times
