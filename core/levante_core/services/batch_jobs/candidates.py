"""The executions that a batch job is about: those that its filter finds, as they were when the job was started."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from levante_core.domain.batch_jobs.job import BatchJob
from levante_core.domain.executions.criteria import RunCriteria
from levante_core.domain.frozen import wire_time
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import RunId, Workspace
from levante_core.errors import Unavailable
from levante_core.ports.item_store import Item, ItemStore, Query
from levante_core.services.executions.run_filter import RunFilter
from levante_core.services.history.loading import read_all
from levante_core.services.paging import Budget
from levante_core.storage import keys
from levante_core.storage.decoding import readable
from levante_core.storage.runs import RunSummary, execution_of, run_id_of, summary_of

READ_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that was looked at. position: in the order of starts. run: None if the job is not about it.

    is_latest: whether it is the latest of its execution. is_reset: whether an earlier try of the same step has reset it.
    error: why nobody can tell whether the job is about it.
    """

    position: str
    run: RunSummary | None = None
    is_latest: bool = True
    is_reset: bool = False
    error: Exception | None = None


class Candidates:
    """Reads the runs of a workspace in the order of their starts."""

    def __init__(self, store: ItemStore) -> None:
        self._store = store

    def of_job(self, job: BatchJob, wanted: RunFilter, budget: Budget) -> Iterator[Candidate]:
        """Yield what follows on the job's position. Raises: Unavailable. Cost: as `before`.

        Two reads more for each run that was replaced otherwise than by continuing as new, where the job resets.
        """
        criteria, at, position = job.request.criteria, job.created_at, job.progress.position
        found = self.before(job.workspace, at, criteria=criteria, wanted=wanted, budget=budget, position=position)
        for candidate in found:
            if candidate.run is None or candidate.error:
                yield candidate
                continue
            try:
                yield self._judged(job, candidate, candidate.run)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this execution's
                yield replace(candidate, error=error)

    def _judged(self, job: BatchJob, candidate: Candidate, run: RunSummary) -> Candidate:
        """Tell whether the run stands for its execution: it was the latest when the job was started, and is not its own."""
        is_reset_job = job.request.action.kind == "reset"
        none = Candidate(candidate.position)
        if candidate.is_latest:
            is_own = is_reset_job and run.key.run_id == job.derived_id(run.key.execution_id)
            return none if is_own else candidate
        if run.status is ExecutionStatus.CONTINUED_AS_NEW:
            return candidate if run.ended_at and run.ended_at >= job.created_at else none
        return replace(candidate, is_reset=True) if is_reset_job and self._is_reset_by(job, run) else none

    def before(
        self,
        workspace: Workspace,
        at: datetime,
        *,
        criteria: RunCriteria,
        wanted: RunFilter,
        budget: Budget,
        position: str = "",
    ) -> Iterator[Candidate]:
        """Yield the runs that started before a time, those that are not wanted too. position: of the last that was seen.

        What ended since then counts as open. One that cannot be read is left out. Raises: Unavailable.
        Cost: index queries, and what the filter looks up; spends the budget.
        """
        index, partition = keys.RUNS, str(workspace)
        if criteria.workflow_identifier is not None:
            index, partition = keys.RUNS_BY_WORKFLOW, f"{workspace}#{criteria.workflow_identifier}"
        first = wire_time(criteria.start_time_after) if criteria.start_time_after else ""
        last = min(wire_time(limit) for limit in (at, criteria.start_time_before) if limit)
        first = max(first, f"{position}\0") if position else first
        if first > last:
            return
        for item in read_all(self._store, Query(partition, index=index, first=first, last=last, limit=READ_AT_ONCE)):
            budget.spend()
            candidate = Candidate(item.indexes[index].sort, is_latest=item.key.sort == keys.EXECUTION)
            for run in readable([item], summary_of):
                candidate = _filtered(candidate, run, wanted, at)
            yield candidate

    def _is_reset_by(self, job: BatchJob, run: RunSummary) -> bool:
        """Tell whether it was this job that put another run in the place of this one."""
        own = replace(run.key, run_id=RunId(job.derived_id(run.key.execution_id)))
        latest = self._store.get(keys.execution(own.workspace, own.execution_id))
        item = latest if latest and run_id_of(latest) == own.run_id else self._store.get(keys.earlier_run(own))
        return item is not None and _is_reset_of(item, run)


def _filtered(candidate: Candidate, run: RunSummary, wanted: RunFilter, at: datetime) -> Candidate:
    """Return the candidate with the run, if it is wanted. Raises: Unavailable."""
    try:
        return replace(candidate, run=run) if wanted.matches(_as_of(at, run)) else candidate
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this execution's
        return replace(candidate, run=run, error=error)


def _as_of(at: datetime, run: RunSummary) -> RunSummary:
    """Return a run as it was at a time, as far as it is known now."""
    if run.ended_at is None or run.ended_at < at:
        return run
    return replace(run, status=ExecutionStatus.RUNNING, ended_at=None)


def _is_reset_of(item: Item, run: RunSummary) -> bool:
    reset = execution_of(item).start.reset
    return reset is not None and reset.run_id == run.key.run_id
