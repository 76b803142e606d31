"""Pausing executions, and resuming them: like everyone else who records something, at the next free index."""

from collections.abc import Callable

from levante_core.domain.dispatch.plan import BatchAppended
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.notes import ExecutionPaused, ExecutionResumed
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.names import Workspace
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, ItemStore, Put, Update
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.lookup import find_open_run
from levante_core.services.history.loading import last_index
from levante_core.storage import keys
from levante_core.storage.catalogue import ApiKey
from levante_core.storage.runs import PAUSED_AT, Recorded, RunSummary, batch_item, open_run


class PausingService:
    """Pauses the latest runs of executions.

    While a run is paused, no step of it is recorded, whichever worker holds it, and no attempt of an activity begins, but
    for first ones that a worker has just been given. What runs in place ends; timers fire, messages and outcomes are
    accepted, and its time limit counts on. All of that is taken in when it is resumed.

    A repeat changes nothing. All methods raise: NotFound, NotRunning, Unavailable. Cost: a read, a query, a transaction.
    """

    def __init__(self, store: ItemStore, clock: Clock, ids: Ids, *, dispatch: Dispatch, conflicts: Conflicts) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._dispatch = dispatch
        self._conflicts = conflicts

    def pause(self, workspace: Workspace, execution_id: str, key: ApiKey, reason: str | None = None) -> None:
        """Let no step of an execution be recorded from now on. key: whose doing it is. reason: why, for people."""
        self._until(workspace, execution_id, key, reason, is_paused=True)

    def resume(self, workspace: Workspace, execution_id: str, key: ApiKey, reason: str | None = None) -> None:
        """Let an execution go on. The rest as `pause`."""
        self._until(workspace, execution_id, key, reason, is_paused=False)

    def _until(self, workspace: Workspace, execution_id: str, key: ApiKey, reason: str | None, *, is_paused: bool) -> None:
        note: Callable[..., ExecutionPaused | ExecutionResumed] = ExecutionPaused if is_paused else ExecutionResumed
        commit_id = self._ids.uuid()
        for _ in self._conflicts.attempts():
            run = find_open_run(self._store, workspace, execution_id)
            if (run.paused_at is not None) is is_paused:
                return
            event = note(by_hand=key.by_hand(self._clock.now(), reason))
            index = last_index(self._store, run.key) + 1
            if self._record(run, HistoryBatch(index=index, commit_id=commit_id, events=(event,)), event.by_hand):
                return
        raise Unavailable(f"execution {execution_id!r} is advancing too fast for that: try again")

    def _record(self, run: RunSummary, batch: HistoryBatch, by_hand: ByHand) -> bool:
        """Record that a run is paused or resumed. Tells whether nobody was faster with a batch of this index."""
        paused_at = None if run.paused_at else wire_time(by_hand.at)
        append = Put(batch_item(Recorded(run.key, run.pool, by_hand.at), batch, asks_for_work=paused_at is None), Absent())
        where = keys.execution(run.key.workspace, run.key.execution_id)
        try:
            self._store.write(append, Update(where, set_attributes={PAUSED_AT: paused_at}, condition=open_run(run.key)))
        except ConditionFailed:
            return False
        self._dispatch.dispatch_now([BatchAppended(run.key, run.pool, by_hand.at, batch)])
        return True
