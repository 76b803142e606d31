"""What is due: the messages of the timers queue, and the one-minute sweep over what was out of its reach."""

from datetime import datetime, timedelta
from typing import assert_never

from levante_core.domain.events import TimerFired
from levante_core.domain.execution import RunKey
from levante_core.domain.frozen import wire_time
from levante_core.domain.plan import FactRecorded, SendLater, SendTask, task_id
from levante_core.domain.tasks import DELAYED, ActivityTask, DeadlineDue, DelayedOfRun, ScheduleDue, TimerDue
from levante_core.ports.item_store import AFTER_ALL, Absent, ConditionFailed, Delete, ItemStore, Put
from levante_core.ports.queues import MAX_DELAY_SECONDS
from levante_core.ports.surroundings import Clock
from levante_core.records import keys
from levante_core.records.runs import Recorded, execution_of, fact_item, is_open_run, outcome_fact, summary_of
from levante_core.records.schedules import due_of
from levante_core.services.closing import ClosingService
from levante_core.services.dispatch import Dispatch
from levante_core.services.reading import read_index
from levante_core.services.schedules import SWEEP_REACH, ScheduleService

SWEEP_PAGE = 500


class DueService:
    """Lets timers fire, retries come, schedules start executions, and deadlines end them."""

    def __init__(
        self, store: ItemStore, clock: Clock, dispatch: Dispatch, closing: ClosingService, schedules: ScheduleService
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._closing = closing
        self._schedules = schedules

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
                self._closing.time_out(_run(due))
            case ScheduleDue():
                self._schedules.look(due.workspace, due.schedule_id)
            case _:
                assert_never(due)

    def sweep(self) -> None:
        """Move timers that have come within reach of the queue, remind schedules, and end executions that are overdue.

        Several sweeps at once do the same work twice, harmlessly.
        """
        now = self._clock.now()
        for shard in range(keys.SHARDS):
            self._move_timers(keys.timers(shard), wire_time(now + timedelta(seconds=MAX_DELAY_SECONDS)))
            self._end_overdue(keys.open_runs(shard), wire_time(now))
            self._remind_schedules(keys.due_schedules(shard), wire_time(now + SWEEP_REACH))

    def next_sweep_at(self) -> datetime | None:
        """Return when the next sweep has something to do; None while nothing waits for one. Cost: some 16 reads."""
        times = []
        for shard in range(keys.SHARDS):
            for item in self._store.query(keys.timers(shard), limit=1).items:
                due_at = datetime.fromisoformat(item.key.sort.partition("#")[0])
                times.append(due_at - timedelta(seconds=MAX_DELAY_SECONDS))
            for item in self._store.query_index(keys.DUE, keys.open_runs(shard), limit=1).items:
                run = summary_of(item).key
                whole = self._store.get(keys.execution(run.workspace, run.execution_id))
                times += [execution_of(whole).start.deadline_at] if whole else []
            for item in self._store.query_index(keys.DUE, keys.due_schedules(shard), limit=1).items:
                soon = self._clock.now() + timedelta(minutes=1)  # of what is due already, the last sweep has reminded
                times.append(max(due_of(item).fresh_at - SWEEP_REACH, soon))
        return min(times, default=None)

    def _fire(self, timer: TimerDue) -> None:
        now = self._clock.now()
        fact = outcome_fact(TimerFired(seq=timer.seq, at=timer.fresh_at))
        recorded = Recorded(_run(timer), timer.deployment_name, now)
        try:
            self._store.write(Put(fact_item(recorded, fact), Absent()))
        except ConditionFailed:
            return
        self._dispatch.promptly([FactRecorded(recorded.run, timer.deployment_name, now, fact)])

    def _move_timers(self, partition: str, until: str) -> None:
        page = self._store.query(partition, last=until + AFTER_ALL, limit=SWEEP_PAGE)
        while page.items:
            due = [DELAYED.validate_json(item.documents["due"]) for item in page.items]
            self._dispatch.carry_out(SendLater(one) for one in due if isinstance(one, ScheduleDue) or self._is_open(one))
            self._store.write_each([[Delete(item.key)] for item in page.items])
            page = self._store.query(partition, last=until + AFTER_ALL, limit=SWEEP_PAGE)

    def _is_open(self, due: DelayedOfRun) -> bool:
        """Whether the run that a timer is of goes on: what ended long ago may be deleted by now, and must not come back."""
        return is_open_run(self._store.get(keys.execution(due.workspace, due.execution_id)), due.run_id)

    def _remind_schedules(self, partition: str, until: str) -> None:
        """Send a message for each schedule that is due before the next sweep, at its time; repeats are harmless."""
        due = read_index(self._store, keys.DUE, partition, until + AFTER_ALL, SWEEP_PAGE)
        self._dispatch.carry_out(SendLater(due_of(item)) for item in due)

    def _end_overdue(self, partition: str, until: str) -> None:
        for item in read_index(self._store, keys.DUE, partition, until + AFTER_ALL, SWEEP_PAGE):
            self._closing.time_out(summary_of(item).key)


def _run(due: DelayedOfRun) -> RunKey:
    return RunKey(due.workspace, due.execution_id, due.run_id)
