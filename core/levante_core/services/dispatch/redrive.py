"""The queues are disposable: everything that was in them can be asked for again from the table."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice, takewhile

from levante_core.domain.dispatch.plan import SHORT_TIMEOUT, SendLater, outstanding
from levante_core.domain.dispatch.tasks import DeadlineDue
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.batch_jobs.steps import BatchJobSteps
from levante_core.services.dispatch.containment import each_by_itself
from levante_core.services.dispatch.effects import EffectService
from levante_core.services.dispatch.parking import Parking
from levante_core.services.history.loading import read_all, read_open_run
from levante_core.storage import keys
from levante_core.storage.parked import ParkedKind
from levante_core.storage.runs import deadline_of, summary_of

REDRIVE_PAGE = 100
PARKED = "parked"
"""The last part of a redrive, after the open runs of all shards."""


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many runs were looked at. next: where to go on; None means that was all."""

    runs: int
    next: str | None


class RedriveService:
    """Sends tasks for open runs, with ids of their own so that deduplication never swallows them, and for batch jobs."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        ids: Ids,
        *,
        effects: EffectService,
        batch_jobs: BatchJobSteps,
        parking: Parking,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._effects = effects
        self._batch_jobs = batch_jobs
        self._parking = parking

    def redrive(self) -> int:
        """Send whatever every open run of every workspace needs to go on. Returns the number of runs looked at.

        What is parked is tried again by the next sweep. Cost: the history of each open run is read. Harmless at any time.
        """
        count, after = 0, None
        while True:
            page = self.redrive_page(None, after)
            count += page.runs
            after = page.next
            if after is None:
                self._parking.retry_all()
                return count

    def has_open_runs(self) -> bool:
        """Tell whether any run of any workspace is open. Cost: one index query for each shard, at most."""
        shards = (self._store.query(Query(keys.open_runs(shard), index=keys.DUE, limit=1)) for shard in range(keys.SHARDS))
        return any(page.items for page in shards)

    def redrive_page(self, workspace: Workspace | None, after: str | None) -> Redriven:
        """Do so for a page of open runs, or of parked items. workspace: whose; None for all. after: a `Redriven.next`.

        Raises: InvalidInput for another `after`; Unavailable if none of them could be sent for.
        """
        if after is None:
            self._batch_jobs.redrive(workspace)
        phase, _, place = (after or "0:").partition(":")
        if phase == PARKED and workspace is not None:
            rest = self._parking.retry_page(workspace, place or None)
            return Redriven(0, f"{PARKED}:{rest}" if rest else None)
        shard, deadline, seen = _read_place(phase, place)
        items = list(islice(self._open_runs(shard, deadline, seen), REDRIVE_PAGE + 1))
        page, more = items[:REDRIVE_PAGE], len(items) > REDRIVE_PAGE
        runs = [item for item in page if workspace in (None, item.attributes.get("workspace"))]
        each_by_itself(runs, lambda item: self.redrive_run(summary_of(item).key), self._park)
        if more:
            last = page[-1].indexes[keys.DUE].sort
            return Redriven(len(runs), f"{shard}:{last.partition('#')[0]}#{_digest(last)}")
        if shard + 1 < keys.SHARDS:
            return Redriven(len(runs), f"{shard + 1}:")
        return Redriven(len(runs), None if workspace is None else f"{PARKED}:")

    def _open_runs(self, shard: int, deadline: str, seen: str) -> Iterator[Item]:
        """Read a shard from a deadline on. seen: digest of the last run with this deadline that is left out.

        If that one has gone meanwhile, all with this deadline come again, which is harmless.
        """
        items = read_all(self._store, Query(keys.open_runs(shard), index=keys.DUE, first=deadline, limit=REDRIVE_PAGE + 1))
        has_deadline = takewhile(lambda item: item.indexes[keys.DUE].sort.startswith(f"{deadline}#"), items)
        same = list(has_deadline) if seen else []
        digests = [_digest(item.indexes[keys.DUE].sort) for item in same]
        yield from same[digests.index(seen) + 1 if seen in digests else 0 :]
        yield from read_all(
            self._store,
            Query(keys.open_runs(shard), index=keys.DUE, first=f"{deadline}$" if seen else "", limit=REDRIVE_PAGE + 1),
        )

    def redrive_run(self, run: RunKey) -> None:
        """Send whatever this run needs to go on; nothing if it has ended. Raises: InconsistentHistory."""
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        summary = summary_of(item) if item else None
        if item is None or summary is None or summary.key != run or not summary.is_open:
            return
        open_run = read_open_run(self._store, run, summary.pool)
        effects = outstanding(run, summary.pool, open_run.work, self._clock.now())
        deadline_at = deadline_of(item)
        if deadline_at - self._clock.now() <= SHORT_TIMEOUT + timedelta(minutes=1):
            effects.append(SendLater(DeadlineDue.of(run, summary.pool, deadline_at)))
        self._effects.carry_out(effects, salt=f":{self._ids.uuid()}")

    def _park(self, item: Item, error: Exception) -> None:
        self._parking.park_run(ParkedKind.RUN, item, error)


def _read_place(phase: str, place: str) -> tuple[int, str, str]:
    """Read where to go on: a shard, the deadline of the run that was seen last, and the digest of its place.

    The index holds the runs of all workspaces, and a caller sees the id of none.
    """
    if phase not in map(str, range(keys.SHARDS)):
        raise InvalidInput.at(("body", "after"), "not where a redrive goes on: take `next` from the answer before")
    deadline, _, seen = place.partition("#")
    return int(phase), deadline, seen


def _digest(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:32]
