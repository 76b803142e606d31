"""What workers and the API say of activity attempts to each other."""

from typing import Annotated

from pydantic import Field

from levante_core.domain.activities.options import RateLimit
from levante_core.domain.dispatch.tasks import ActivityTask
from levante_core.domain.executions.failure import Failure
from levante_core.domain.frozen import Frozen, Json, Time
from levante_core.domain.limits import LONGEST_SECONDS
from levante_core.domain.numbers import Number
from levante_core.domain.streams.custom_tasks import TaskEvent
from levante_core.protocol.names import Pool
from levante_core.protocol.streams import MOST_EVENTS
from levante_core.protocol.workers import Token


class ActivityHeartbeatRequest(Frozen):
    """Say that an attempt is still at work, and how far it has come."""

    token: Token
    """Capability of the attempt."""
    details: tuple[Json, ...] = ()
    """JSON for the attempt after this one."""


class ActivityHeartbeatResponse(Frozen):
    """Whether the attempt is wanted."""

    is_wanted: bool
    """False asks the attempt to end: nobody waits for it any more."""


class DeferRequest(Frozen):
    """Say that an attempt goes on elsewhere, and ends with this token of its."""

    token: Token
    """Capability of the attempt, which ends it elsewhere."""
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
    """After so long the attempt has failed."""
    heartbeat_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)] | None = None
    """After so long without a heartbeat it has failed as well."""


class DeferResponse(Frozen):
    """Whether the attempt is wanted."""

    is_wanted: bool
    """False when nobody waits for the attempt any more."""


class PermitRequest(Frozen):
    """Ask for the next place under a rate limit."""

    deployment_name: Pool
    """Name of the deployment."""
    activity_name: Annotated[str, Field(max_length=256)]
    """Name of the activity that is limited, unless the limit has a key."""
    rate_limit: RateLimit
    """The limit."""
    within_seconds: Annotated[float, Field(ge=0, le=LONGEST_SECONDS)] | None = None
    """Take no place that is farther away."""

    def takes(self, wait_seconds: float) -> bool:
        """Tell whether a place that is so far away is wanted."""
        return self.within_seconds is None or wait_seconds <= self.within_seconds


class PermitResponse(Frozen):
    """A place under a rate limit."""

    wait_seconds: Annotated[float, Field(ge=0)]
    """How far away the place is; the attempt may begin then if `is_taken`, else it asks again."""
    is_taken: bool = True
    """Whether the place is the caller's."""


class TaskEventReport(Frozen):
    """An event of a custom task."""

    number: Number
    """Its place among the events of its publisher, from 1 on."""
    at: Time
    """When it happened."""
    event: TaskEvent
    """The event."""


class Publication(Frozen):
    """What an activity publishes of custom tasks."""

    token: Token
    """Capability of the attempt."""
    activity_name: str
    """Name of the activity."""
    publisher: Annotated[str, Field(min_length=1, max_length=64)]
    """Id of the publisher, unique for each run of an attempt."""
    events: Annotated[tuple[TaskEventReport, ...], Field(min_length=1, max_length=1000)]
    """Its events, in order."""
    after: Annotated[int, Field(ge=0, le=MOST_EVENTS)] | None = None
    """`last_sequence` of the result before, if any."""


class TaskEventsRequest(Frozen):
    """What different publishers send; each stands for itself."""

    publications: Annotated[tuple[Publication, ...], Field(min_length=1, max_length=100)]
    """What each publisher sends."""


class PublicationResult(Frozen):
    """What became of one publication."""

    last_sequence: int | None
    """How far the stream has come with it; null when the run is gone, and nobody sees them."""


class TaskEventsResponse(Frozen):
    """One result per publication, in order."""

    results: tuple[PublicationResult, ...]
    """One result for each, in order."""


class CheckRequest(Frozen):
    """Ask whether an activity task is still wanted."""

    task: ActivityTask
    """The task, as it was delivered."""
    receive_count: Number = 1
    """How often it was delivered."""


class CheckResponse(Frozen):
    """Whether a task is wanted."""

    task: ActivityTask | None
    """What to run, its work included and its attempt brought up to date; null if it is not wanted any more."""


class ActivityReport(Frozen):
    """How an attempt ended."""

    token: Token
    """Capability of the attempt."""
    result: Json = None
    """What the activity returned, as JSON."""
    failure: Failure | None = None
    """What went wrong; null when it succeeded."""
    receipt: str | None = None
    """Receipt of its task, dealt with once this is recorded."""


class ActivityReportsRequest(Frozen):
    """Reports of different activities; each stands for itself."""

    reports: Annotated[tuple[ActivityReport, ...], Field(min_length=1, max_length=100)]
    """The reports."""


class ActivityReportResult(Frozen):
    """What became of one report."""

    stale: bool
    """Whether the attempt had been given up, and the report changed nothing."""


class ActivityReportsResponse(Frozen):
    """One result per report, in order."""

    results: tuple[ActivityReportResult, ...]
    """One result for each, in order."""
