"""The durable timers of one run: started, cancelled, fired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from levante_core.protocol import Command, TimerCanceled, TimerStarted

LATEST = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
"""A timer that is due later never is: `sleep(math.inf)` waits until it is cancelled."""


class Timers:
    """The timers that code of a run waits for. ask: records a command, and returns its seq."""

    def __init__(self, ask: Callable[[Callable[[int], Command]], int]) -> None:
        self._ask = ask
        self._handles: dict[int, asyncio.TimerHandle] = {}
        self._seqs: dict[int, int] = {}
        """By the id of the handle."""

    def start(self, handle: asyncio.TimerHandle) -> None:
        """Ask for a timer, unless it would never be due."""
        if handle.when() < LATEST:
            seq = self._ask(lambda seq: TimerStarted(seq=seq, fire_at=_not_before(handle.when())))
            self._handles[seq] = handle
            self._seqs[id(handle)] = seq

    def cancel(self, handle: asyncio.TimerHandle) -> None:
        """Ask for no longer."""
        timer = self._seqs.pop(id(handle), None)
        if timer is not None:
            del self._handles[timer]
            self._ask(lambda seq: TimerCanceled(seq=seq, timer=timer))

    def fired(self, seq: int) -> asyncio.TimerHandle:
        """Return what is to run now that a timer is due."""
        handle = self._handles.pop(seq)
        del self._seqs[id(handle)]
        return handle


def _not_before(when: float) -> datetime:
    """Return the first time in whole microseconds that is not before a time in seconds."""
    at = datetime.fromtimestamp(when, UTC)
    while at.timestamp() < when:
        at += timedelta(microseconds=1)
    return at
