"""Threads that go on after their attempt has ended: each keeps its slot, and is reported until it returns."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from levante.worker.activities.attempt import Attempt
from levante.worker.activities.threads import ThreadCall

logger = logging.getLogger("levante.worker")

GRACE_SECONDS = 0.5
"""A thread that returns so soon after its attempt is not worth a line."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 300.0
"""Between two reports of a thread; each pause is twice as long as the one before."""


class StuckThreads:
    """Keeps what a thread uses until it returns, and logs where it is meanwhile."""

    def __init__(self) -> None:
        self._watching: set[asyncio.Task[None]] = set()

    def keep(self, attempt: Attempt, thread: ThreadCall, held: AsyncExitStack) -> None:
        """Close `held` when the thread has returned."""
        task = asyncio.create_task(self._watch(attempt, thread, held))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)

    async def close(self) -> None:
        """Wait for none of them any more; those that are still at it are logged once more."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def _watch(self, attempt: Attempt, thread: ThreadCall, held: AsyncExitStack) -> None:
        clock = asyncio.get_running_loop().time
        since, pause, is_reported = clock(), FIRST_PAUSE_SECONDS, False
        async with held:
            try:
                await thread.wait(GRACE_SECONDS)
                while not thread.is_over:
                    is_reported = True
                    _report(attempt, thread, clock() - since)
                    await thread.wait(pause)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            except asyncio.CancelledError:
                _report(attempt, thread, clock() - since)
                raise
        if is_reported:
            name, seconds = attempt.work.name, clock() - since
            logger.info(
                "activity %s of execution %s: its thread has returned after %.1f s", name, attempt.execution_id, seconds
            )


def _report(attempt: Attempt, thread: ThreadCall, seconds: float) -> None:
    logger.warning(
        "activity %s of execution %s: attempt %d ended %.1f s ago, but its thread goes on and keeps its slot: let the "
        "function return, or end when activity_heartbeat() raises. It is at:\n%s",
        attempt.work.name,
        attempt.execution_id,
        attempt.number,
        seconds,
        thread.place(),
    )
