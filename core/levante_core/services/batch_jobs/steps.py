"""The steps of batch jobs: each acts on one page of executions, and writes how far it has come, which asks for the next."""

import logging
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from levante_core.domain.batch_jobs.job import (
    MOST_BEGINNINGS,
    MOST_TRIES,
    BatchFailure,
    BatchJob,
    PageOutcome,
    SkipReason,
    after_page,
    begun,
    interrupted,
)
from levante_core.domain.dispatch.plan import SendLater
from levante_core.domain.dispatch.tasks import BatchJobDue
from levante_core.domain.frozen import Json
from levante_core.domain.names import Workspace
from levante_core.errors import InconsistentHistory, Unavailable, loggable
from levante_core.ports.item_store import ConditionFailed, ItemStore, Put, Query, Write
from levante_core.ports.surroundings import Clock
from levante_core.services.batch_jobs.acting import BatchActions
from levante_core.services.batch_jobs.candidates import Candidate, Candidates
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.selection import SelectionService
from levante_core.services.history.loading import read_all
from levante_core.services.paging import Budget
from levante_core.storage import keys
from levante_core.storage.batch_jobs.failures import failures_item
from levante_core.storage.batch_jobs.jobs import batch_input_of, batch_job_of, job_at, progress_update
from levante_core.storage.runs import RunSummary

logger = logging.getLogger("levante.batches")

LONGEST_STEP = timedelta(seconds=1)
"""No execution is begun with after this time: other messages of the timers queue wait behind a step."""
READ_BY_STEP = 2_000
"""Runs that one step looks at, at most."""
MOST_CHARACTERS = 500
"""Of the reason of a failure."""


@dataclass(slots=True)
class _Tally:
    """What a step has done so far."""

    position: str
    done: int = 0
    skipped: Counter[SkipReason] = field(default_factory=Counter)
    failures: list[BatchFailure] = field(default_factory=list)

    @property
    def count(self) -> int:
        return self.done + self.skipped.total() + len(self.failures)

    def outcome(self, *, is_last: bool = False, is_unavailable: bool = False) -> PageOutcome:
        return PageOutcome(self.position, self.done, self.skipped, tuple(self.failures), is_last, is_unavailable)


