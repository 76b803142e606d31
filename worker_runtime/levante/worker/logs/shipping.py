"""Sending what is logged to where clients can read it, beside what is logged here."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from math import inf
from threading import Lock
from typing import Any
from uuid import uuid4

from levante.context import current_activity, current_workflow
from levante.worker.logs.repeats import Repeats
from levante.worker.logs.taps import tap
from levante.worker.settings import WorkerSettings
from levante.worker.transport.api import Api
from levante_core.protocol import DeploymentName
from levante_core.protocol.logs import MOST_CHARACTERS, MOST_LINES, LogLine, LogsRequest

SECONDS = 1.0
"""Between two batches: nothing is sent while nothing is logged."""
SPAN = timedelta(seconds=30)
"""From the first line of a batch to the last one, at most."""
BATCH_BYTES = 1024 * 1024
"""Of lines as JSON; a single line has less."""
OF_CODE = ("execution_id", "run_id", "activity_id", "activity_name", "attempt")
"""What the worker's own lines say in `extra` about the code that they are about."""
NOT_SHIPPED = "levante.worker.transport.api"
"""What is logged of calls to the API, this one included: each batch that fails would make another one."""
MOST_WAITING = 10_000
MOST_WAITING_BYTES = 16 * 1024 * 1024
"""Lines that come while so many wait, or so much, are dropped, and counted."""
MOST_ATTRIBUTES, NAME_CHARACTERS, VALUE_CHARACTERS = 64, 256, 1024
"""Of what a logging call gives as `extra`; what is more is cut."""
DRAIN_SECONDS = 5.0
"""How long the last lines may take."""
REPEATED: dict[str, Any] = {}
"""Stands for code whose line was sent before."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has; the others are what the logging call gave as `extra`."""


class LogShipping(logging.Handler):
    """Takes records of user code in workflows and activities, and of the worker itself, and sends them in batches.

    It never holds up who logs, and never fails. A batch that the API does not take is dropped, and its lines counted.
    Lines of workflow code that is being replayed, or tried again, were logged before. seconds_left: until the process ends.
    """

    def __init__(self, api: Api, settings: WorkerSettings, seconds_left: Callable[[], float] = lambda: inf) -> None:
        super().__init__()
        self._seconds_left = seconds_left
        self._api = api
        self._deployment = DeploymentName(settings.deployment_name)
        self._worker = settings.worker_name
        self._waiting: deque[tuple[LogLine, int]] = deque()
        self._waiting_bytes = 0
        self._repeats = Repeats()
        self._dropped = 0
        self._mutex = Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, in whatever thread."""
        is_own = record.name.startswith("levante.")
        try:
            code = _code_of(record) if is_own and hasattr(record, "execution_id") else _code_at_work(self._repeats)
            if record.name == NOT_SHIPPED or code is REPEATED or (code is None and not is_own):
                return
            line = _line(record, code or {})
            size = len(line.model_dump_json())
        except Exception:  # noqa: BLE001 - such as a message that does not fit its arguments
            self.handleError(record)
        else:
            self._take(line, size)

    def _take(self, line: LogLine, size: int) -> None:
        with self._mutex:
            if len(self._waiting) >= MOST_WAITING or self._waiting_bytes + size > MOST_WAITING_BYTES:
                self._dropped += 1
                return
            self._waiting.append((line, size))
            self._waiting_bytes += size

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send what is logged inside the block, and what is left at its end."""
        sender = asyncio.create_task(self._send_on())
        try:
            with tap(self.handle):
                yield
        finally:
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
            with suppress(TimeoutError):
                await asyncio.wait_for(self._send_all(), min(DRAIN_SECONDS, self._seconds_left()))

    async def _send_on(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await self._send_all()

    async def _send_all(self) -> None:
        while lines := self._next_batch():
            try:
                request = LogsRequest(
                    deployment_name=self._deployment, worker_name=self._worker, batch_id=uuid4().hex, lines=tuple(lines)
                )
                await self._api.ship_logs(request)
            except Exception:  # noqa: BLE001 - whatever it is, the lines after these are sent
                with self._mutex:
                    self._dropped += len(lines)

    def _next_batch(self) -> list[LogLine]:
        with self._mutex:
            if self._dropped and self._waiting:
                self._waiting.append((_note_of(self._dropped), 0))
                self._dropped = 0
            batch: list[LogLine] = []
            room = BATCH_BYTES
            while self._waiting and len(batch) < MOST_LINES:
                line, size = self._waiting[0]
                if batch and (size > room or line.at - batch[0].at > SPAN):
                    break
                self._waiting.popleft()
                self._waiting_bytes -= size
                room -= size
                batch.append(line)
            return batch


def _note_of(dropped: int) -> LogLine:
    message = f"{dropped} lines were dropped: they came faster than they could be sent, or the API did not take them"
    return LogLine(at=datetime.now(UTC), level="WARNING", logger="levante.worker", message=message)


def _code_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return which code a line of the worker is about."""
    return {name: value for name in OF_CODE if (value := getattr(record, name, None)) is not None}


def _code_at_work(repeats: Repeats) -> dict[str, Any] | None:
    """Return what is known of the code that logs; None if it is neither a workflow's nor an activity's.

    REPEATED if its line was sent before.
    """
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
    if workflow is None:
        return None
    if workflow.is_replaying or repeats.is_repeat(workflow):
        return REPEATED
    return {"execution_id": workflow.execution_id, "run_id": workflow.run_id, "workflow_name": workflow.workflow_name}


def _line(record: logging.LogRecord, code: dict[str, Any]) -> LogLine:
    message = record.getMessage()
    if record.exc_info:
        message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
    known = _STANDARD | code.keys()
    extra = islice(((name, value) for name, value in vars(record).items() if name not in known), MOST_ATTRIBUTES)
    return LogLine(
        at=datetime.fromtimestamp(record.created, UTC),
        level=_text(record.levelname, 32),
        logger=_text(record.name, 256),
        message=_text(message, MOST_CHARACTERS),
        attributes={_text(name, NAME_CHARACTERS): _text(str(value), VALUE_CHARACTERS) for name, value in extra},
        **code,
    )


def _text(text: str, most_characters: int) -> str:
    """Cut a text, and write what is no Unicode as JSON can carry it."""
    return text[:most_characters].encode(errors="replace").decode()
