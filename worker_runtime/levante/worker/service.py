"""A worker: registers, polls, and hands each task to the code that deals with it."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

from levante.errors import to_failure
from levante.replay.endings import WorkflowCodeFailed
from levante.worker.activities.contained_tasks import contain_exits
from levante.worker.context import WorkerContext
from levante.worker.logs.failures import FailureLog
from levante.worker.process.spawning import spawned
from levante.worker.process.stopping import StoppedEarly, given_up_on
from levante.worker.registration import Registration
from levante.worker.runs.cache import RunCache
from levante.worker.runs.driver import RunDriver, WorkflowUnknown
from levante.worker.tasks.activity_tasks import ActivityTasks, is_fresh
from levante.worker.tasks.intake import Intake
from levante.worker.tasks.leases import LeaseIsLost
from levante.worker.tasks.misdirected import Misdirected
from levante.worker.transport.api import ApiUnreachable, KeyRefused
from levante.worker.transport.retrying import for_ever
from levante_core.protocol import Failure, WorkflowTask
from levante_core.protocol.workers import DeliveredTask, HandBack, TaskQueue, WorkflowTaskFailedRequest

logger = logging.getLogger("levante.worker")

MAX_HELD_RUNS = 200
"""Runs advanced at the same time; more tasks than that stay with other workers."""
CLEANUP_SECONDS = 1.0
"""How long activities that did not end within DRAIN_SECONDS have to clean up once they are cancelled."""
GIVING_UP_SECONDS = 0.2
"""How long they have to end once they are cancelled again."""
LAST_SECONDS = 0.2
"""How long the calls may take that give back what is left."""
END_SECONDS = CLEANUP_SECONDS + GIVING_UP_SECONDS + 2 * LAST_SECONDS
"""How long all of that takes after DRAIN_SECONDS, at most; see `process_end` for the rest of the way."""
REFUSED_SECONDS = 10.0
"""How long activities have to clean up when the API refuses the worker, and what they do can be recorded no more."""


class Worker:
    """Serves workflows and activities until it is told to stop."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._pool = context.settings.serves
        self._intake = Intake(context.tasks)
        self._leases = [self._intake.leases]
        self._cache = RunCache(context.settings.max_cached_workflows)
        self._registration = Registration(context, context.runner.session.name, self._renew_leases)
        self._drivers: set[RunDriver] = set()
        self._advancing: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._misdirected = Misdirected(context.settings.deployment_name)
        self._activities = ActivityTasks(context, self._changed, self._misdirected)
        self._failures = FailureLog()

    async def run(self, stop: asyncio.Event, ready: asyncio.Event | None = None) -> None:
        """Serve until `stop` is set, then drain. Stopped before it has registered, it ends at once.

        ready: set once it has registered.

        Raises: ApiError when the API refuses the worker for good; WorkflowsException when a provider fails.
        """
        contain_exits(asyncio.get_running_loop())
        async with AsyncExitStack() as stack:
            try:
                async with given_up_on(stop):
                    await stack.enter_async_context(self._context.runner.with_dependencies())
                    await self._registration.register()
                    if ready:
                        ready.set()
            except StoppedEarly:
                logger.info("stopping: this worker has not begun to serve")
                return
            await self._serve(stop)

    async def _serve(self, stop: asyncio.Event) -> None:
        heartbeat = asyncio.create_task(self._registration.heartbeat())
        background = [
            heartbeat,
            asyncio.create_task(self._intake.leases.keep()),
            asyncio.create_task(self._poll(TaskQueue.WORKFLOW, self._intake, self._room_for_runs, self._receive_runs)),
            asyncio.create_task(self._poll_activities(self._intake)),
            asyncio.create_task(self._context.api.until_refused()),
            asyncio.create_task(stop.wait()),
        ]
        presence = spawned(self._registration.hold_presence())
        session = spawned(for_ever("serving the sticky session", self._serve_session, ended_by=KeyRefused))
        polls = background[2:4]
        try:
            done, _ = await asyncio.wait(background, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await _cancelled([heartbeat, *polls, session])
            await self._drain()
        finally:
            seconds = LAST_SECONDS if stop.is_set() else REFUSED_SECONDS
            await _cancelled([session, *background, presence, *self._held()], seconds)
            for batcher in (self._context.commits, self._context.reports):
                await batcher.close()
            self._cache.clear()

    async def _renew_leases(self) -> None:
        for leases in self._leases:
            await leases.renew()

    # --- polling ------------------------------------------------------------------------------------------------------

    async def _poll(
        self,
        queue: TaskQueue,
        intake: Intake,
        room: Callable[[], int],
        receive: Callable[[Sequence[DeliveredTask]], None],
    ) -> None:
        """Take tasks while there is room for them. Raises: KeyRefused, and nothing else: a poll that fails is made again."""

        async def turn() -> None:
            limit = min(room(), 100)
            if limit == 0:
                self._changed.clear()
                await self._changed.wait()
            else:
                receive(await intake.tasks.poll(queue, limit))

        await for_ever(f"polling the {queue} queue", turn, ended_by=KeyRefused)

    async def _poll_activities(self, intake: Intake) -> None:
        await self._poll(TaskQueue.ACTIVITY, intake, self._room_for_activities, partial(self._activities.receive, intake))

    async def _serve_session(self) -> None:
        session = self._context.runner.session
        await session.opened.wait()
        intake = Intake(await self._context.tasks_of(self._pool.for_session(session.name)))
        self._leases.append(intake.leases)
        keeping = asyncio.create_task(intake.leases.keep())
        try:
            await self._poll_activities(intake)
        finally:
            self._leases.remove(intake.leases)
            await _cancelled([keeping])

    def _room_for_runs(self) -> int:
        return max(0, MAX_HELD_RUNS - len(self._advancing))

    def _room_for_activities(self) -> int:
        return self._context.runner.free_slots

    def _receive_runs(self, tasks: Sequence[DeliveredTask]) -> None:
        by_execution: dict[str, list[DeliveredTask]] = defaultdict(list)
        for delivered in tasks:
            by_execution[delivered.task.execution_id].append(delivered)
        for execution_id, deliveries in by_execution.items():
            before = self._advancing.get(execution_id)
            task = spawned(self._advance(deliveries, before))
            self._advancing[execution_id] = task
            task.add_done_callback(partial(self._forget, execution_id))

    def _forget(self, execution_id: str, done: asyncio.Task[None]) -> None:
        if self._advancing.get(execution_id) is done:
            del self._advancing[execution_id]
        self._changed.set()

    # --- workflow tasks -----------------------------------------------------------------------------------------------

    async def _advance(self, deliveries: Sequence[DeliveredTask], before: asyncio.Task[None] | None) -> None:
        """Advance one run. `before`: what this worker still does for the same execution."""
        receipts = [delivered.receipt for delivered in deliveries]
        async with self._intake.leases.held(TaskQueue.WORKFLOW, receipts):
            if before:
                await asyncio.wait([before])
            by_run: dict[str, list[DeliveredTask]] = defaultdict(list)
            for delivered in deliveries:
                by_run[delivered.task.run_id].append(delivered)
            for run_id, its_deliveries in by_run.items():
                await self._advance_run(run_id, its_deliveries)

    async def _advance_run(self, run_id: str, deliveries: Sequence[DeliveredTask]) -> None:
        try:
            await self._hold(run_id, deliveries)
        except LeaseIsLost:
            logger.warning("execution %s is advanced by another worker by now", deliveries[0].task.execution_id)
        except KeyRefused:
            return  # this worker ends; the run stays as it is
        except WorkflowUnknown as error:
            if not await self._left_to_others(run_id, deliveries, error.workflow_name):
                await self._report_task_failure(deliveries, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the run stays open, and says why
            await self._report_task_failure(deliveries, error)

    async def _left_to_others(self, run_id: str, deliveries: Sequence[DeliveredTask], workflow_name: str) -> bool:
        """Hand tasks back, but for those that were delivered before: a copy would not say so."""
        is_first = all(delivered.receive_count == 1 for delivered in deliveries)
        if not is_first:
            return False
        await self._misdirected.times(run_id, f"workflow {workflow_name!r}")
        returned = [HandBack(receipt=delivered.receipt, token=delivered.task.token) for delivered in deliveries]
        await self._intake.hand_back(TaskQueue.WORKFLOW, returned)
        return True

    async def _hold(self, run_id: str, deliveries: Sequence[DeliveredTask]) -> None:
        tasks = [delivered.task for delivered in deliveries if isinstance(delivered.task, WorkflowTask)]
        if not tasks:
            raise TypeError("a message of the workflow queue is no workflow task")
        receipts = [delivered.receipt for delivered in deliveries]
        is_redelivered = any(delivered.receive_count > 1 for delivered in deliveries)
        is_trusted = not is_redelivered and all(is_fresh(delivered.task, self._context.now()) for delivered in deliveries)
        driver = RunDriver(self._context, self._intake.leases, tasks[0], receipts, self._cache.take(run_id))
        self._drivers.add(driver)
        try:
            facts = [task.fact for task in tasks if task.fact]
            is_dealt_with = await driver.advance(facts, is_trusted=is_trusted, is_redelivered=is_redelivered)
        finally:
            self._drivers.discard(driver)
        if driver.ledger:
            self._cache.put(run_id, driver.ledger)
        if not is_dealt_with:
            await self._intake.done(TaskQueue.WORKFLOW, receipts)

    async def _report_task_failure(self, deliveries: Sequence[DeliveredTask], error: Exception) -> None:
        """Leave one message for later, so that fixed code can carry on. Never raises.

        If nobody takes the report, the lease ends by itself, and the task comes again all the same.
        """
        last, *others = deliveries
        cause = error.__cause__ if isinstance(error, WorkflowCodeFailed) and error.__cause__ else error
        failure = to_failure(cause)
        self._failures.code(last.task.execution_id, last.task.run_id, last.receive_count, failure)
        if others:
            await self._intake.done(TaskQueue.WORKFLOW, [delivered.receipt for delivered in others])
        brief = Failure(type=type(cause).__name__, message="the failure itself cannot be reported: see the worker's log")
        for reported in (failure, brief):
            request = WorkflowTaskFailedRequest(
                token=last.task.token,
                receipt=last.receipt,
                attempt=last.receive_count,
                failure=reported,
            )
            try:
                await self._context.api.workflow_task_failed(request)
            except (KeyRefused, ApiUnreachable):
                return
            except Exception:
                logger.exception("nobody takes the report that execution %s cannot be advanced", last.task.execution_id)
            else:
                return

    # --- stopping -----------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let running work end for a while, then stop it, and give back what is left once it has cleaned up.

        So no attempt is made anew while this worker is still at it. Takes DRAIN_SECONDS, and END_SECONDS more at most.
        """
        seconds, runner = self._context.settings.drain_seconds, self._context.runner
        limit = asyncio.get_running_loop().time() + seconds + END_SECONDS
        logger.info("stopping: running activities have %g s to end", seconds)
        self._misdirected.stop()
        for driver in self._drivers:
            driver.stop(now=False)
        await _ended(self._held(), seconds)
        runner.stop()
        await _ended(self._held(), CLEANUP_SECONDS)
        runner.cut_off()
        await _ended(self._held(), GIVING_UP_SECONDS)
        for driver in self._drivers:
            driver.stop(now=True)
        last = [spawned(self._activities.hand_back()), spawned(self._registration.leave())]
        await _ended([*self._advancing.values(), *last], LAST_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(limit):
                await self._context.tasks.close()

    def _held(self) -> list[asyncio.Task[None]]:
        """Return what is under way, in place and from the queue."""
        return [*self._advancing.values(), *self._activities.tasks]


async def _ended(tasks: Sequence[asyncio.Task[None]], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]], seconds: float | None = None) -> None:
    """Cancel tasks, and wait for them to end, or for so many seconds."""
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks, timeout=seconds) if tasks else ((), ())
    for task in done:
        if not task.cancelled():
            task.exception()  # whoever cancels a task is not interested in how else it ended
