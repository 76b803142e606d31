"""What an attempt says of itself while it runs: whether it is at work, and how far it has come."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from levante.worker.activities.attempt import Attempt
from levante.worker.payloads import Payloads
from levante.worker.transport.api import Api
from levante_core.protocol import Json
from levante_core.protocol.activities import ActivityHeartbeatRequest

logger = logging.getLogger("levante.worker")

MOST_SECONDS_BETWEEN = 30.0
SHARE_OF_TIMEOUT = 0.8
"""Heartbeats that come more often are not sent, but for the first one, and the last one of an attempt that did not succeed.
"""
FLUSH_SECONDS = 1.0
"""How long the end of an attempt that is cancelled waits for its last heartbeat to be sent."""


class HeartbeatMonitor:
    """Takes the heartbeats of one attempt. `heartbeat_deadline` ends it when it is silent or not wanted any more.

    What was said last is kept until the API has it, so that no cancellation between two calls loses it.
    is_in_thread: nothing can end the function but itself, at a heartbeat, so its attempt goes on until it does.
    """

    def __init__(self, api: Api, attempt: Attempt, payloads: Payloads, *, is_in_thread: bool) -> None:
        self._api = api
        self._payloads = payloads
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        options = attempt.work.options
        self._timeout = None if options.is_local else options.heartbeat_seconds
        self._interval = min(MOST_SECONDS_BETWEEN, SHARE_OF_TIMEOUT * (self._timeout or float("inf")))
        self.heartbeat_deadline = asyncio.timeout(None)
        self._is_in_thread = is_in_thread
        self._is_over = False
        self._details: tuple[Json, ...] = ()
        self._is_unsent = False
        self._sent_at = float("-inf")
        self._sender: asyncio.Task[None] | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether anybody wants the attempt to go on."""
        return self._attempt.demand.is_there

    def begin(self) -> None:
        """Count from now on: the function has begun."""
        if self._timeout:
            self._move_deadline(self._timeout)
        if not self._is_in_thread:
            self._attempt.demand.on_end(lambda: self._move_deadline(0))

    def beat(self, details: tuple[Json, ...]) -> None:
        """Take a heartbeat, from any thread. Raises: CancelledError once the attempt is over, or not wanted any more."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._take, details)
        if self._is_over or not self.is_wanted:
            raise asyncio.CancelledError

    def end(self) -> None:
        """Let the next heartbeat raise CancelledError, so that a function in a thread ends. What it says still counts."""
        self._is_over = True

    async def flush(self) -> None:
        """Send what was said last, so that the next attempt knows how far this one has come."""
        await asyncio.sleep(0)  # lets it come in
        if self._sender and not self._sender.done():
            self._sender.cancel()
            await asyncio.wait([self._sender])
        if self._is_unsent and self.is_wanted:
            await self._send()

    async def flush_soon(self) -> None:
        """Do so within FLUSH_SECONDS or not at all, whatever happens: for an attempt that is being cancelled."""
        with suppress(TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.flush()

    def close(self) -> None:
        """Send nothing more."""
        self.end()
        if self._sender:
            self._sender.cancel()

    def _take(self, details: tuple[Json, ...]) -> None:
        if self._timeout and not self._is_over:
            self._move_deadline(self._timeout)
        self._details = details
        self._is_unsent = True
        if not self._is_over and (self._sender is None or self._sender.done()):
            self._sender = self._loop.create_task(self._send_in_time())

    async def _send_in_time(self) -> None:
        while self._is_unsent:
            await asyncio.sleep(self._sent_at + self._interval - self._loop.time())
            await self._send()

    async def _send(self) -> None:
        attempt, said = self._attempt, self._details
        self._is_unsent = False
        self._sent_at = self._loop.time()
        try:
            what = "the details of a heartbeat"
            details = tuple([await self._payloads.encoded(one, attempt.execution_id, what) for one in said])
            answer = await self._api.activity_heartbeat(ActivityHeartbeatRequest(token=attempt.token, details=details))
        except asyncio.CancelledError:
            self._is_unsent = True  # nobody knows whether it came in; a repeat is harmless
            raise
        except Exception:  # the attempt goes on, whether anybody hears of it or not
            logger.warning("a heartbeat of %s cannot be sent", attempt.work.name, exc_info=True)
            return
        if not answer.is_wanted:
            attempt.demand.end()

    def _move_deadline(self, seconds: float) -> None:
        with suppress(RuntimeError, AssertionError):  # the attempt has not begun, or has ended
            self.heartbeat_deadline.reschedule(self._loop.time() + seconds)
