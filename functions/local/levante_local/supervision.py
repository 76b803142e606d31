"""Keeps the loops of the host going: one that fails is begun again, and the health check says so meanwhile."""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from levante_core.errors import LevanteError
from levante_core.ports.surroundings import Clock

logger = logging.getLogger("levante.host")

Step: TypeAlias = Callable[[], Awaitable[float | None]]
"""One round of a loop. Returns after how many seconds the next one is due; None if there is none."""

FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
QUOTED_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Problem:
    """What does not work. part: which loop. since: when it failed first. error: the last one. count: of failures."""

    part: str
    since: datetime
    error: str
    count: int = 1


class Supervisor:
    """Runs each loop by itself, so that none stops another, and repeats the rounds that fail with increasing delay."""

    def __init__(self, clock: Clock, longest_delay_seconds: float = LAST_RETRY_SECONDS) -> None:
        self._clock = clock
        self._longest_delay = longest_delay_seconds
        self._problems: dict[str, Problem] = {}

    @property
    def problems(self) -> list[Problem]:
        """What does not work at present, oldest first."""
        return sorted(self._problems.values(), key=lambda problem: problem.since)

    async def keep(self, part: str, step: Step) -> None:
        """Take one step after the other until one says that it was the last. Never raises but when it is cancelled."""
        delay = FIRST_RETRY_SECONDS
        while True:
            try:
                pause = await step()
            except Exception as error:  # whatever it is, the next round may go well
                count = self.report(part, error)
                if count & (count - 1) == 0:  # the first, second, fourth, ...: enough for a log
                    logger.warning("%s failed %d times; trying again in %.1f s", part, count, delay, exc_info=count == 1)
                await asyncio.sleep(delay)
                delay = min(delay * 2, self._longest_delay)
                continue
            self.resolve(part)
            delay = FIRST_RETRY_SECONDS
            if pause is None:
                return
            await asyncio.sleep(pause)

    def report(self, part: str, error: Exception) -> int:
        """Note that a part does not work. Returns how often it has failed since it worked."""
        known = self._problems.get(part) or Problem(part, self._clock.now(), "", 0)
        self._problems[part] = replace(known, error=_described(error), count=known.count + 1)
        return known.count + 1

    def resolve(self, part: str) -> None:
        """Note that it works. A repeat is harmless."""
        if self._problems.pop(part, None):
            logger.warning("%s works again", part)


def not_before(at: float, step: Step) -> Step:
    """Let the first round of a loop wait until a time of the event loop's clock."""

    async def delayed() -> float | None:
        await asyncio.sleep(at - asyncio.get_running_loop().time())
        return await step()

    return delayed


def _described(error: Exception) -> str:
    """Name the error. Only our own are quoted, and those of disk and database: others may hold what a user sent."""
    name = type(error).__qualname__
    if isinstance(error, LevanteError | OSError | sqlite3.Error):
        return f"{name}: {error}"[:QUOTED_CHARACTERS]
    return name
