"""What a batch job has come to, and what follows from one page of it. Pure: no clock and no store."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256

from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.frozen import Frozen, Time
from levante_core.domain.names import ExecutionId, RunId, Workspace

PAGE = 50
"""Executions that one step acts on."""
MOST_FAILURES = 1_000
"""Executions that may fail before a job gives up. All of them are kept with their reasons."""
MOST_TRIES = 5
"""So often a step tries an execution for which something is unavailable."""
LONGEST_PAUSE = timedelta(minutes=1)
MOST_BEGINNINGS = 3
"""So often a step may begin with one execution, and end with the process, before that counts as its fault."""


class BatchJobStatus(StrEnum):
    """How a batch job stands."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    """It has come to the last execution."""
    ABORTED = "ABORTED"
    """Somebody has stopped it."""
    FAILED = "FAILED"
    """It has given up, because too many executions failed."""


class SkipReason(StrEnum):
    """Why nothing was done to an execution that the filter finds."""

    ENDED = "ended"
    """It has ended."""
    OPEN = "open"
    """It goes on, and only closed ones are rerun."""
    CHILD = "child"
    """It has a parent, with which it is rerun."""
    NOT_APPLICABLE = "not_applicable"
    """Nothing of it is such that the action applies: no activity waits, its input is for its own id alone."""
    GONE = "gone"
    """It was deleted meanwhile."""


class BatchFailure(Frozen):
    """An execution that could not be acted on."""

    execution_id: ExecutionId
    run_id: RunId
    at: Time
    reason: str
    """Why, without payloads."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come, as the last step has written it.

    steps: how many there were; each step begins from one, and is refused if another was faster. position: of the last run
    looked at, in the order of their starts. skipped: by reason. tries: of the execution after the position, while something
    is unavailable. due_at: when the next step begins. careful: so many steps take one execution at a time, because one was
    not heard of again; beginnings: of the next of them.
    """

    due_at: datetime
    updated_at: datetime
    steps: int = 0
    position: str = ""
    matched: int = 0
    done: int = 0
    failed: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    tries: int = 0
    careful: int = 0
    beginnings: int = 0


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One batch job. requested: by whom, when and why. ended_at: None while it is running."""

    workspace: Workspace
    batch_id: str
    request: BatchRequest
    requested: ByHand
    progress: Progress
    status: BatchJobStatus = BatchJobStatus.RUNNING
    ended_at: datetime | None = None

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return self.status is BatchJobStatus.RUNNING

    @property
    def created_at(self) -> datetime:
        """When it was asked for: it is about what had started by then."""
        return self.requested.at

    @property
    def reached(self) -> datetime | None:
        """The time of the start of the last run that it has looked at; None before the first one."""
        position = self.progress.position
        return datetime.fromisoformat(position.partition("#")[0]) if position else None

    @property
    def page_size(self) -> int:
        """How many executions the next step acts on."""
        return 1 if self.progress.careful else PAGE

    @property
    def reason(self) -> str:
        """What the histories of executions say as the reason."""
        return f"batch {self.batch_id}" + (f": {self.request.reason}" if self.request.reason else "")

    def derived_id(self, execution_id: ExecutionId) -> str:
        """Return the id of what the action makes of an execution: the same whenever it is repeated, and nobody else's."""
        name = f"{self.workspace}\0{self.batch_id}\0{self.created_at.isoformat()}\0{execution_id}"
        return sha256(name.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class PageOutcome:
    """What a step has done. position: of the last run that it has dealt with. skipped: by reason.

    is_last: whether there are no more. is_unavailable: whether it ended at an execution for which something is.
    """

    position: str
    done: int = 0
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)
    failures: Sequence[BatchFailure] = ()
    is_last: bool = False
    is_unavailable: bool = False


def after_page(job: BatchJob, page: PageOutcome, now: datetime) -> BatchJob:
    """Return the job after a page."""
    before = job.progress
    skipped = Counter(before.skipped) + Counter({str(reason): count for reason, count in page.skipped.items()})
    failed = before.failed + len(page.failures)
    tries = (before.tries if page.position == before.position else 0) + 1 if page.is_unavailable else 0
    progress = Progress(
        due_at=now + (min(timedelta(seconds=2**tries), LONGEST_PAUSE) if tries else timedelta()),
        updated_at=now,
        steps=before.steps + 1,
        position=page.position,
        matched=before.matched + page.done + sum(page.skipped.values()) + len(page.failures),
        done=before.done + page.done,
        failed=failed,
        skipped=dict(skipped),
        tries=tries,
        careful=max(0, before.careful - 1),
    )
    after = replace(job, progress=progress)
    if not job.is_running:  # somebody has aborted it while the page was under way: what was done still counts
        return after
    if failed >= MOST_FAILURES:
        return replace(after, status=BatchJobStatus.FAILED, ended_at=now)
    return replace(after, status=BatchJobStatus.COMPLETED, ended_at=now) if page.is_last else after


def interrupted(job: BatchJob, now: datetime) -> BatchJob:
    """Return the job whose step was not heard of: the following ones take one execution at a time for a while."""
    return replace(job, progress=replace(job.progress, due_at=now, careful=PAGE))


def begun(job: BatchJob) -> BatchJob:
    """Return the job whose careful step begins."""
    return replace(job, progress=replace(job.progress, beginnings=job.progress.beginnings + 1))


def aborted(job: BatchJob, now: datetime) -> BatchJob:
    """Return the job that somebody has stopped."""
    return replace(job, status=BatchJobStatus.ABORTED, ended_at=now)
