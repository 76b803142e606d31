"""Carrying out what `plan` asks for."""

import hashlib
import json
import logging
import re
from base64 import b32encode
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from math import ceil
from typing import assert_never

from levante_core.domain.dispatch.plan import MessageEffect, Record, SendLater, SendTask, plan
from levante_core.domain.dispatch.tasks import (
    ActivityTask,
    BatchJobDue,
    DeadlineDue,
    Delayed,
    DelayedOfRun,
    ScheduleDue,
    TimerDue,
    WorkflowTask,
)
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotFound, Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Put
from levante_core.ports.queues import MAX_DELAY_SECONDS, OutgoingMessage, Queues
from levante_core.ports.surroundings import Clock
from levante_core.protocol.workers import TaskQueue
from levante_core.services.access.capabilities import Capabilities
from levante_core.storage import keys

logger = logging.getLogger("levante.dispatch")

TIMERS_QUEUE = "timers"
QUEUE_DIGEST_BYTES = 16
MAX_GROUP_LENGTH = 128
"""Source: SQS API, SendMessage, MessageGroupId (read 2026-11-23)."""
MAX_TASK_BYTES = 64 * 1024
"""SQS bills a message in steps of this size; what is larger is left out of a task and asked for by its worker."""


def queue_name(workspace: Workspace, pool: WorkerPool, queue: TaskQueue) -> str:
    """Name the queue of a worker pool within what SQS allows: 80 letters, digits, '-' or '_'.

    The digest tells the pools of all workspaces apart. It has 128 bits, so that nobody finds a name that shares another
    one's queue. What stands before it is for people.
    """
    digest = hashlib.sha256(json.dumps([workspace, str(pool)]).encode()).digest()[:QUEUE_DIGEST_BYTES]
    readable = re.sub(r"[^A-Za-z0-9_-]", "-", str(pool))[:8]
    return f"{readable}-{b32encode(digest).decode().rstrip('=').lower()}-{queue.value}-tasks.fifo"


def message(task: WorkflowTask | ActivityTask, deduplication_id: str) -> OutgoingMessage:
    """Write a task as a message: one group per execution for workflow tasks, one per activity for the others."""
    body = task.model_dump_json()
    if len(body.encode()) > MAX_TASK_BYTES:
        body = _without_payload(task).model_dump_json()
    return OutgoingMessage(body, group_of(task.run, task.seq if isinstance(task, ActivityTask) else None), deduplication_id)


def group_of(run: RunKey, seq: int | None) -> str:
    """Name the group of an execution's workflow tasks, or of the tasks of one of its activities.

    Within the length that SQS allows, and no two share a group.
    """
    name = f"{run.workspace}:{run.execution_id if seq is None else f'{run.run_id}:{seq}'}"
    return name if len(name) <= MAX_GROUP_LENGTH else hashlib.sha256(name.encode()).hexdigest()


def _without_payload(task: WorkflowTask | ActivityTask) -> WorkflowTask | ActivityTask:
    match task:
        case WorkflowTask():
            return task.model_copy(update={"start": None, "fact": None, "verify": True})
        case ActivityTask():
            return task.model_copy(update={"work": None, "verify": True})
        case _:
            assert_never(task)


class Dispatch:
    """Sends tasks and sets timers. fast_path: whether the API does so for what it has just written."""

    def __init__(
        self, store: ItemStore, queues: Queues, clock: Clock, capabilities: Capabilities, *, fast_path: bool
    ) -> None:
        self._store = store
        self._capabilities = capabilities
        self._queues = queues
        self._clock = clock
        self._fast_path = fast_path

    def dispatch_now(self, records: Iterable[Record]) -> None:
        """Send at once the tasks that these records ask for. What is due later is left to the change feed.

        Never raises for want of a queue: what is recorded is recorded, and the change feed asks for the same.
        """
        if self._fast_path:
            effects = [effect for record in records for effect in plan(record)]
            try:
                self.carry_out(effect for effect in effects if isinstance(effect, SendTask))
            except (Unavailable, NotFound):
                logger.warning("the fast path could not send; the change feed will", exc_info=True)

    def carry_out(self, effects: Iterable[MessageEffect], *, salt: str = "") -> None:
        """Carry out effects. A repeat is harmless; salt makes the queues accept one all the same.

        Raises: Unavailable, after which some may have been carried out.
        Cost: one send per 10 messages and queue.
        """
        outgoing: dict[str, list[OutgoingMessage]] = defaultdict(list)
        for effect in effects:
            match effect:
                case SendTask(task, deduplication_id):
                    queue = TaskQueue.WORKFLOW if isinstance(task, WorkflowTask) else TaskQueue.ACTIVITY
                    name = queue_name(task.workspace, task.deployment_name, queue)
                    outgoing[name].append(message(self._capabilities.granted(task), deduplication_id + salt))
                case SendLater(due):
                    delayed = self._delayed(due)
                    if delayed:
                        outgoing[TIMERS_QUEUE].append(delayed)
                case _:
                    assert_never(effect)
        for queue_to, messages in outgoing.items():
            self._send(queue_to, messages)

    def _send(self, queue: str, messages: list[OutgoingMessage]) -> None:
        try:
            self._queues.send(queue, messages)
        except NotFound:
            self._queues.ensure(queue)
            self._queues.send(queue, messages)

    def _delayed(self, due: Delayed) -> OutgoingMessage | None:
        delay = max(timedelta(), due.fresh_at - self._clock.now())
        if delay <= timedelta(seconds=MAX_DELAY_SECONDS):
            return OutgoingMessage(due.model_dump_json(), delay_seconds=ceil(delay.total_seconds()))
        if isinstance(due, ScheduleDue | BatchJobDue):
            return None  # the index tells the sweep when
        key = keys.timer(due.fresh_at, due.run_id, _timer_name(due))
        with suppress(ConditionFailed):
            self._store.write(Put(Item(key, {}, {"due": due.model_dump_json()}), Absent()))
        return None


def _timer_name(due: DelayedOfRun) -> str:
    match due:
        case ActivityTask():
            return f"activity:{due.seq}:{due.attempt}"
        case TimerDue():
            return f"timer:{due.seq}"
        case DeadlineDue():
            return "deadline"
        case _:
            assert_never(due)
