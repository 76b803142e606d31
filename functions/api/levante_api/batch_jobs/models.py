"""Batch jobs as clients send and see them."""

from typing import Annotated, Any

from pydantic import Field, StrictBool

from levante_api.executions.models import ListedExecution
from levante_core.domain.batch_jobs.job import BatchFailure, BatchJob, BatchJobStatus
from levante_core.domain.batch_jobs.request import MOST_REASON, BatchAction
from levante_core.domain.executions.criteria import RunCriteria
from levante_core.domain.frozen import Cursor, Frozen, Json, Limit, Parameters, Time
from levante_core.domain.names import described

BatchId = Annotated[str, Field(min_length=1, json_schema_extra=described("batch_id"))]


class BatchPreviewBody(Frozen):
    """Which executions are meant."""

    filter: RunCriteria = RunCriteria()
    """What the executions have to be like, as for the list of runs; everything, if left out."""


class BatchStartBody(Frozen):
    """What is to be done to which executions."""

    batch_id: BatchId | None = None
    """1 to 128 letters, digits, `_` or `-`; made here, if left out. A repeat of the request gets the same job."""
    filter: RunCriteria = RunCriteria()
    """What the executions have to be like, as for the list of runs. Only those count that have started by now."""
    everything: StrictBool = False
    """Whether every execution of the workspace is meant: an empty filter is refused without it, and any other with it."""
    action: BatchAction
    """What is done to each of them."""
    input: dict[str, Json] | None = None
    """Input of the signal; or for reruns, one in place of that of each execution."""
    encoded_input: dict[str, Json] | None = None
    """Instead of `input`, one that only the workers can read."""
    reason: Annotated[str, Field(max_length=MOST_REASON)] | None = None
    """Why, for people."""


class BatchPreviewResponse(Frozen):
    """Which executions a job would be about if it were started now."""

    matched: int
    """How many executions the filter finds."""
    is_complete: bool
    """Whether that is all; false where there are more than one request may read, and more may match."""
    executions: tuple[ListedExecution, ...]
    """The ten that started first."""


class BatchRequester(Frozen):
    """With which key a job was started."""

    key_id: str
    """Id of the key."""
    key_name: str
    """Name of the key."""
    role: str
    """Role of the key."""


class BatchJobResponse(Frozen):
    """A batch job, and how far it has come."""

    batch_id: str
    """Id of the job."""
    status: BatchJobStatus
    """`RUNNING`, `COMPLETED`, `ABORTED`, or `FAILED` after 1,000 failures, when it has given up."""
    action: BatchAction
    """What is done to each execution."""
    filter: dict[str, Any]
    """What the executions have to be like: those conditions that were given."""
    reason: str | None
    """Why, for people; null if nobody said so."""
    requested_by: BatchRequester
    """Who has started it."""
    created_at: Time
    """When it was started: it is about executions that had started by then."""
    updated_at: Time
    """When it took its last step."""
    ended_at: Time | None
    """When it ended; null while it is running."""
    reached: Time | None
    """It has come to the executions that started at this time, the oldest first; null before the first of them."""
    matched: int
    """How many executions it has found so far: `done`, `skipped` and `failed` together."""
    done: int
    """To so many the action was done."""
    skipped: int
    """To so many it does not apply."""
    skipped_because: dict[str, int]
    """How many of these for which reason: `ended`, `open`, `child`, `not_applicable`, `gone`."""
    failed: int
    """With so many it failed."""


class BatchJobListResponse(Frozen):
    """A page of batch jobs, the newest first."""

    batches: tuple[BatchJobResponse, ...]
    """The jobs of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


class BatchFailureResponse(Frozen):
    """An execution with which a job failed."""

    execution_id: str
    """Id of the execution."""
    run_id: str
    """Id of the run that was found."""
    at: Time
    """When it was tried."""
    reason: str
    """Why it failed, without payloads."""


class BatchFailuresResponse(Frozen):
    """A page of failures, in the order in which they came."""

    failures: tuple[BatchFailureResponse, ...]
    """The failures of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


class BatchJobsQuery(Parameters):
    """Which jobs."""

    status: BatchJobStatus | None = None
    """Those with this status."""
    limit: Limit = 50
    """Jobs on a page."""
    cursor: Cursor | None = None
    """From the page before."""


class BatchFailuresQuery(Parameters):
    """Which failures."""

    limit: Limit = 100
    """Failures on a page."""
    cursor: Cursor | None = None
    """From the page before."""


def job_response(job: BatchJob) -> BatchJobResponse:
    """Show a job."""
    progress, requested = job.progress, job.requested
    return BatchJobResponse(
        batch_id=job.batch_id,
        status=job.status,
        action=job.request.action,
        filter=job.request.criteria.model_dump(mode="json", exclude_defaults=True),
        reason=job.request.reason,
        requested_by=BatchRequester(key_id=requested.key_id, key_name=requested.key_name, role=requested.role),
        created_at=job.created_at,
        updated_at=progress.updated_at,
        ended_at=job.ended_at,
        reached=job.reached,
        matched=progress.matched,
        done=progress.done,
        skipped=sum(progress.skipped.values()),
        skipped_because=dict(progress.skipped),
        failed=progress.failed,
    )


def failure_response(failure: BatchFailure) -> BatchFailureResponse:
    """Show a failure."""
    return BatchFailureResponse(
        execution_id=failure.execution_id, run_id=failure.run_id, at=failure.at, reason=failure.reason
    )
