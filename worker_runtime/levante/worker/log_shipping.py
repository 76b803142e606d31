"""Sending what is logged to where clients can read it, beside what is logged here."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from levante.context import current_activity, current_workflow
from levante.worker.api import Api, ApiError
from levante.worker.settings import WorkerSettings
from levante_core.protocol import DeploymentName
from levante_core.protocol.logs import MOST_CHARACTERS, MOST_LINES, LogLine, LogsRequest

SECONDS = 1.0
"""Between two batches: nothing is sent while nothing is logged."""
SPAN = timedelta(seconds=30)
"""From the first line of a batch to the last one, at most."""
BATCH_CHARACTERS = 1024 * 1024
MOST_WAITING = 10_000
"""Lines; those that come while so many wait are dropped, and counted."""
DRAIN_SECONDS = 5.0
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has; the others are what the logging call gave as `extra`."""


class LogShipping(logging.Handler):
    """Takes records of user code in workflows and activities, and of the worker itself, and sends them in batches.

    It never holds up who logs, and never fails: what the API does not take is dropped. Lines of workflow code that is being
    replayed were logged before.
    """

    def __init__(self, api: Api, settings: WorkerSettings) -> None:
        super().__init__()
        self._api = api
        self._deployment = DeploymentName(settings.deployment_name)
        self._worker = settings.worker_name
        self._waiting: deque[LogLine] = deque()
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, in whatever thread."""
        found = _code_at_work()
        if (found is None and not record.name.startswith("levante.")) or (found and found.pop("is_replaying", False)):
            return
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        try:
            self._waiting.append(_line(record, found or {}))
        except Exception:  # noqa: BLE001 - such as a message that does not fit its arguments
            self.handleError(record)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send what is logged inside the block, and what is left at its end."""
        root = logging.getLogger()
        root.addHandler(self)
        sender = asyncio.create_task(self._send_on())
        try:
            yield
        finally:
            root.removeHandler(self)
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
            with suppress(TimeoutError):
                await asyncio.wait_for(self._send_all(), DRAIN_SECONDS)

    async def _send_on(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await self._send_all()

    async def _send_all(self) -> None:
        while self._waiting:
            lines = self._next_batch()
            request = LogsRequest(
                deployment_name=self._deployment, worker_name=self._worker, batch_id=uuid4().hex, lines=tuple(lines)
            )
            with suppress(ApiError):
                await self._api.ship_logs(request)

    def _next_batch(self) -> list[LogLine]:
        if self._dropped:
            message = f"{self._dropped} lines were dropped: they came faster than they could be sent"
            self._dropped = 0
            self._waiting.append(LogLine(at=datetime.now(UTC), level="WARNING", logger="levante.worker", message=message))
        batch, room = [self._waiting.popleft()], BATCH_CHARACTERS
        while self._waiting and len(batch) < MOST_LINES:
            room -= len(batch[-1].message)
            if room <= 0 or self._waiting[0].at - batch[0].at > SPAN:
                break
            batch.append(self._waiting.popleft())
        return batch


def _code_at_work() -> dict[str, Any] | None:
    """Return what is known of the code that logs; None if it is neither a workflow's nor an activity's."""
    activity, workflow = current_activity.get(), current_workflow.get()
    if activity is not None:
        info = activity.info
        return {
            "execution_id": info.execution_id,
            "run_id": info.run_id,
            "activity_id": info.activity_id,
            "activity_name": info.activity_name,
            "attempt": info.attempt,
        }
    if workflow is not None:
        return {
            "execution_id": workflow.execution_id,
            "run_id": workflow.run_id,
            "workflow_name": workflow.workflow_name,
            "is_replaying": workflow.is_replaying,
        }
    return None


def _line(record: logging.LogRecord, code: dict[str, Any]) -> LogLine:
    message = record.getMessage()
    if record.exc_info:
        message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
    extra = {name: str(value)[:1024] for name, value in vars(record).items() if name not in _STANDARD}
    return LogLine(
        at=datetime.fromtimestamp(record.created, UTC),
        level=record.levelname[:32],
        logger=record.name[:256],
        message=message[:MOST_CHARACTERS],
        attributes=extra,
        **code,
    )
