"""Running activity attempts: slots, what becomes of them at a stop, and how long each activity usually takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from levante import sessions
from levante.context import ActivityContext, ActivityInfo
from levante.definition.definitions import ActivityDefinition, discover_activities
from levante.definition.dependencies import dependency_scope
from levante.errors import to_failure
from levante.parallel import groups
from levante.worker.activities import attempt_failures
from levante.worker.activities.attempt import Attempt
from levante.worker.activities.attempt_end import AttemptEnd, Deferred, Failed, Stopped
from levante.worker.activities.attempt_run import AttemptRun, Surroundings
from levante.worker.activities.heartbeats import HeartbeatMonitor
from levante.worker.activities.publisher import Publisher
from levante.worker.activities.slots import Slots
from levante.worker.activities.sticky_session import StickySession
from levante.worker.activities.stuck_threads import StuckThreads
from levante.worker.activities.threads import DaemonThreads
from levante.worker.logs.failures import FailureLog
from levante.worker.payloads import Payloads
from levante.worker.process.stopping import EndOfAll
from levante.worker.transport.api import Api, KeyRefused
from levante.worker.transport.batcher import Batcher
from levante_core.protocol import ActivityOptions
from levante_core.protocol.activities import DeferRequest, PermitRequest
from levante_core.protocol.workers import ActivitySlots

MOMENT_SECONDS = 0.2
"""How long something may stay unrecorded while it runs in place."""
SHORT_SECONDS = 1.0
"""Activities that usually take longer go through the activity queue."""
WEIGHT_OF_LAST = 0.2


class ActivityRunner:
    """Runs attempts, at most `slots` at a time, and remembers their durations.

    A plain function runs in a thread. As a thread cannot be stopped, its slot is free again when it has returned.
    asks_providers_first: before it runs anything, so that a worker whose surroundings are amiss takes no work; else when an
    activity first needs what they give. threads: for plain functions, one for each slot by default.
    """

    def __init__(
        self,
        definitions: Mapping[str, ActivityDefinition],
        slots: int,
        api: Api,
        now: Callable[[], datetime],
        payloads: Payloads,
        *,
        session: StickySession | None = None,
        asks_providers_first: bool = True,
        threads: int | None = None,
    ) -> None:
        self._definitions = {**discover_activities([groups, sessions]), **definitions}
        self.session = session or StickySession()
        self._api = api
        self._publications = Batcher(api.publish_task_events)
        self._now = now
        self._payloads = payloads
        self._slots = Slots(slots, api.rate_permit)
        self._stop, self._cut_off = EndOfAll(), EndOfAll()
        self._surroundings = Surroundings(payloads, DaemonThreads(threads or slots, "activity"), self._stop)
        self._stuck = StuckThreads()
        self._failures = FailureLog()
        self._running: set[asyncio.Task[Any]] = set()
        self._asks_providers_first = asks_providers_first
        self._usual_seconds: dict[str, float] = {}

    @asynccontextmanager
    async def with_dependencies(self) -> AsyncIterator[None]:
        """Keep what the providers of the activities give until the block ends, and then tear it down.

        Raises: WorkflowsException when one fails that is asked first.
        """
        first = self._definitions.values() if self._asks_providers_first else ()
        async with dependency_scope(provider for one in first for provider in one.injection.providers.values()):
            try:
                yield
            finally:
                await self._stuck.close()
                await self._publications.close()

    def has(self, name: str) -> bool:
        """Tell whether the worker has this activity."""
        return name in self._definitions

    @property
    def slots(self) -> ActivitySlots:
        """How many attempts may run at a time, and how many run or wait for that."""
        return ActivitySlots(total=self._slots.count, in_use=self._slots.load)

    @property
    def free_slots(self) -> int:
        """How many more attempts could start at once; none while too many wait for their place under a rate limit."""
        return self._slots.free

    def runs_in_place(self, name: str, options: ActivityOptions, claimed: int) -> bool:
        """Tell whether an attempt of this activity would most likely be done soon, waiting for a slot included.

        claimed: attempts that the caller is going to run before this one.
        """
        if name not in self._definitions or options.is_local:
            return options.is_local
        if options.rate_limit or options.session not in {None, self.session.name}:
            return False
        usual = self._usual_seconds.get(name)
        queued = max(0, self._slots.load + claimed + 1 - self._slots.count)
        if usual is None:
            return queued == 0
        return usual < SHORT_SECONDS and queued * usual / self._slots.count < MOMENT_SECONDS

    def stop(self) -> None:
        """Cancel all attempts, in place or from the queue, and begin none any more. Each ends when it has cleaned up."""
        self._stop.come()

    def cut_off(self) -> None:
        """Cancel those once more that are still cleaning up."""
        self._cut_off.come()

    async def run(self, attempt: Attempt) -> AttemptEnd:
        """Run an attempt once a slot is free, at a time that its rate limit allows.

        Raises CancelledError only if the caller is cancelled. Raises: KeyRefused.
        """
        task = asyncio.current_task()
        if task:
            self._running.add(task)  # whoever cancels it may forget it before it has cleaned up
            task.add_done_callback(self._running.discard)
        cut_off = self._cut_off.block()
        try:
            async with cut_off:
                return await self._run_in_slot(attempt)
        except KeyRefused:
            raise
        except TimeoutError as error:
            return Stopped() if cut_off.was_ended else Failed(to_failure(error))
        except Exception as error:  # noqa: BLE001 - such as a refusal of the API: the attempt has failed
            return Failed(to_failure(error))

    async def _run_in_slot(self, attempt: Attempt) -> AttemptEnd:
        definition = self._definitions.get(attempt.work.name)
        if definition is None:
            unknown = attempt_failures.unknown(attempt.work.name, self._definitions)
            self._failures.activity(attempt, unknown.failure)
            return unknown
        clock = asyncio.get_running_loop().time
        async with AsyncExitStack() as held:
            stop = self._stop.block()
            try:
                async with stop:
                    await held.enter_async_context(self._slot(attempt))
            except TimeoutError:
                if not stop.was_ended:
                    raise
                return Stopped()
            if not attempt.demand.is_there:
                return attempt_failures.unwanted(attempt.work)
            began = clock()
            end = await self._run_reporting(attempt, definition, held)
            if isinstance(end, Failed):
                self._failures.activity(attempt, end.failure)
            if not isinstance(end, Stopped):
                self.learn(attempt.work.name, clock() - began)
            return end

    def _slot(self, attempt: Attempt) -> AbstractAsyncContextManager[None]:
        work = attempt.work
        limit = work.options.rate_limit
        if limit is None or work.options.is_local:
            return self._slots.one()
        pool = attempt.pool
        return self._slots.one_in_time(PermitRequest(deployment_name=pool, activity_name=work.name, rate_limit=limit))

    async def _run_reporting(self, attempt: Attempt, definition: ActivityDefinition, held: AsyncExitStack) -> AttemptEnd:
        """Run the code, and send what it says while it runs. held: is kept until a thread of it has returned."""
        publisher = Publisher(self._publications, self._now, attempt, self._payloads)
        monitor = HeartbeatMonitor(self._api, attempt, self._payloads, is_in_thread=not definition.is_async)
        run = AttemptRun(attempt, definition, self._context(attempt, monitor, publisher), monitor, self._surroundings)
        try:
            end = await run.end()
            if isinstance(end, Failed | Stopped):
                await monitor.flush()
            if isinstance(end, Stopped) and run.thread:
                await run.thread.wait()
                await monitor.flush()
            await publisher.drain()
            if isinstance(end, Deferred):
                await self._defer(attempt, end)
        except asyncio.CancelledError:
            await monitor.flush_soon()
            raise
        else:
            return end
        finally:
            monitor.close()
            if run.thread and not run.thread.is_over:
                self._stuck.keep(attempt, run.thread, held.pop_all())

    async def _defer(self, attempt: Attempt, end: Deferred) -> None:
        heartbeat_seconds = attempt.work.options.heartbeat_seconds
        request = DeferRequest(token=attempt.token, timeout_seconds=end.seconds, heartbeat_seconds=heartbeat_seconds)
        await self._api.defer_activity(request)

    def _context(self, attempt: Attempt, monitor: HeartbeatMonitor, publisher: Publisher) -> ActivityContext:
        return ActivityContext(
            _info(attempt),
            attempt.details,
            monitor.beat,
            publisher.publish,
            new_task_id=lambda: uuid4().hex,
            open_session=self.session.open,
            activities=self._definitions,
        )

    def learn(self, name: str, seconds: float) -> None:
        """Take the duration of an attempt into account."""
        usual = self._usual_seconds.get(name, seconds)
        self._usual_seconds[name] = usual + WEIGHT_OF_LAST * (seconds - usual)


def _info(attempt: Attempt) -> ActivityInfo:
    options = attempt.work.options
    seconds = options.heartbeat_seconds
    return ActivityInfo(
        execution_id=attempt.execution_id,
        run_id=attempt.run_id,
        activity_id=f"{attempt.run_id}:{attempt.seq}",
        activity_name=attempt.work.name,
        attempt=attempt.number,
        start_to_close_timeout=timedelta(seconds=options.start_to_close_seconds),
        heartbeat_timeout=timedelta(seconds=seconds) if seconds else None,
        task_token=attempt.token,
    )
