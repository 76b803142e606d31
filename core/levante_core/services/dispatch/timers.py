"""What is due: the messages of the timers queue, and the one-minute sweep over what was out of its reach."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import assert_never

from levante_core.domain.dispatch.plan import FactRecorded, SendLater, SendTask, task_id
from levante_core.domain.dispatch.tasks import (
    DELAYED,
    ActivityTask,
    BatchJobDue,
    DeadlineDue,
    Delayed,
    DelayedOfRun,
    ScheduleDue,
    TimerDue,
)
from levante_core.domain.epoch import EPOCH
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.events import TimerFired
from levante_core.errors import InconsistentHistory, Unavailable
from levante_core.ports.item_store import (
    AFTER_ALL,
    Absent,
    ConditionFailed,
    Delete,
    Item,
    ItemStore,
    Key,
    Put,
    Query,
    Update,
)
from levante_core.ports.queues import MAX_DELAY_SECONDS
from levante_core.ports.surroundings import Clock
from levante_core.services.batch_jobs.steps import BatchJobSteps
from levante_core.services.dispatch.containment import each_by_itself
from levante_core.services.dispatch.parking import Parking
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.close import ClosingService
from levante_core.services.history.loading import read_all
from levante_core.services.schedules.schedules import SWEEP_REACH, ScheduleService
from levante_core.storage import keys
from levante_core.storage.batch_jobs.jobs import job_at
from levante_core.storage.parked import NEVER, ParkedKind, owner_in, owner_of_text
from levante_core.storage.runs import Recorded, fact_item, is_open_run, open_run_as_read, outcome_fact, summary_of
from levante_core.storage.schedules import due_of

logger = logging.getLogger("levante.due")

SWEEP_PAGE = 500


class DueService:
    """Lets timers fire, retries come, schedules start executions, and deadlines end them."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        *,
        dispatch: Dispatch,
        closing: ClosingService,
        schedules: ScheduleService,
        batch_jobs: BatchJobSteps,
        parking: Parking,
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._closing = closing
        self._schedules = schedules
        self._batch_jobs = batch_jobs
        self._parking = parking

    def handle(self, body: str) -> None:
        """Deal with one message of the timers queue. A repeat is harmless; one that is early is sent again."""
        due = DELAYED.validate_json(body)
        if due.fresh_at > self._clock.now():
            self._dispatch.carry_out([SendLater(due)])
            return
        match due:
            case TimerDue():
                self._fire(due)
            case ActivityTask():
                self._dispatch.carry_out([SendTask(due, task_id(due))])
            case DeadlineDue():
                self._closing.time_out(due.run)
            case ScheduleDue():
                self._schedules.look(due.workspace, due.schedule_id)
            case BatchJobDue():
                self._batch_jobs.step(due)
            case _:
                assert_never(due)

    def park(self, body: str, error: Exception) -> None:
        """Park a message of the timers queue that could not be dealt with. Raises: Unavailable."""
        self._parking.park(ParkedKind.TIMER, owner_of_text(body), body, error)

    def sweep(self) -> None:
        """Move timers within reach of the queue, remind schedules, revive batch jobs, and end executions that are overdue.

        Each of them by itself: one that cannot be handled is parked, and the sweep goes on. Several sweeps at once do the
        same work twice, harmlessly.
        Raises: the last error of a part that could not be done at all, after all others were.
        """
        now = self._clock.now()
        soon = wire_time(now + timedelta(seconds=MAX_DELAY_SECONDS))
        problem: Exception | None = None
        parts = [partial(self._revive_batch_jobs, wire_time(now))]
        for shard in range(keys.SHARDS):
            parts += [
                partial(self._move_timers, keys.timers(shard), soon),
                partial(self._end_overdue, shard, wire_time(now)),
                partial(self._remind_schedules, keys.due_schedules(shard), wire_time(now + SWEEP_REACH)),
            ]
        for part in parts:
            try:
                part()
            except Exception as error:
                logger.exception("a part of the sweep could not be done; the next sweep does it")
                problem = error
        if problem:
            raise problem

    def next_sweep_at(self) -> datetime | None:
        """Return when the next sweep has something to do; None while nothing waits for one. Cost: 17 reads."""
        jobs = self._store.query(Query(keys.DUE_BATCH_JOBS, index=keys.DUE, limit=1)).items
        times = [datetime.fromisoformat(item.indexes[keys.DUE].sort.partition("#")[0]) for item in jobs]
        for shard in range(keys.SHARDS):
            for item in self._store.query(Query(keys.timers(shard), limit=1)).items:
                due_at = datetime.fromisoformat(item.key.sort.partition("#")[0])
                times.append(due_at - timedelta(seconds=MAX_DELAY_SECONDS))
            for partition in (keys.open_runs(shard), keys.parked_due(shard)):
                first = self._store.query(Query(partition, index=keys.DUE, last=NEVER, limit=1)).items
                times += [datetime.fromisoformat(item.indexes[keys.DUE].sort.partition("#")[0]) for item in first]
            for item in self._store.query(Query(keys.due_schedules(shard), index=keys.DUE, limit=1)).items:
                soon = self._clock.now() + timedelta(minutes=1)  # of what is due already, the last sweep has reminded
                times.append(max(due_of(item).fresh_at - SWEEP_REACH, soon))
        return min(times, default=None)

    def _fire(self, timer: TimerDue) -> None:
        now = self._clock.now()
        fact = outcome_fact(TimerFired(seq=timer.seq, at=timer.fresh_at))
        recorded = Recorded(timer.run, timer.deployment_name, now)
        try:
            self._store.write(Put(fact_item(recorded, fact), Absent()))
        except ConditionFailed:
            return
        self._dispatch.dispatch_now([FactRecorded(recorded.run, timer.deployment_name, now, fact)])

    # --- the sweep ----------------------------------------------------------------------------------------------------

    def _move_timers(self, partition: str, until: str) -> None:
        """Send a message for each timer; one that cannot be read is parked, as its message would be."""
        while items := self._store.query(Query(partition, last=until + AFTER_ALL, limit=SWEEP_PAGE)).items:
            self._send(self._read(items))
            self._store.write_each([[Delete(item.key)] for item in items])

    def _read(self, timers: Sequence[Item]) -> list[Delayed]:
        due: list[Delayed] = []
        each_by_itself(timers, lambda item: due.extend(self._wanted(item)), self._park_timer)
        return due

    def _wanted(self, timer: Item) -> Sequence[Delayed]:
        """Read a timer; nothing if the run that it is of has ended: what is deleted by now must not come back."""
        due = DELAYED.validate_json(timer.documents["due"])
        return [due] if isinstance(due, ScheduleDue | BatchJobDue) or self._is_open(due) else []

    def _park_timer(self, timer: Item, error: Exception) -> None:
        """Park a timer; of one whose payload is gone, that there was one: the looks after quiet runs ask for it again."""
        try:
            body = timer.documents.get("due")
        except InconsistentHistory:
            body = None
        text = body if isinstance(body, str) else json.dumps(body)
        self._parking.park(ParkedKind.TIMER, owner_of_text(text), text, error, identity=timer.key.sort)

    def _is_open(self, due: DelayedOfRun) -> bool:
        """Whether the run that a timer is of goes on: what ended long ago may be deleted by now, and must not come back."""
        return is_open_run(self._store.get(keys.execution(due.workspace, due.execution_id)), due.run_id)

    def _remind_schedules(self, partition: str, until: str) -> None:
        """Send a message for each schedule that is due before the next sweep, at its time; repeats are harmless."""
        due: list[Delayed] = []

        def park(item: Item, error: Exception) -> None:
            owner = owner_in({"workspace": item.key.partition.partition("#")[2]})
            self._parking.park(ParkedKind.TIMER, owner, item.key.sort, error)

        listed = read_all(self._store, Query(partition, index=keys.DUE, last=until + AFTER_ALL, limit=SWEEP_PAGE))
        each_by_itself(listed, lambda item: due.append(due_of(item)), park)
        self._send(due)

    def _revive_batch_jobs(self, until: str) -> None:
        """Ask again for the steps of batch jobs that were not heard of."""

        def park(item: Item, error: Exception) -> None:
            workspace, batch_id = job_at(item.key)
            due = BatchJobDue(workspace=workspace, batch_id=batch_id, step=None, fresh_at=EPOCH)
            self.park(due.model_dump_json(), error)

        listed = list(read_all(self._store, Query(keys.DUE_BATCH_JOBS, index=keys.DUE, last=until, limit=SWEEP_PAGE)))
        each_by_itself(listed, lambda item: self._batch_jobs.revive(*job_at(item.key)), park)

    def _send(self, due: Sequence[Delayed]) -> None:
        """Send messages, all together; what is wrong with one of them is found by sending each by itself."""
        try:
            self._dispatch.carry_out(map(SendLater, due))
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - parked below, with the message that it comes from
            each_by_itself(
                due,
                lambda timer: self._dispatch.carry_out([SendLater(timer)]),
                lambda timer, error: self.park(timer.model_dump_json(), error),
            )

    def _end_overdue(self, shard: int, until: str) -> None:
        """End the runs whose time is over. One that cannot be ended is parked, out of the way of those behind it."""

        def park(item: Item, error: Exception) -> None:
            self._parking.park_run(ParkedKind.DEADLINE, item, error)
            last = Key(keys.open_runs(shard), f"{NEVER}#{item.indexes[keys.DUE].sort.partition('#')[2]}")
            with suppress(ConditionFailed):
                self._store.write(Update(item.key, set_indexes={keys.DUE: last}, condition=open_run_as_read(item)))

        listed = list(
            read_all(self._store, Query(keys.open_runs(shard), index=keys.DUE, last=until + AFTER_ALL, limit=SWEEP_PAGE))
        )
        each_by_itself(listed, lambda item: self._closing.time_out(summary_of(item).key), park)
