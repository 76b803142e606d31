"""The queues are disposable: everything that was in them can be asked for again from the table."""

from dataclasses import dataclass
from datetime import timedelta

from levante_core.domain.execution import RunKey
from levante_core.domain.names import Workspace
from levante_core.domain.plan import SHORT_TIMEOUT, SendLater, outstanding
from levante_core.domain.tasks import DeadlineDue
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Item, ItemStore
from levante_core.ports.surroundings import Clock, Ids
from levante_core.records import keys
from levante_core.records.parked import ParkedKind, owner_in
from levante_core.records.runs import deadline_of, summary_of
from levante_core.services.containment import each_by_itself
from levante_core.services.effects import EffectService
from levante_core.services.parking import Parking
from levante_core.services.reading import read_open_run

REDRIVE_PAGE = 100


@dataclass(frozen=True, slots=True)
class Redriven:
    """How many runs were looked at. next: where to go on; None means that was all."""

    runs: int
    next: str | None


class RedriveService:
    """Sends tasks for open runs, with ids of their own so that deduplication never swallows them."""

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids, *, effects: EffectService, parking: Parking) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._effects = effects
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
                return count

    def redrive_page(self, workspace: Workspace | None, after: str | None) -> Redriven:
        """Do so for a page of open runs, or of parked items. workspace: whose; None for all. after: a `Redriven.next`.

        Raises: InvalidInput for another `after`; Unavailable if none of them could be sent for.
        """
        shard, token = _read_place(after)
        if shard >= keys.SHARDS:
            token = self._parking.retry_shard(workspace, shard - keys.SHARDS, REDRIVE_PAGE, token)
            return Redriven(0, _place(shard, token))
        page = self._store.query_index(keys.DUE, keys.open_runs(shard), limit=REDRIVE_PAGE, after=token)
        runs = [item for item in page.items if workspace in (None, item.attributes.get("workspace"))]
        each_by_itself(runs, lambda item: self.redrive_run(summary_of(item).key), self._park)
        return Redriven(len(runs), _place(shard, page.next))

    def redrive_run(self, run: RunKey) -> None:
        """Send whatever this run needs to go on; nothing if it has ended. Raises: InconsistentHistory."""
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        summary = summary_of(item) if item else None
        if item is None or summary is None or summary.key != run or not summary.is_open:
            return
        found = read_open_run(self._store, run, summary.deployment_name)
        effects = outstanding(run, summary.deployment_name, found.work, self._clock.now())
        deadline_at = deadline_of(item)
        if deadline_at - self._clock.now() <= SHORT_TIMEOUT + timedelta(minutes=1):
            address = {"workspace": run.workspace, "execution_id": run.execution_id, "run_id": run.run_id}
            due = DeadlineDue(**address, deployment_name=summary.deployment_name, fresh_at=deadline_at)
            effects.append(SendLater(due))
        self._effects.carry_out(effects, salt=f":{self._ids.uuid()}")

    def _park(self, item: Item, error: Exception) -> None:
        self._parking.park(ParkedKind.RUN, owner_in(item.attributes), "", error, identity=item.key.partition)


def _place(shard: int, token: str | None) -> str | None:
    """Write where to go on: first come the open runs of all shards, then what each has parked."""
    if token:
        return f"{shard}:{token}"
    return f"{shard + 1}:" if shard + 1 < 2 * keys.SHARDS else None


def _read_place(after: str | None) -> tuple[int, str | None]:
    """Read where to go on: a shard, and a page of it."""
    if after is None:
        return 0, None
    shard, _, token = after.partition(":")
    if shard not in map(str, range(2 * keys.SHARDS)):
        raise InvalidInput.at(("body", "after"), "not where a redrive goes on: take `next` from the answer before")
    return int(shard), token or None
