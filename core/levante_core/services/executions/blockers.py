"""Why an open execution does not go on: failing code, failing activities, and nobody who could work for it."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache, partial

from levante_core.domain.activities.retry import FailedAttempt, task_retry_delay
from levante_core.domain.executions.blockers import Blocker, BlockerKind
from levante_core.domain.executions.by_hand import describe_pause
from levante_core.domain.executions.execution import Execution, RunKey
from levante_core.domain.executions.failure import describe_failure
from levante_core.domain.history.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    FactTaken,
    HistoryEvent,
)
from levante_core.domain.history.notes import ActivityHandedOver, ExecutionPaused, ExecutionResumed
from levante_core.errors import InconsistentHistory, loggable
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.ports.surroundings import Clock
from levante_core.services.catalogue.attendance import Attendance
from levante_core.services.history.loading import failed_before
from levante_core.storage import keys
from levante_core.storage.attempts import attempt_of, failed_attempts, task_failure_of
from levante_core.storage.decoding import readable
from levante_core.storage.runs import RunSummary, batch_of, recorded_of

logger = logging.getLogger("levante.blockers")

SETTLING = timedelta(seconds=1)
"""A run that started less than this ago has no blockers yet: it is being picked up."""
BATCHES_READ = 20
"""The last ones. What an activity did before them is known from its attempts alone."""
MOST_ATTEMPTS = 50
"""Activities of a run with failed attempts that are looked at."""


class BlockerService:
    """Finds out what is in the way of executions."""

    def __init__(self, store: ItemStore, clock: Clock, attendance: Attendance) -> None:
        self._store = store
        self._clock = clock
        self._attendance = attendance

    def of(self, run: RunSummary | Execution) -> tuple[Blocker, ...]:
        """Return what keeps a run from going on. Cost: see `Blockers.of`."""
        return self.finder().of(run)

    def finder(self) -> "Blockers":
        """Return what looks at several runs, such as those of a listing."""
        return Blockers(self._store, self._clock, self._attendance)


class Blockers:
    """Looks at runs within one request, at each of them and at each deployment once."""

    def __init__(self, store: ItemStore, clock: Clock, attendance: Attendance) -> None:
        self._store = store
        self._now = clock.now()
        self._missing = cache(attendance.missing)
        self._found: dict[RunKey, tuple[Blocker, ...]] = {}

    def of(self, run: RunSummary | Execution) -> tuple[Blocker, ...]:
        """Return what keeps a run from going on; nothing for one that is closed, or has just started.

        Cost: none for those, nor for a run that was asked for before; else a read and two queries, a query and a read for
        each deployment, and a read or two for each activity that has failed.
        """
        if not run.is_open or self._now - run.started_at < SETTLING:
            return ()
        if run.key not in self._found:
            self._found[run.key] = self._look(run)
        return self._found[run.key]

    def _look(self, run: RunSummary | Execution) -> tuple[Blocker, ...]:
        first, last = keys.prefixed(keys.BATCH)
        partition = keys.history(run.key.workspace, run.key.run_id)
        query = Query(partition, first=first, last=last, limit=BATCHES_READ, descending=True)
        newest = [*self._store.query(query).items][::-1]
        parts = (
            partial(_pause, newest),
            partial(self._failing_code, run.key, newest[-1] if newest else None),
            partial(self._failing_activities, run.key, newest),
            partial(self._missing_workers, run),
        )
        return tuple(blocker for part in parts for blocker in _readable_ones(part))

    def _failing_code(self, run: RunKey, last: Item | None) -> Iterator[Blocker]:
        """Yield why the code cannot be run on; what failed before something was recorded is over."""
        item = self._store.get(keys.task_failure(run))
        if item is None:
            return
        attempt, failed_at, failure = task_failure_of(item)
        if last and failed_at < recorded_of(last).at:
            return
        yield Blocker(
            kind=BlockerKind.CODE_FAILING,
            message=f"workflow code fails: {describe_failure(failure)}; fix it and restart the worker, and it goes on",
            since=failed_at,
            attempt=attempt,
            next_attempt_at=failed_at + task_retry_delay(attempt),
            failure=failure,
        )

    def _failing_activities(self, run: RunKey, newest: list[Item]) -> Iterator[Blocker]:
        """Yield which activities have failed and are tried again."""
        recent = _Recent(newest)
        first, last = keys.prefixed(keys.ATTEMPT)
        items = self._store.query(
            Query(keys.history(run.workspace, run.run_id), first=first, last=last, limit=MOST_ATTEMPTS)
        ).items
        retries = {ended.seq: (ended, failed_attempts(item)) for item in items for ended in readable([item], attempt_of)}
        failing = {failed.seq: (failed, due_at) for failed, due_at in recent.handed_over() if failed.seq not in retries}
        for seq, (ended, failed) in retries.items():
            is_current = failed and (recent.reaches(failed[-1].at) or ended.due_at > self._now)
            if is_current and not recent.has_ended(seq):
                failing[seq] = failed[-1], ended.due_at
        for seq, (failure, due_at) in sorted(failing.items()):
            if self._store.get(keys.fact(run, keys.outcome_fact(seq))) is None:
                scheduled_in = retries[seq][0].scheduled_in if seq in retries else None
                yield _failing(recent.name_of(seq) or self._name_of(run, seq, scheduled_in), failure, due_at)

    def _name_of(self, run: RunKey, seq: int, scheduled_in: int | None) -> str | None:
        item = self._store.get(keys.batch(run, scheduled_in)) if scheduled_in else None
        return _names(batch_of(item).events).get(seq) if item else None

    def _missing_workers(self, run: RunSummary | Execution) -> Iterator[Blocker]:
        missing = self._missing(run.key.workspace, run.pool, run.workflow_name)
        if missing:
            yield Blocker(kind=BlockerKind.NO_WORKER, message=missing)


def _pause(newest: list[Item]) -> Iterator[Blocker]:
    """Yield that a run is paused: as long as it is, little is recorded."""
    events = [event for item in newest for event in batch_of(item).events]
    last = next((event for event in reversed(events) if isinstance(event, ExecutionPaused | ExecutionResumed)), None)
    if isinstance(last, ExecutionPaused):
        yield Blocker(kind=BlockerKind.PAUSED, message=describe_pause(last.by_hand), since=last.by_hand.at)


def _readable_ones(part: Callable[[], Iterator[Blocker]]) -> list[Blocker]:
    """Return what a part finds; nothing where an item is damaged, which the run's parked items say."""
    try:
        return list(part())
    except InconsistentHistory as error:
        logger.warning("what keeps an execution from going on cannot be said: %s", loggable(error))
        return []


