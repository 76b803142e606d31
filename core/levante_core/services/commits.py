"""Appending to histories: the conditional put that is the fence."""

from collections.abc import Sequence
from dataclasses import dataclass

from levante_core.domain.execution import RunKey, close
from levante_core.domain.history import closing_event
from levante_core.domain.names import Workspace
from levante_core.domain.plan import BatchAppended
from levante_core.errors import InconsistentHistory, InvalidInput
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Put, Write
from levante_core.ports.surroundings import Clock
from levante_core.protocol.workers import Commit, CommitOutcome
from levante_core.records.runs import Recorded, batch_item
from levante_core.services.closing import closing_write
from levante_core.services.dispatch import Dispatch


@dataclass(frozen=True, slots=True)
class _Prepared:
    record: BatchAppended
    writes: tuple[Write, ...]


class CommitService:
    """Records history batches on behalf of workers."""

    def __init__(self, store: ItemStore, clock: Clock, dispatch: Dispatch) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch

    def append(self, workspace: Workspace, commits: Sequence[Commit]) -> list[CommitOutcome]:
        """Append each batch at its index, or say why not. A repeat of a recorded commit is harmless, and answered alike.

        Raises: InvalidInput for batches that could never be right. Cost: one write per commit, a transaction if it closes.
        """
        prepared = [self._prepare(workspace, commit) for commit in commits]
        refusals = self._store.write_each([one.writes for one in prepared])
        outcomes = [_outcome(commit, refused) for commit, refused in zip(commits, refusals, strict=True)]
        recorded = (one.record for one, outcome in zip(prepared, outcomes, strict=True) if outcome is CommitOutcome.RECORDED)
        self._dispatch.promptly(recorded)
        return outcomes

    def _prepare(self, workspace: Workspace, commit: Commit) -> _Prepared:
        if commit.batch.index < 1 or not commit.batch.events:
            raise InvalidInput.at(("body", "commits", "batch"), "a batch has an index from 1 on, and at least one event")
        try:
            closing = closing_event(commit.batch.events)
        except InconsistentHistory as error:
            raise InvalidInput.at(("body", "commits", "batch", "events"), str(error)) from None
        run = RunKey(workspace, commit.execution_id, commit.run_id)
        now = self._clock.now()
        append = Put(batch_item(Recorded(run, commit.deployment_name, now), commit.batch), Absent())
        record = BatchAppended(run, commit.deployment_name, now, commit.batch)
        if closing is None:
            return _Prepared(record, (append,))
        status, ending = close(closing, now)
        return _Prepared(record, (append, closing_write(run, status, ending, commit.mail_taken)))


def _outcome(commit: Commit, refused: ConditionFailed | None) -> CommitOutcome:
    if refused is None:
        return CommitOutcome.RECORDED
    if 0 not in refused.failed:
        execution = refused.existing[1]
        is_current = execution is not None and _is_open_run(execution, commit)
        return CommitOutcome.UNREAD_MAIL if is_current else CommitOutcome.CONFLICT
    first = refused.existing[0]
    is_repeat = first is not None and first.attributes["commit_id"] == commit.batch.commit_id
    return CommitOutcome.RECORDED if is_repeat else CommitOutcome.CONFLICT


def _is_open_run(item: Item, commit: Commit) -> bool:
    return bool(item.attributes["is_open"]) and item.attributes["run_id"] == commit.run_id
