"""Traces on their way to a collector, which may be slow or gone: nothing else waits for it."""

import asyncio
import logging
import time
from collections import deque
from datetime import timedelta

from levante_core.services.trace_export import PAUSE, SendSpans
from levante_local.waiting import Signal, call

logger = logging.getLogger("levante.traces")

MOST_WAITING = 100
MOST_WAITING_BYTES = 32 * 1024 * 1024


class SpanQueue:
    """Takes what the trace export sends, and sends it from a thread. What finds no room is dropped, counted and logged.

    pause: after a failure the collector is left alone for so long, and what comes meanwhile is dropped.
    """

    def __init__(self, send: SendSpans, pause: timedelta = PAUSE) -> None:
        self._send = send
        self._pause_seconds = pause.total_seconds()
        self._paused_until = 0.0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._signal = Signal()
        self.dropped = 0
        """Exports that were not sent, for want of room or because the collector refused them."""

    def put(self, body: bytes) -> None:
        """Take one export, or drop it if too many wait. Never blocks, never raises."""
        is_paused = time.monotonic() < self._paused_until
        if is_paused or len(self._waiting) >= MOST_WAITING or self._waiting_bytes + len(body) > MOST_WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(body)
        self._waiting_bytes += len(body)
        self._signal.give()

    async def step(self) -> float:
        """Send the oldest one; wait for one if there is none. Raises: OSError, after which all that wait are dropped."""
        while not self._waiting:
            await call(self._signal.wait, None)
        body = self._waiting.popleft()
        self._waiting_bytes -= len(body)
        dropped = self.dropped
        try:
            await asyncio.to_thread(self._send, body)
        except OSError:
            self._paused_until = time.monotonic() + self._pause_seconds
            self.dropped += 1 + len(self._waiting)
            self._waiting.clear()
            self._waiting_bytes = 0
            raise
        if dropped:
            logger.warning("%d exports of traces were dropped: the collector was too slow, or gone", dropped)
            self.dropped -= dropped
        return 0.0