class _Recent:
    """What the last batches of a run say about its activities."""

    def __init__(self, items: list[Item]) -> None:
        self._batches = [(batch_of(item), recorded_of(item).at) for item in items]
        self._names = _names(event for batch, _ in self._batches for event in batch.events)
        self._is_whole = not self._batches or self._batches[0][0].index == 1

    def reaches(self, at: datetime) -> bool:
        """Whether everything recorded since then is here."""
        return self._is_whole or self._batches[0][1] <= at

    def name_of(self, seq: int) -> str | None:
        """Return what the activity is called, if it was asked for in these batches."""
        return self._names.get(seq)

    def has_ended(self, seq: int) -> bool:
        """Whether the code has taken how the activity ended, or does not want it any more."""
        return any(_ends(event, seq) for batch, _ in self._batches for event in batch.events)

    def handed_over(self) -> Iterator[tuple[FailedAttempt, datetime]]:
        """Yield the first attempts that failed in place and are followed by others, and when those are due."""
        for batch, at in self._batches:
            for event in (event for event in batch.events if isinstance(event, ActivityHandedOver)):
                failed = failed_before(event, at)
                if failed and not self.has_ended(event.activity):
                    yield failed, at + timedelta(seconds=event.delay_seconds)


def _ends(event: HistoryEvent, seq: int) -> bool:
    match event:
        case ActivityCompleted() | ActivityFailed():
            return event.seq == seq
        case FactTaken():
            return event.fact == keys.outcome_fact(seq)
        case ActivityCancelRequested():
            return event.activity == seq and not event.is_awaited
        case _:
            return False


def _names(events: Iterable[HistoryEvent]) -> dict[int, str]:
    return {event.seq: event.name for event in events if isinstance(event, ActivityScheduled)}


def _failing(name: str | None, failed: FailedAttempt, due_at: datetime) -> Blocker:
    return Blocker(
        kind=BlockerKind.ACTIVITY_FAILING,
        message=f"activity {name} failed at attempt {failed.attempt} and is tried again: {describe_failure(failed.failure)}",
        since=failed.at,
        attempt=failed.attempt,
        next_attempt_at=due_at,
        activity_name=name,
        failure=failed.failure,
    )
