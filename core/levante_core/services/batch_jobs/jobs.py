"""Batch jobs as people use them: previewed, started, looked at, and aborted."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from levante_core.domain import names
from levante_core.domain.batch_jobs.job import PAGE, BatchFailure, BatchJob, BatchJobStatus, Progress, aborted
from levante_core.domain.batch_jobs.request import BatchRequest, RerunAction, SignalAction
from levante_core.domain.executions.criteria import RunCriteria
from levante_core.domain.frozen import Json
from levante_core.domain.names import Workspace
from levante_core.domain.payloads import problem_with
from levante_core.errors import BatchJobExists, InvalidInput, NotApplicable, NotFound, Unavailable
from levante_core.ports.item_store import Absent, ConditionFailed, Item, ItemStore, Put, Query
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.batch_jobs.candidates import Candidates
from levante_core.services.catalogue.register import CatalogueService
from levante_core.services.conflicts import Conflicts
from levante_core.services.executions.selection import SelectionService
from levante_core.services.history.loading import read_all
from levante_core.services.paging import Budget
from levante_core.storage import keys
from levante_core.storage.batch_jobs.failures import failures_of
from levante_core.storage.batch_jobs.jobs import batch_input_of, batch_job_item, batch_job_of, progress_update
from levante_core.storage.catalogue import ApiKey
from levante_core.storage.decoding import readable
from levante_core.storage.runs import RunSummary

RUNNING_AT_ONCE = 10
"""Jobs of a workspace that run at the same time."""
MOST_JOBS = 1_000
"""Jobs of a workspace, with those that have ended and are still kept."""
MOST_PREVIEWED = 10
"""Executions that a preview shows."""
JOBS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would be about. is_complete: whether all runs were looked at; there may be more otherwise."""

    matched: int
    is_complete: bool
    first: tuple[RunSummary, ...]


