"""The queues are disposable: everything that was in them can be asked for again from the table."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from levante_core.domain.execution import RunKey
from levante_core.domain.names import Workspace
from levante_core.domain.plan import SHORT_TIMEOUT, Effect, SendLater, outstanding
from levante_core.domain.tasks import DeadlineDue
from levante_core.errors import InconsistentHistory, InvalidInput
from levante_core.ports.item_store import ItemStore
from levante_core.ports.surroundings import Clock, Ids
from levante_core.records import keys
from levante_core.records.runs import RunSummary, execution_of, summary_of
from levante_core.services.effects import EffectService
from levante_core.services.reading import read_open_run

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
        shard, token = _read_place(after)
        page = self._store.query_index(keys.DUE, keys.open_runs(shard), limit=REDRIVE_PAGE, after=token)
        runs = [run for run in map(summary_of, page.items) if workspace in (None, run.key.workspace)]
        for run in runs:
            self._try(run)
        if page.next:
            return Redriven(len(runs), f"{shard}:{page.next}")
        return Redriven(len(runs), f"{shard + 1}:" if shard + 1 < keys.SHARDS else None)

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


def _read_place(after: str | None) -> tuple[int, str | None]:
    """Read where to go on: a shard, and a page of it."""
    if after is None:
        return 0, None
    shard, _, token = after.partition(":")
    if shard not in map(str, range(keys.SHARDS)):
        raise InvalidInput.at(("body", "after"), "not where a redrive goes on: take `next` from the answer before")
    return int(shard), token or None
