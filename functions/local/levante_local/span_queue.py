"""Traces on their way to a collector, which may be slow or gone: nothing else waits for it."""

import asyncio
import logging
from collections import deque

from levante_core.services.trace_export import SendSpans
from levante_local.waiting import Signal, call

logger = logging.getLogger("levante.traces")

MOST_WAITING = 100
MOST_WAITING_BYTES = 32 * 1024 * 1024


class SpanQueue:
    """Takes what the trace export sends, and sends it from a thread. What finds no room is dropped, counted and logged."""

    def __init__(self, send: SendSpans) -> None:
        self._send = send
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._signal = Signal()
        self.dropped = 0
        """Exports that were not sent, for want of room or because the collector refused them."""

    def put(self, body: bytes) -> None:
        """Take one export, or drop it if too many wait. Never blocks, never raises."""
        if len(self._waiting) >= MOST_WAITING or self._waiting_bytes + len(body) > MOST_WAITING_BYTES:
            self.dropped += 1
            return
        self._waiting.append(body)
        self._waiting_bytes += len(body)
        self._signal.give()

    async def step(self) -> float:
        """Send the oldest one; wait for one if there is none. Raises: OSError, after which that one is dropped."""
        while not self._waiting:
            await call(self._signal.wait, None)
        body = self._waiting.popleft()
        self._waiting_bytes -= len(body)
        dropped = self.dropped
        try:
            await asyncio.to_thread(self._send, body)
        except OSError:
            self.dropped += 1
            raise
        if dropped:
            logger.warning("%d exports of traces were dropped: the collector was too slow, or gone", dropped)
            self.dropped -= dropped
        return 0.0