class BatchJobService:
    """The batch jobs of all workspaces."""

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        ids: Ids,
        *,
        catalogue: CatalogueService,
        selection: SelectionService,
        conflicts: Conflicts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._catalogue = catalogue
        self._selection = selection
        self._conflicts = conflicts
        self._candidates = Candidates(store)

    def preview(self, workspace: Workspace, criteria: RunCriteria) -> Preview:
        """Find what a job would be about if it were started now. Raises: NotFound, AmbiguousWorkflow.

        Cost: index queries over as many runs as one request may read.
        """
        criteria, budget = self._resolved(workspace, criteria), Budget()
        wanted = self._selection.filter_of(workspace, criteria, budget)
        first: list[RunSummary] = []
        matched = 0
        now = self._clock.now()
        for candidate in self._candidates.before(workspace, now, criteria=criteria, wanted=wanted, budget=budget):
            if candidate.run and candidate.is_latest:
                matched += 1
                first += [candidate.run] if len(first) < MOST_PREVIEWED else []
            if budget.is_spent:
                return Preview(matched, is_complete=False, first=tuple(first))
        return Preview(matched, is_complete=True, first=tuple(first))

    def start(
        self, key: ApiKey, batch_id: str | None, request: BatchRequest, value: Json = None, *, everything: bool = False
    ) -> BatchJob:
        """Start a job; it is durable on return, and goes on by itself. A repeat under the same id returns the same job.

        value: the input of the action. everything: says that no criteria are meant.
        Raises: InvalidInput; NotFound, AmbiguousWorkflow; BatchJobExists; NotApplicable where there are too many.
        Cost: a query over the jobs of the workspace, and a write.
        """
        batch_id = names.batch_id(batch_id or self._ids.uuid().replace("-", ""))
        _check(request, value, everything=everything)
        known = self._store.get(keys.batch_job(key.workspace, batch_id))
        request = request.model_copy(update={"criteria": self._resolved(key.workspace, request.criteria)})
        if known:
            return _same(known, request, value)
        self._refuse_too_many(key.workspace)
        now = self._clock.now()
        requested = key.by_hand(now, request.reason)
        job = BatchJob(key.workspace, batch_id, request, requested, Progress(due_at=now, updated_at=now))
        try:
            self._store.write(Put(batch_job_item(job, value), Absent()))
        except ConditionFailed as refused:
            if refused.existing[0] is None:
                raise
            return _same(refused.existing[0], request, value)
        return job

    def get(self, workspace: Workspace, batch_id: str) -> BatchJob:
        """Return a job. Raises: NotFound. Cost: one read."""
        item = self._store.get(keys.batch_job(workspace, batch_id))
        if item is None:
            raise NotFound(f"no batch job has the id {batch_id[:200]!r}")
        return batch_job_of(item)

    def all(self, workspace: Workspace) -> list[BatchJob]:
        """List a workspace's jobs, the newest first, but for those that cannot be read. Cost: a query over all of them."""
        jobs = readable(self._items(workspace), batch_job_of)
        return sorted(jobs, key=lambda job: (job.created_at, job.batch_id), reverse=True)

    def failures(self, workspace: Workspace, batch_id: str, after: int, limit: int) -> tuple[list[BatchFailure], int | None]:
        """List the failures of a job that follow on some, and how many come before the next ones; None if there are none.

        Raises: NotFound. Cost: a read and a query.
        """
        self.get(workspace, batch_id)
        rows = list(islice(self._failures_after(workspace, batch_id, after), limit + 1))
        page = [failure for _, failure in rows[:limit]]
        return page, rows[limit - 1][0] if len(rows) > limit else None

    def abort(self, workspace: Workspace, batch_id: str) -> None:
        """Let a job stop. The step that is under way ends with its page; what was done stays done. A repeat is harmless.

        Raises: NotFound; NotApplicable if it has ended otherwise. Cost: a read and a write.
        """
        for _ in self._conflicts.attempts():
            job = self.get(workspace, batch_id)
            if job.status is BatchJobStatus.ABORTED:
                return
            if not job.is_running:
                raise NotApplicable(f"batch job {batch_id!r} has ended, it is {job.status.value}: there is nothing to abort")
            with suppress(ConditionFailed):
                self._store.write(progress_update(job, aborted(job, self._clock.now())))
                return
        raise Unavailable(f"batch job {batch_id!r} is advancing too fast to be aborted: try again")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _items(self, workspace: Workspace) -> Iterator[Item]:
        return read_all(self._store, Query(keys.batch_jobs(workspace), limit=JOBS_AT_ONCE))

    def _resolved(self, workspace: Workspace, criteria: RunCriteria) -> RunCriteria:
        """Name the workflow by its name, so that a job goes on if that is archived or served by others."""
        if criteria.workflow_identifier is None:
            return criteria
        name = self._catalogue.get(workspace, criteria.workflow_identifier).workflow.name
        return criteria.model_copy(update={"workflow_identifier": name})

    def _refuse_too_many(self, workspace: Workspace) -> None:
        """Refuse jobs beyond what a workspace may have; several at the same moment may go a little beyond."""
        jobs = self.all(workspace)
        running = sum(job.is_running for job in jobs)
        if running >= RUNNING_AT_ONCE:
            raise NotApplicable(f"{running} batch jobs of the workspace are running: wait for one, or abort one")
        if len(jobs) >= MOST_JOBS:
            raise NotApplicable(f"the workspace has {len(jobs)} batch jobs of the last days: name more executions in each")

    def _failures_after(self, workspace: Workspace, batch_id: str, after: int) -> Iterator[tuple[int, BatchFailure]]:
        """Yield failures with their numbers. The item that has the next one begins a page before at the earliest."""
        first = keys.batch_failures(workspace, batch_id, max(1, after + 2 - PAGE))
        for item in read_all(self._store, Query(first.partition, first=first.sort, limit=JOBS_AT_ONCE)):
            yield from (row for row in failures_of(item) if row[0] > after)


def _check(request: BatchRequest, value: Json, *, everything: bool) -> None:
    """Refuse what is probably not meant. Raises: InvalidInput."""
    if everything and request.criteria.is_narrowing:
        raise InvalidInput.at(("body", "everything"), "there is a filter too: send one of them")
    if not everything and not request.criteria.is_narrowing:
        problem = "an empty filter finds every execution of the workspace: say `everything: true` if that is meant"
        raise InvalidInput.at(("body", "filter"), problem)
    if value is not None and not isinstance(request.action, SignalAction | RerunAction):
        raise InvalidInput.at(("body", "input"), f"{request.action.kind} takes no input: leave it out")
    _, unfit = problem_with("the input", value)
    if unfit:
        raise InvalidInput.at(("body", "input"), unfit)


def _same(item: Item, request: BatchRequest, value: Json) -> BatchJob:
    """Return the job that has the id already, if it is the same. Raises: BatchJobExists."""
    job = batch_job_of(item)
    if job.request != request or batch_input_of(item) != value:
        raise BatchJobExists(f"batch job {job.batch_id!r} was started with something else: choose another batch_id")
    return job
