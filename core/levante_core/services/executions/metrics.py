"""How the executions of a workflow have done, from the runs themselves."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import fmean

from levante_core.domain.history.transitions import FAILURES, ExecutionStatus
from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput
from levante_core.ports.surroundings import Clock
from levante_core.services.executions.blockers import BlockerService
from levante_core.services.executions.run_filter import RunFilter
from levante_core.services.executions.start import ExecutionService
from levante_core.services.paging import MOST_READ
from levante_core.storage.runs import RunSummary

DEFAULT_PERIOD = timedelta(days=1)
POINTS = 60
"""Into which a period is divided."""
BLOCKED_LOOKED_AT = 100
"""Open executions that are looked at for what keeps them from going on, each at the price of some reads."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of the executions that started in a period. Latencies: of those that completed, from the start of their last run on.

    is_partial: there are more, and these are the newest. average_latency_ms: 0 if none has. latency_over_time: by the part
    of the period in which they started, as seconds since 1970 and milliseconds. blocked: of the newest BLOCKED_LOOKED_AT
    that are open, those that something keeps from going on.
    """

    executions: int
    completed: int
    errors: int
    average_latency_ms: float
    latency_over_time: tuple[tuple[int, float], ...]
    is_partial: bool = False
    blocked: int = 0


FIRST_DAY = datetime(1, 1, 2, tzinfo=UTC)


class MetricsService:
    """Counts and measures executions."""

    def __init__(self, executions: ExecutionService, clock: Clock, blockers: BlockerService) -> None:
        self._blockers = blockers
        self._executions = executions
        self._clock = clock

    def of_workflow(
        self, workspace: Workspace, workflow: str, *, start: datetime | None = None, end: datetime | None = None
    ) -> Metrics:
        """Measure the executions of a workflow that started from `start` on and before `end`; of the last day by default.

        Raises: NotFound; InvalidInput. Cost: index queries over these runs, the newest MOST_READ of them at most,
        and for BLOCKED_LOOKED_AT that are open what `Blockers.of` says.
        """
        until = end or self._clock.now()
        since = start or max(until, FIRST_DAY) - DEFAULT_PERIOD
        if until <= since:
            raise InvalidInput.at(("query", "end_time"), "end_time is not after start_time: swap them")
        page = self._executions.list_runs(
            workspace,
            workflow=workflow,
            wanted=RunFilter(started_after=since, started_before=until),
            descending=True,
            page_size=MOST_READ,
            after=None,
        )
        finder, newest = self._blockers.finder(), islice((run for run in page.runs if run.is_open), BLOCKED_LOOKED_AT)
        blocked = sum(1 for run in newest if finder.of(run))
        return replace(measured(page.runs, since, until), is_partial=page.next_token is not None, blocked=blocked)


def measured(runs: Iterable[RunSummary], since: datetime, until: datetime) -> Metrics:
    """Measure runs. One that goes on as another run is no execution of its own."""
    part = (until - since) / POINTS
    latencies: dict[int, list[float]] = defaultdict(list)
    executions = errors = 0
    for run in runs:
        if run.status is ExecutionStatus.CONTINUED_AS_NEW:
            continue
        executions += 1
        errors += run.status in FAILURES
        if run.status is ExecutionStatus.COMPLETED and run.ended_at:
            milliseconds = (run.ended_at - run.started_at) / timedelta(milliseconds=1)
            latencies[(run.started_at - since) // part].append(milliseconds)
    everything = [latency for some in latencies.values() for latency in some]
    return Metrics(
        executions=executions,
        completed=len(everything),
        errors=errors,
        average_latency_ms=fmean(everything) if everything else 0.0,
        latency_over_time=tuple(
            (int((since + number * part).timestamp()), fmean(some)) for number, some in sorted(latencies.items())
        ),
    )
