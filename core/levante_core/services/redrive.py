"""The queues are disposable: everything that was in them can be asked for again from the table."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice, takewhile

from levante_core.domain.execution import RunKey
from levante_core.domain.names import Workspace
from levante_core.domain.plan import SHORT_TIMEOUT, Effect, SendLater, outstanding
from levante_core.domain.tasks import DeadlineDue
from levante_core.errors import InconsistentHistory, InvalidInput
from levante_core.ports.item_store import Item, ItemStore
from levante_core.ports.surroundings import Clock, Ids
from levante_core.records import keys
from levante_core.records.runs import RunSummary, execution_of, summary_of
from levante_core.services.effects import EffectService
from levante_core.services.reading import read_index, read_open_run

logger = logging.getLogger("levante.redrive")

REDRIVE_PAGE = 100


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many runs were looked at. next: where to go on; None means that was all."""

    runs: int
    next: str | None


class RedriveService:
    """Sends tasks for open runs, with ids of their own so that deduplication never swallows them."""

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids, effects: EffectService) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._effects = effects

    def redrive(self) -> int:
        """Send whatever every open run of every workspace needs to go on. Returns the number of runs looked at.

        Cost: the history of each open run is read. Harmless at any time.
        """
        count, after = 0, None
        while True:
            page = self.redrive_page(None, after)
            count += page.runs
            after = page.next
            if after is None:
                return count

    def has_open_runs(self) -> bool:
        """Tell whether any run of any workspace is open. Cost: one index query for each shard, at most."""
        shards = (self._store.query_index(keys.DUE, keys.open_runs(shard), limit=1) for shard in range(keys.SHARDS))
        return any(page.items for page in shards)

    def redrive_page(self, workspace: Workspace | None, after: str | None) -> Redriven:
        """Do so for a page of open runs. workspace: the one whose runs are meant; None for all. after: a `Redriven.next`.

        Raises: InvalidInput for another `after`.
        """
        shard, deadline, seen = _read_place(after)
        items = list(islice(self._open_runs(shard, deadline, seen), REDRIVE_PAGE + 1))
        page, more = items[:REDRIVE_PAGE], len(items) > REDRIVE_PAGE
        runs = [run for run in map(summary_of, page) if workspace in (None, run.key.workspace)]
        for run in runs:
            self._try(run)
        if more:
            place = page[-1].indexes[keys.DUE].sort
            return Redriven(len(runs), f"{shard}:{place.partition('#')[0]}#{_digest(place)}")
        return Redriven(len(runs), f"{shard + 1}:" if shard + 1 < keys.SHARDS else None)

    def _open_runs(self, shard: int, deadline: str, seen: str) -> Iterator[Item]:
        """Read a shard from a deadline on. seen: digest of the last run with this deadline that is left out.

        If that one has gone meanwhile, all with this deadline come again, which is harmless.
        """
        items = read_index(self._store, keys.DUE, keys.open_runs(shard), first=deadline, limit=REDRIVE_PAGE + 1)
        has_deadline = takewhile(lambda item: item.indexes[keys.DUE].sort.startswith(f"{deadline}#"), items)
        same = list(has_deadline) if seen else []
        digests = [_digest(item.indexes[keys.DUE].sort) for item in same]
        yield from same[digests.index(seen) + 1 if seen in digests else 0 :]
        yield from read_index(
            self._store, keys.DUE, keys.open_runs(shard), first=f"{deadline}$" if seen else "", limit=REDRIVE_PAGE + 1
        )

    def _try(self, run: RunSummary) -> None:
        """A run whose history is damaged must not keep the others from going on."""
        try:
            self._redrive_run(run)
        except InconsistentHistory:
            logger.exception("execution %s cannot be sent for: its history is damaged", run.key.execution_id)

    def _redrive_run(self, run: RunSummary) -> None:
        found = read_open_run(self._store, run.key, run.deployment_name)
        effects = outstanding(run.key, run.deployment_name, found.work, self._clock.now())
        effects += self._deadline(run.key)
        self._effects.carry_out(effects, salt=f":{self._ids.uuid()}")

    def _deadline(self, run: RunKey) -> list[Effect]:
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        if item is None:
            return []
        execution = execution_of(item)
        if execution.start.deadline_at - self._clock.now() > SHORT_TIMEOUT + timedelta(minutes=1):
            return []
        address = {"workspace": run.workspace, "execution_id": run.execution_id, "run_id": run.run_id}
        deadline_at = execution.start.deadline_at
        return [SendLater(DeadlineDue(**address, deployment_name=execution.deployment_name, fresh_at=deadline_at))]


def _read_place(after: str | None) -> tuple[int, str, str]:
    """Read where to go on: a shard, the deadline of the run that was seen last, and the digest of its place.

    The index holds the runs of all workspaces, and a caller is told the id of none.
    """
    if after is None:
        return 0, "", ""
    shard, _, place = after.partition(":")
    if shard not in map(str, range(keys.SHARDS)):
        raise InvalidInput.at(("body", "after"), "not where a redrive goes on: take `next` from the answer before")
    deadline, _, seen = place.partition("#")
    return int(shard), deadline, seen


def _digest(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:32]
