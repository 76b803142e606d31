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
    """Say that an attempt is still at work, and how far it has come. details: JSON for the attempt after this one."""

    token: Token
    details: tuple[Json, ...] = ()


class ActivityHeartbeatResponse(Frozen):
    """is_wanted: False asks the attempt to end: nobody waits for it any more."""

    is_wanted: bool


class DeferRequest(Frozen):
    """Say that an attempt goes on elsewhere, and ends with this token of its.

    timeout_seconds: after so long it has failed; heartbeat_seconds: after so long without a heartbeat as well.
    """

    token: Token
    timeout_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
    heartbeat_seconds: Annotated[float, Field(gt=0, le=LONGEST_SECONDS)] | None = None


class DeferResponse(Frozen):
    """is_wanted: False when nobody waits for the attempt any more."""

    is_wanted: bool


class PermitRequest(Frozen):
    """Ask for the next place under a rate limit. activity_name: what is limited, unless the limit has a key.

    within_seconds: take no place that is farther away.
    """

    deployment_name: Pool
    activity_name: Annotated[str, Field(max_length=256)]
    rate_limit: RateLimit
    within_seconds: Annotated[float, Field(ge=0, le=LONGEST_SECONDS)] | None = None

    def takes(self, wait_seconds: float) -> bool:
        """Tell whether a place that is so far away is wanted."""
        return self.within_seconds is None or wait_seconds <= self.within_seconds


class PermitResponse(Frozen):
    """wait_seconds: how far away the place is; the attempt may begin then if `is_taken`, else it asks again."""

    wait_seconds: Annotated[float, Field(ge=0)]
    is_taken: bool = True


class TaskEventReport(Frozen):
    """An event of a custom task. number: from 1 on, of those of its publisher."""

    number: Number
    at: Time
    event: TaskEvent


class Publication(Frozen):
    """What an activity publishes of custom tasks. token: of its attempt.

    publisher: unique for each run of an attempt. after: `last_sequence` of the result before, if any.
    """

    token: Token
    activity_name: str
    publisher: Annotated[str, Field(min_length=1, max_length=64)]
    events: Annotated[tuple[TaskEventReport, ...], Field(min_length=1, max_length=1000)]
    after: Annotated[int, Field(ge=0, le=MOST_EVENTS)] | None = None


class TaskEventsRequest(Frozen):
    """What different publishers send; each stands for itself."""

    publications: Annotated[tuple[Publication, ...], Field(min_length=1, max_length=100)]


class PublicationResult(Frozen):
    """last_sequence: how far the stream has come with it; None when the run is gone, and nobody sees them."""

    last_sequence: int | None


class TaskEventsResponse(Frozen):
    """One result per publication, in order."""

    results: tuple[PublicationResult, ...]


class CheckRequest(Frozen):
    """Ask whether an activity task is still wanted. receive_count: as delivered."""

    task: ActivityTask
    receive_count: Number = 1


class CheckResponse(Frozen):
    """task: what to run, its work included and its attempt brought up to date; None if it is not wanted any more."""

    task: ActivityTask | None


class ActivityReport(Frozen):
    """How an attempt ended. failure: None when it succeeded. receipt: its task, dealt with once this is recorded."""

    token: Token
    result: Json = None
    failure: Failure | None = None
    receipt: str | None = None


class ActivityReportsRequest(Frozen):
    """Reports of different activities; each stands for itself."""

    reports: Annotated[tuple[ActivityReport, ...], Field(min_length=1, max_length=100)]


class ActivityReportResult(Frozen):
    """stale: the attempt had been given up, and the report changed nothing."""

    stale: bool


class ActivityReportsResponse(Frozen):
    """One result per report, in order."""

    results: tuple[ActivityReportResult, ...]
