"""Events of custom tasks on their way from an activity attempt to the stream."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime
from uuid import uuid4

from levante.worker.activities.attempt import Attempt
from levante.worker.payloads import Payloads
from levante.worker.transport.batcher import Batcher
from levante_core.protocol import TaskEvent
from levante_core.protocol.activities import Publication, PublicationResult, TaskEventReport

logger = logging.getLogger("levante.worker")

BATCH_BYTES = 2 * 1024 * 1024
"""Events of one call, or a single larger one. Source: SDK contract, section 6 (read 2026-11-23)."""
BATCH_EVENTS = 1000
MOST_WAITING = 10_000
MOST_WAITING_BYTES = 8 * 1024 * 1024
"""Events of one attempt; those that come while so many wait, or so much, are dropped, and counted."""
DRAIN_SECONDS = 10.0
DRAIN_SECONDS_PER_EVENT = 2.0
"""How long the end of an attempt waits for what it has published. Source: as above."""


class Publisher:
    """Sends the events of one attempt in order, one call at a time; what comes until a call begins goes with it.

    What cannot be sent is logged and dropped, and nothing more is sent once nobody sees it: publishing never fails the work.
    calls: shared with other attempts, so that many that publish at once do so in few calls.
    """

    def __init__(
        self, calls: Batcher[PublicationResult], now: Callable[[], datetime], attempt: Attempt, payloads: Payloads
    ) -> None:
        self._calls = calls
        self._payloads = payloads
        self._now = now
        self._attempt = attempt
        self._name = uuid4().hex
        self._plain: deque[TaskEventReport] = deque()
        self._ready: deque[tuple[TaskEventReport, int]] = deque()
        self._ready_bytes = 0
        self._dropped = 0
        self._sent = 0
        self._sender: asyncio.Task[None] | None = None
        self._number = 0
        self._after: int | None = None
        self._is_heard = True

    def publish(self, event: TaskEvent) -> None:
        """Take an event."""
        if not self._is_heard:
            return
        if len(self._plain) + len(self._ready) >= MOST_WAITING or self._ready_bytes >= MOST_WAITING_BYTES:
            self._dropped += 1
            return
        self._number += 1
        report = TaskEventReport(number=self._number, at=self._now(), event=event)
        if self._payloads.is_active:
            self._plain.append(report)
        else:
            self._make_ready(report)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())

    async def drain(self) -> None:
        """Return when all is sent, or after a while."""
        if self._sender is None:
            return
        count = len(self._plain) + len(self._ready)
        seconds = max(DRAIN_SECONDS, DRAIN_SECONDS_PER_EVENT * count)
        done, _ = await asyncio.wait([self._sender], timeout=seconds)
        if not done:
            logger.warning("events of custom tasks, %d at least, are not sent after %g s: dropped", count, seconds)
            self._forget()
            self._sender.cancel()

    async def _send_all(self) -> None:
        try:
            while self._plain or self._ready:
                self._sent = 1
                try:
                    await self._encode()
                    result = await self._calls.submit(self._next_publication)
                except Exception:  # the work must go on, whatever becomes of what it publishes
                    logger.exception("%d events of custom tasks cannot be sent: dropped", self._sent)
                else:
                    self._note(result)
        finally:
            self._sender = None
            if self._dropped:
                logger.warning("%d events of custom tasks came faster than they could be sent: dropped", self._dropped)
                self._dropped = 0

    async def _encode(self) -> None:
        while self._plain:
            report = self._plain.popleft()
            encoded = await self._payloads.encoded_task_event(report.event)
            self._make_ready(report.model_copy(update={"event": encoded}))

    def _make_ready(self, report: TaskEventReport) -> None:
        size = len(report.model_dump_json())
        self._ready.append((report, size))
        self._ready_bytes += size

    def _next_publication(self) -> bytes | None:
        """Write as many of the events that are ready as go into one call."""
        reports: list[TaskEventReport] = []
        room = BATCH_BYTES
        while self._ready and len(reports) < BATCH_EVENTS and (not reports or self._ready[0][1] <= room):
            report, size = self._ready.popleft()
            reports.append(report)
            room -= size
            self._ready_bytes -= size
        self._sent = len(reports)
        if not reports:
            return None
        attempt = self._attempt
        publication = Publication(
            token=attempt.token,
            activity_name=attempt.work.name,
            publisher=self._name,
            events=tuple(reports),
            after=self._after,
        )
        return publication.model_dump_json().encode()

    def _note(self, result: PublicationResult) -> None:
        self._after = result.last_sequence
        if self._after is None:
            attempt = self._attempt
            logger.info("run %s is gone: nobody sees what %s publishes of its tasks", attempt.run_id, attempt.work.name)
            self._is_heard = False
            self._forget()

    def _forget(self) -> None:
        self._plain.clear()
        self._ready.clear()
        self._ready_bytes = 0
