"""The sweep's second look: open runs in which nothing happens although something waits are sent for again.

Everything that is recorded has a message, or a change in the feed, or a timer; this finds what lost it all the same (a
message that outlived its queue's retention, a change that ended in a dead-letter queue), without anybody noticing first.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levante_core.domain.dispatch.plan import Effect, SendLater, SendTask, outstanding
from levante_core.domain.dispatch.tasks import ActivityTask
from levante_core.domain.frozen import Frozen, Time
from levante_core.errors import InconsistentHistory
from levante_core.ports.item_store import Delete, Item, ItemStore, Put, Query
from levante_core.ports.surroundings import Clock
from levante_core.services.activities.reports import ActivityService
from levante_core.services.catalogue.builds import BuildService
from levante_core.services.dispatch.containment import each_by_itself
from levante_core.services.dispatch.effects import EffectService
from levante_core.services.dispatch.parking import Parking
from levante_core.services.history.loading import read_open_run
from levante_core.storage import keys
from levante_core.storage.parked import ParkedKind
from levante_core.storage.runs import RunSummary, recorded_of, summary_of

logger = logging.getLogger("levante.repair")

RUNS_PER_LOOK = 100
"""A look costs some three reads per run; more open runs than this are gone through over several minutes."""
RUNS_AT_ONCE = 25
"""Runs of a page of the index: so many are looked at before the time is."""
LONGEST_LOOK = timedelta(seconds=20)
"""After so long a look goes on at the next minute, however long the histories are."""
FIRST_AFTER = timedelta(minutes=1)
LAST_LOOK = timedelta(seconds=90)
"""The last look was less than this ago where one look goes through all runs: sweeps come once a minute, more or less."""


class _Cursor(Frozen):
    """Where the walk over all open runs goes on."""

    shard: int = 0
    after: str | None = None
    began_at: Time
    """Of this walk."""
    before: Time
    """When the one before it began."""


def _cursor_in(item: Item | None) -> _Cursor | None:
    """Read where the walk goes on; one whose place cannot be read begins anew."""
    try:
        return _Cursor.model_validate_json(item.documents["place"]) if item else None
    except (InconsistentHistory, KeyError, TypeError, ValueError):
        logger.exception("the place of the walk over the open runs cannot be read: it begins anew")
        return None


@dataclass(frozen=True, slots=True)
class Looked:
    """How many runs were looked at, and how many of them were sent for."""

    runs: int = 0
    sent_for: int = 0


class RepairService:
    """Walks over the open runs, some at a time, again and again."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        *,
        effects: EffectService,
        activities: ActivityService,
        builds: BuildService,
        parking: Parking,
    ) -> None:
        self._parking = parking
        self._activities = activities
        self._builds = builds
        self._store = store
        self._clock = clock
        self._effects = effects

    def sweep(self) -> Looked:
        """Look at the next open runs. Several looks at once send the same messages, of which the queues keep one.

        A run is sent for when it was quiet for 1, 2, 4, 8, ... minutes: a run that waits for workers, or for its code to be
        fixed, collects few messages. One that cannot be looked after is parked, and the others go on.
        Raises: Unavailable if nothing got through. Cost: a query per RUNS_AT_ONCE runs and a read; a query for each
        run, three more if nothing was recorded of it for a minute. No look begins another page after LONGEST_LOOK.
        """
        now = self._clock.now()
        item = self._store.get(keys.REPAIR)
        fresh = _Cursor(began_at=now, before=now - LAST_LOOK)
        cursor = began = _cursor_in(item) or fresh
        looked = Looked()
        while cursor.shard < keys.SHARDS and looked.runs < RUNS_PER_LOOK and self._clock.now() - now < LONGEST_LOOK:
            room = min(RUNS_AT_ONCE, RUNS_PER_LOOK - looked.runs)
            page = self._store.query(Query(keys.open_runs(cursor.shard), index=keys.DUE, limit=room, after=cursor.after))
            sent_for: list[Item] = []
            self._look_at(page.items, cursor.before, now, sent_for)
            looked = replace(looked, runs=looked.runs + len(page.items), sent_for=looked.sent_for + len(sent_for))
            shard = cursor.shard if page.next else cursor.shard + 1
            cursor = cursor.model_copy(update={"shard": shard, "after": page.next})
        is_whole = cursor.shard == keys.SHARDS and (began.shard, began.after) == (0, None)
        if not is_whole:
            self._remember(cursor, now)
        elif item:
            self._store.write(Delete(keys.REPAIR))
        return looked

    def _without_lost_sessions(self, run: RunSummary, waiting: Sequence[Effect]) -> list[Effect]:
        """Let activities fail whose worker is gone; return the others."""
        of_sessions = [
            effect.task for effect in waiting if isinstance(effect, SendTask) and effect.task.deployment_name.session
        ]
        live = self._builds.live_sessions(run.key.workspace, run.pool.deployment) if of_sessions else set()
        lost = [task for task in of_sessions if task.deployment_name.session not in live]
        for task in lost:
            if isinstance(task, ActivityTask):
                self._activities.lose_session(task)
        return [effect for effect in waiting if not (isinstance(effect, SendTask) and effect.task in lost)]

    def _remember(self, cursor: _Cursor, now: datetime) -> None:
        """Keep the place of a walk that takes more than one look; others need none."""
        if cursor.shard == keys.SHARDS:
            cursor = _Cursor(began_at=now, before=cursor.began_at)
        self._store.write(Put(Item(keys.REPAIR, documents={"place": cursor.model_dump_json()})))

    def _look_at(self, items: Sequence[Item], looked_before: datetime, now: datetime, sent_for: list[Item]) -> None:
        """Look at runs, each by itself. sent_for: takes those that were sent for."""

        def look(item: Item) -> None:
            if self._look(summary_of(item), looked_before, now):
                sent_for.append(item)

        def park(item: Item, error: Exception) -> None:
            self._parking.park_run(ParkedKind.RUN, item, error)

        each_by_itself(items, look, park)

    def _look(self, run: RunSummary, looked_before: datetime, now: datetime) -> bool:
        self._builds.keep(run)
        if self._is_busy(run, now):
            return False
        open_run = read_open_run(self._store, run.key, run.pool)
        effects = outstanding(run.key, run.pool, open_run.work, now)
        waiting = [effect for effect in effects if _came_due(effect, now)]
        came_due = [effect.due.fresh_at for effect in waiting if isinstance(effect, SendLater)]
        came_due += [retry.due_at for retry in open_run.work.retries.values() if retry.due_at <= now]
        quiet_since = max([run.started_at, *came_due, *([open_run.last_recorded_at] if open_run.last_recorded_at else [])])
        times = _doublings(now - quiet_since)
        if not waiting or times == _doublings(looked_before - quiet_since):
            return False
        if any(isinstance(effect, SendTask | SendLater) for effect in waiting):
            logger.warning("execution %s was quiet for %s: sending for it", run.key.execution_id, now - quiet_since)
        belongs_to = self._builds.take_over(run.key, run.pool)
        if belongs_to != run.pool:
            logger.warning("execution %s goes over to %s: its own build has no workers", run.key.execution_id, belongs_to)
            now_due = outstanding(run.key, belongs_to, open_run.work, now)
            waiting = [effect for effect in now_due if _came_due(effect, now)]
        self._effects.carry_out(self._without_lost_sessions(run, waiting), salt=f":quiet{times}")
        return True

    def _is_busy(self, run: RunSummary, now: datetime) -> bool:
        """Whether a batch was recorded less than a minute ago, so that the history need not be read. Cost: one query."""
        first, last = keys.prefixed(keys.BATCH)
        partition = keys.history(run.key.workspace, run.key.run_id)
        page = self._store.query(Query(partition, first=first, last=last, limit=1, descending=True))
        return any(now - recorded_of(item).at < FIRST_AFTER for item in page.items)


def _came_due(effect: Effect, now: datetime) -> bool:
    """Tell what can be done now; a child that takes its time is looked at too, which changes nothing."""
    return not isinstance(effect, SendLater) or effect.due.fresh_at <= now


def _doublings(quiet: timedelta) -> int:
    """Return 0 below a minute, 1 below two, 2 below four, 3 below eight, and so on."""
    return max(0, quiet // FIRST_AFTER).bit_length()
