"""Activity tasks from the queue: is one wanted still, run it, report how it ended or hand it back."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import assert_never

from levante.errors import WorkflowsException, to_failure
from levante.worker.activities.attempt import Attempt
from levante.worker.activities.attempt_end import AttemptEnd, Deferred, Failed, Stopped, Succeeded
from levante.worker.context import WorkerContext
from levante.worker.process.spawning import spawned
from levante.worker.tasks.intake import Intake
from levante.worker.tasks.misdirected import Misdirected
from levante.worker.transport.api import ApiError
from levante.worker.transport.reporting import report_end
from levante_core.protocol import OLD_AFTER_SECONDS, ActivityTask, WorkflowTask
from levante_core.protocol.activities import ActivityReport, CheckRequest
from levante_core.protocol.workers import DeliveredTask, HandBack, TaskQueue

logger = logging.getLogger("levante.worker")

TIMES_LEFT = 6
"""So often a task is left to other workers that may have its activity; then its attempt fails, as nobody has it."""


def is_fresh(task: WorkflowTask | ActivityTask, now: datetime) -> bool:
    """Tell whether a task can be believed without asking, if it was delivered once."""
    return not task.verify and now - task.fresh_at < timedelta(seconds=OLD_AFTER_SECONDS)


class ActivityTasks:
    """The activity tasks that a worker holds. changed: set whenever one has been dealt with."""

    def __init__(self, context: WorkerContext, changed: asyncio.Event, misdirected: Misdirected) -> None:
        self._context = context
        self._changed = changed
        self._held: dict[asyncio.Task[None], tuple[DeliveredTask, Intake]] = {}
        self._stopped: list[tuple[DeliveredTask, Intake]] = []
        self._misdirected = misdirected

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """What is under way."""
        return list(self._held)

    def receive(self, intake: Intake, deliveries: Sequence[DeliveredTask]) -> None:
        """Take tasks, and run their attempts as slots become free."""
        for delivered in deliveries:
            task = spawned(self._run(delivered, intake))
            self._held[task] = delivered, intake
            task.add_done_callback(self._ended)

    async def hand_back(self) -> None:
        """Give to other workers what was stopped, and what did not end in spite of it."""
        returned: defaultdict[Intake, list[HandBack]] = defaultdict(list)
        for delivered, intake in (*self._stopped, *self._held.values()):
            returned[intake].append(HandBack(receipt=delivered.receipt, token=delivered.task.token))
        self._stopped.clear()
        for intake, tasks in returned.items():
            await intake.hand_back(TaskQueue.ACTIVITY, tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._held.pop(task, None)
        self._changed.set()

    async def _run(self, delivered: DeliveredTask, intake: Intake) -> None:
        async with intake.leases.held(TaskQueue.ACTIVITY, [delivered.receipt]):
            task = await self._wanted(delivered)
            if task is None or task.work is None:
                await intake.done(TaskQueue.ACTIVITY, [delivered.receipt])
                return
            if await self._is_left_to_others(delivered, task.work.name):
                await intake.hand_back(TaskQueue.ACTIVITY, [HandBack(receipt=delivered.receipt, token=task.token)])
                return
            attempt = Attempt(
                task.execution_id,
                task.run_id,
                task.deployment_name,
                task.seq,
                task.attempt,
                task.token,
                task.work,
                task.details,
            )
            end = await self._run_decoded(attempt)
            match end:
                case Deferred():
                    await intake.done(TaskQueue.ACTIVITY, [delivered.receipt])
                case Stopped():
                    self._stopped.append((delivered, intake))
                case Succeeded(_, sent):
                    report = ActivityReport(token=task.token, result=sent, receipt=delivered.receipt)
                    await report_end(self._context.reports, attempt, report)
                case Failed(failure):
                    report = ActivityReport(token=task.token, failure=failure, receipt=delivered.receipt)
                    await report_end(self._context.reports, attempt, report)
                case _:
                    assert_never(end)

    async def _is_left_to_others(self, delivered: DeliveredTask, name: str) -> bool:
        """Tell whether this worker hands a task back as it lacks the activity; not what was delivered before.

        Nor what belongs to its own session, which is nobody else's.
        """
        runner, task = self._context.runner, delivered.task
        if runner.has(name) or delivered.receive_count > 1 or task.deployment_name != self._context.settings.serves:
            return False
        key = f"{task.run_id}:{task.seq}" if isinstance(task, ActivityTask) else task.run_id
        return await self._misdirected.times(key, f"activity {name!r}") < TIMES_LEFT

    async def _run_decoded(self, attempt: Attempt) -> AttemptEnd:
        """Run an attempt whose payloads are encoded; what cannot be decoded fails as if the activity had."""
        payloads, work = self._context.payloads, attempt.work
        try:
            value = await payloads.decoded(work.input, attempt.execution_id)
            details = tuple([await payloads.decoded(one, attempt.execution_id) for one in attempt.details])
        except WorkflowsException as error:
            return Failed(to_failure(error))
        plain = replace(attempt, work=work.model_copy(update={"input": value}), details=details)
        return await self._context.runner.run(plain)

    async def _wanted(self, delivered: DeliveredTask) -> ActivityTask | None:
        """Return what to run; a message that is old or was delivered before is believed only after asking."""
        task = delivered.task
        if not isinstance(task, ActivityTask):
            return None
        if task.work and delivered.receive_count == 1 and is_fresh(task, self._context.now()):
            return task
        try:
            return (await self._context.api.check(CheckRequest(task=task, receive_count=delivered.receive_count))).task
        except ApiError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            logger.warning("nobody has asked for activity %d of execution %s: dropped", task.seq, task.execution_id)
            return None