class BatchJobSteps:
    """Takes batch jobs on, whoever asks for it: messages of the timers queue, the sweep, and redriving."""

    def __init__(
        self, store: ItemStore, clock: Clock, *, dispatch: Dispatch, selection: SelectionService, actions: BatchActions
    ) -> None:
        self._store = store
        self._clock = clock
        self._dispatch = dispatch
        self._selection = selection
        self._actions = actions
        self._candidates = Candidates(store)

    def step(self, due: BatchJobDue) -> None:
        """Take the step that a message asks for; does nothing if another one has taken it, or the job has ended.

        Each execution is dealt with by itself: one that fails is recorded, and the job goes on. A repeat acts again on the
        same page, which every action recognises. Raises: Unavailable, Unreadable if that is the job itself.
        Cost: a read, index queries, the action for each execution of the page, and one write.
        """
        item = self._store.get(keys.batch_job(due.workspace, due.batch_id))
        if item is None:
            return
        job = batch_job_of(item)
        if not job.is_running or due.step not in {None, job.progress.steps}:
            return
        if job.progress.careful:
            before, job = job, begun(job)
            try:
                self._store.write(progress_update(before, job))
            except ConditionFailed:
                return
        self._write(job, self._page(job, batch_input_of(item)))

    def revive(self, workspace: Workspace, batch_id: str) -> None:
        """Ask again for a step that was not heard of. It may have ended its process: the next ones are careful.

        Raises: Unavailable, Unreadable. Cost: a read, a write, a message.
        """
        item = self._store.get(keys.batch_job(workspace, batch_id))
        job = batch_job_of(item) if item else None
        if job and job.is_running:
            with suppress(ConditionFailed):  # it was heard of
                self._store.write(progress_update(job, interrupted(job, self._clock.now())))
                self._dispatch.carry_out([SendLater(_due(job))])

    def redrive(self, workspace: Workspace | None) -> None:
        """Ask again for the steps of all jobs that are running, as the queues may have lost their messages.

        workspace: whose; None for all. Raises: Unavailable. Cost: an index query, a read for each job, and messages.
        """
        due = []
        for listed in read_all(self._store, Query(keys.DUE_BATCH_JOBS, index=keys.DUE)):
            item = self._store.get(listed.key) if workspace in {None, job_at(listed.key)[0]} else None
            with suppress(InconsistentHistory):  # the sweep parks it
                due += [SendLater(_due(batch_job_of(item)))] if item else []
        self._dispatch.carry_out(due)

    # --- a page -------------------------------------------------------------------------------------------------------

    def _page(self, job: BatchJob, value: Json) -> PageOutcome:
        """Act on the executions that come next."""
        budget, began = Budget(READ_BY_STEP), self._clock.now()
        wanted = self._selection.filter_of(job.workspace, job.request.criteria, budget)
        tally = _Tally(job.progress.position)
        for candidate in self._candidates.of_job(job, wanted, budget):
            if candidate.run:
                try:
                    self._deal_with(job, value, candidate, candidate.run, tally)
                except Unavailable as error:
                    logger.warning("batch job %s waits: %s", job.batch_id, loggable(error))
                    return tally.outcome(is_unavailable=True)
            tally.position = candidate.position
            if tally.count >= job.page_size or budget.is_spent or self._clock.now() - began >= LONGEST_STEP:
                return tally.outcome()
        return tally.outcome(is_last=True)

    def _deal_with(self, job: BatchJob, value: Json, candidate: Candidate, run: RunSummary, tally: _Tally) -> None:
        """Act on one execution. Raises: Unavailable, unless it is so for too long, which is recorded as a failure."""
        is_first = tally.count == 0
        if candidate.error:
            self._fail(run, candidate.error, tally)
            return
        if is_first and job.progress.beginnings > MOST_BEGINNINGS:
            self._fail(run, InconsistentHistory("the process ended each time it was tried"), tally)
            return
        try:
            skipped = self._actions.act(job, value, candidate, run)
        except Unavailable as error:
            if not is_first or job.progress.tries + 1 < MOST_TRIES:
                raise
            self._fail(run, error, tally)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this execution's
            self._fail(run, error, tally)
        else:
            if skipped:
                tally.skipped[skipped] += 1
            else:
                tally.done += 1

    def _fail(self, run: RunSummary, error: Exception, tally: _Tally) -> None:
        execution_id, reason = run.key.execution_id, loggable(error)[:MOST_CHARACTERS]
        logger.warning("a batch job could not act on execution %s: %s", execution_id, reason)
        at = self._clock.now()
        tally.failures.append(BatchFailure(execution_id=execution_id, run_id=run.key.run_id, at=at, reason=reason))

    def _write(self, job: BatchJob, page: PageOutcome) -> None:
        """Write what a step has done, unless another one was faster. Of a job that was aborted meanwhile it counts, too."""
        try:
            self._store.write(*self._writes(job, page))
        except ConditionFailed:
            item = self._store.get(keys.batch_job(job.workspace, job.batch_id))
            now = batch_job_of(item) if item else None
            if now and not now.is_running and now.progress.steps == job.progress.steps:
                with suppress(ConditionFailed):
                    self._store.write(*self._writes(now, page))

    def _writes(self, job: BatchJob, page: PageOutcome) -> list[Write]:
        now = self._clock.now()
        writes: list[Write] = [progress_update(job, after_page(job, page, now))]
        if page.failures:
            writes.append(Put(failures_item(job, page.failures, now)))
        return writes


def _due(job: BatchJob) -> BatchJobDue:
    progress = job.progress
    return BatchJobDue(workspace=job.workspace, batch_id=job.batch_id, step=progress.steps, fresh_at=progress.due_at)
