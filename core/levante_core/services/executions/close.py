"""Ends that are decided outside workflow code: they write a batch at the next free index, like everyone else."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from levante_core.domain.executions.execution import Ending, RunKey, close
from levante_core.domain.history.events import Closing, ExecutionTerminated, ExecutionTimedOut
from levante_core.domain.history.state import HistoryBatch
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, Workspace
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, ItemStore, Put, Scalar, Update, Write
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.conflicts import Conflicts
from levante_core.services.executions.lookup import find_open_run
from levante_core.services.history.loading import last_index
from levante_core.storage import keys
from levante_core.storage.runs import (
    HAS_CHILDREN,
    HAS_FAMILY,
    Recorded,
    RunSummary,
    batch_item,
    closed_run_entry,
    closing_attributes,
    deadline_of,
    ending_document,
    is_open_run,
    open_run,
    summary_of,
)

WITH_CHILDREN: Mapping[str, Scalar] = {HAS_CHILDREN: True, HAS_FAMILY: True}
"""Attributes of a run once it has asked for children."""


def closing_write(
    run: RunKey, status: ExecutionStatus, ending: Ending, mail_count: int | None, more: Mapping[str, Scalar] | None = None
) -> Update:
    """Make the write that closes the execution item. mail_count: None where unread messages may be left behind.

    more: attributes that the same commit sets.
    """
    unchanged: dict[str, Scalar] = {} if mail_count is None else {"mail_count": mail_count}
    return Update(
        keys.execution(run.workspace, run.execution_id),
        set_attributes={
            **closing_attributes(status, ending),
            **(more or {}),
        },
        set_documents={"ending": ending_document(ending)},
        set_indexes={keys.DUE: closed_run_entry(run, ending.ended_at)},
        condition=open_run(run, **unchanged),
    )


class ClosingService:
    """Terminates executions, and times them out."""

    def __init__(
        self, store: ItemStore, clock: Clock, ids: Ids, conflicts: Conflicts, *, retention: timedelta | None
    ) -> None:
        """retention: how long closed runs are kept; None for ever."""
        self._store = store
        self._clock = clock
        self._ids = ids
        self._conflicts = conflicts
        self._retention = retention

    def terminate(self, workspace: Workspace, execution_id: ExecutionId) -> None:
        """End the latest run at once; no workflow code runs. Raises: NotFound, NotRunning."""
        for _ in self._conflicts.attempts():
            run = find_open_run(self._store, workspace, execution_id)
            if self._close(run, lambda at: ExecutionTerminated(at=at)):
                return  # otherwise it has ended meanwhile, or continued as a new run, which is the latest then
        raise Unavailable(f"execution {execution_id!r} continues as new too fast to be terminated: try again")

    def time_out(self, run: RunKey) -> None:
        """End this run because its deadline passed; does nothing if it is closed, or not yet due."""
        item = self._store.get(keys.execution(run.workspace, run.execution_id))
        if item and summary_of(item).key == run and deadline_of(item) <= self._clock.now():
            self._close(summary_of(item), lambda at: ExecutionTimedOut(at=at))

    def _close(self, execution: RunSummary, closing: Callable[[datetime], Closing]) -> bool:
        """Tell whether it was this call that closed the run."""
        if not execution.is_open:
            return False
        run = execution.key
        commit_id = self._ids.uuid()
        for _ in self._conflicts.attempts():
            at = self._clock.now()
            event = closing(at)
            status, ending = close(event, at, self._retention)
            batch = HistoryBatch(index=last_index(self._store, run) + 1, commit_id=commit_id, events=(event,))
            recorded = Recorded(run, execution.pool, at)
            append: Write = Put(batch_item(recorded, batch, asks_for_work=False), Absent())
            try:
                self._store.write(append, closing_write(run, status, ending, mail_count=None))
            except ConditionFailed:
                if not is_open_run(self._store.get(keys.execution(run.workspace, run.execution_id)), run.run_id):
                    return False
            else:
                return True
        raise Unavailable(f"execution {run.execution_id!r} is advancing too fast to be closed: try again")
