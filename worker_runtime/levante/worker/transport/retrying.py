"""How often a call to the API is repeated, and how long each repeat waits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from random import random, uniform
from typing import NoReturn

logger = logging.getLogger("levante.worker")

FIRST_RETRY_SECONDS = 0.1
LAST_RETRY_SECONDS = 5.0
MOST_RETRY_AFTER_SECONDS = 60.0
"""The API may ask for a longer pause than we would make, but not for one that looks like a dead worker."""


class Trouble(Enum):
    """Why a call has to be repeated."""

    UNREACHABLE = auto()
    """Nobody answered."""
    UNAVAILABLE = auto()
    """429, 502, 503 or 504: the API, or what stands before it, cannot take any call at present."""
    FAULT = auto()
    """500: the same call will most likely fail again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is repeated while it meets nothing but trouble; None stands for as long as it takes.

    faults: how many answers of 500 end it.
    """

    unreachable_seconds: float | None
    unavailable_seconds: float | None
    faults: int


ENDLESS = Patience(None, None, 6)
"""Calls without which a worker cannot work: it outlives any outage."""
WORK = Patience(900.0, 300.0, 6)
"""Calls that carry finished work: an outage of minutes loses none, and what the API cannot take is known after 3 s."""
SHORT = Patience(20.0, 20.0, 4)
"""Calls that are worth little when they are late, or that come again by themselves."""
SHARED = Patience(0.2, 0.2, 1)
"""Calls that carry several items: they are split soon, because one item may be to blame and the others must not wait."""


class Retries:
    """The pauses of one call. clock: monotonic seconds. draw: a number from 0 to 1, so that workers keep apart."""

    def __init__(self, patience: Patience, clock: Callable[[], float], draw: Callable[[], float] = random) -> None:
        self._patience = patience
        self._clock = clock
        self._draw = draw
        self._began_at = clock()
        self._faults = 0
        self._delay = FIRST_RETRY_SECONDS

    def pause(self, trouble: Trouble, retry_after: float | None = None) -> float | None:
        """Return the seconds until the next try, or None to give up. retry_after: what the API asked for."""
        self._faults += trouble is Trouble.FAULT
        if self._faults >= self._patience.faults:
            return None
        seconds = self._delay * (0.5 + self._draw() / 2)
        self._delay = min(2 * self._delay, LAST_RETRY_SECONDS)
        if retry_after is not None:
            seconds += min(retry_after, MOST_RETRY_AFTER_SECONDS)
        bound = self._bound(trouble)
        is_over = bound is not None and self._clock() + seconds - self._began_at > bound
        return None if is_over else seconds

    def _bound(self, trouble: Trouble) -> float | None:
        if trouble is Trouble.UNREACHABLE:
            return self._patience.unreachable_seconds
        return self._patience.unavailable_seconds


def seconds_of(retry_after: str | None, now: datetime) -> float | None:
    """Read a Retry-After header, in seconds or as a date; None where there is none that makes sense.

    Source: RFC 9110, section 10.2.3 (read 2026-11-30).
    """
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


async def for_ever(what: str, turn: Callable[[], Awaitable[None]], *, ended_by: type[Exception]) -> NoReturn:
    """Take one turn after the other. One that fails is logged, and the next one waits, longer after each failure in a row.

    Raises: what is an `ended_by`.
    """
    delay = FIRST_RETRY_SECONDS
    while True:
        try:
            await turn()
        except ended_by:
            raise
        except Exception:
            logger.exception("%s failed: trying again", what)
            await asyncio.sleep(uniform(delay / 2, delay))  # noqa: S311 - keeps workers apart, and no secrets
            delay = min(2 * delay, LAST_RETRY_SECONDS)
        else:
            delay = FIRST_RETRY_SECONDS
