"""What a schedule has come to, and what it does next."""

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, assert_never

from pydantic import Field

from levante_core.domain.frozen import Frozen, Time
from levante_core.domain.names import DeploymentName, ExecutionId, WorkflowName, Workspace
from levante_core.domain.schedules.spec import ScheduleDefinition, ScheduleOverlapPolicy
from levante_core.domain.schedules.times import Work, late_times

KEPT = 10
"""Executions that a schedule remembers, and times that it foretells."""
MOST_WAITING = 1_000
"""Times that wait for an execution to end; more are dropped."""
MOST_AT_ONCE = 2_000
"""Times that one step deals with."""
SHORTEST_CATCH_UP = timedelta(minutes=1)
"""What nobody calls late: times beyond the reach of messages are looked for once a minute."""
LOOK_AGAIN = timedelta(minutes=1)
"""How soon a schedule is looked at again of which a time waits: the end of an execution brings it sooner."""


class Waiting(Frozen):
    """A time whose execution has not been started."""

    at: Time
    overlap: ScheduleOverlapPolicy
    is_manual: bool = False
    """Somebody asked for it."""


class Fired(Frozen):
    """A time and its execution."""

    scheduled_at: Time
    started_at: Time
    execution_id: ExecutionId


class ScheduleState(Frozen):
    """How far a schedule has come."""

    seen_until: Time
    """Times up to this one were dealt with."""
    paused: bool = False
    note: str | None = None
    remaining: Annotated[int | None, Field(ge=0)] = None
    """Executions it may start; None for any number."""
    waiting: tuple[Waiting, ...] = ()
    running: tuple[ExecutionId, ...] = ()
    """Those that were open when it was last looked at."""
    recent: tuple[Fired, ...] = ()
    """The last that it has started, oldest first."""

    def with_started(self, what: Waiting, execution_id: ExecutionId, now: datetime) -> "ScheduleState":
        """Return the state once an execution has started."""
        fired = Fired(scheduled_at=what.at, started_at=now, execution_id=execution_id)
        left = self.remaining if self.remaining is None or what.is_manual else self.remaining - 1
        update = {
            "running": (*self.running, execution_id),
            "recent": (*self.recent, fired)[-KEPT:],
            "remaining": left,
        }
        return self.model_copy(update=update)


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule. declared_by: the deployment whose code has it; None for one that was made through the API.

    version: another one with every change, so that of two who change it at once one is refused. user_id: of the API key that
    made it, if one did.
    """

    workspace: Workspace
    schedule_id: str
    workflow_name: WorkflowName
    deployment_name: DeploymentName | None
    definition: ScheduleDefinition
    state: ScheduleState
    version: str
    declared_by: DeploymentName | None = None
    user_id: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether all the executions it may start have started."""
        return self.state.remaining == 0

    def next_at(self) -> datetime | None:
        """Return the next time; None while there is none."""
        if self.state.paused or self.is_over:
            return None
        ahead = late_times(self.definition, self.schedule_id, self.state.seen_until)
        return next((late for _, late in ahead), None)

    def look_at(self, now: datetime) -> datetime | None:
        """Return when something is to be done; None while nothing is."""
        waits = any(start.is_manual or not self.state.paused for start in self.state.waiting)
        return min(filter(None, [self.next_at(), now + LOOK_AGAIN if waits else None]), default=None)

    def coming(self, now: datetime, work: Work | None = None) -> list[datetime]:
        """Return the next times at which executions start, as far as that can be told: none while it is paused.

        work: what may be spent on that, if it is shared with other schedules.
        """
        if self.state.paused:
            return []
        count = KEPT if self.state.remaining is None else min(KEPT, self.state.remaining)
        ahead = late_times(self.definition, self.schedule_id, max(now, self.state.seen_until), work)
        return [late for _, late in islice(ahead, count)]


@dataclass(frozen=True, slots=True)
class Step:
    """What is done next. schedule: as it is then, but for the execution that is started for the time `start`.

    end: open executions that are asked to end, or ended at once (with terminate). is_partial: more times have come.
    """

    schedule: Schedule
    start: Waiting | None = None
    end: tuple[ExecutionId, ...] = ()
    terminate: bool = False
    is_partial: bool = False


def next_step(
    schedule: Schedule, now: datetime, still_open: Collection[ExecutionId], failed: Collection[ExecutionId]
) -> Step:
    """Say what a schedule does next. To be repeated until nothing is started, ended or left out.

    still_open, failed: of the executions in `running`.
    """
    state = _settled(schedule, now, still_open, failed)
    ahead, due = deque(state.waiting), _due(schedule, state, now)
    state = state.model_copy(update={"waiting": ()})
    for _ in range(MOST_AT_ONCE):
        what = ahead.popleft() if ahead else next(due, None)
        if what is None:
            break
        if not what.is_manual:
            state = state.model_copy(update={"seen_until": max(state.seen_until, what.at)})
            if state.remaining == 0:
                continue  # it waited while the last ones started
        if _may_start(what, state):
            state = state.model_copy(update={"waiting": (*state.waiting, *ahead)})
            return Step(replace(schedule, state=state), start=what)
        state = state.model_copy(update={"waiting": _waiting_with(what, state)})
    else:
        return Step(replace(schedule, state=state.model_copy(update={"waiting": (*state.waiting, *ahead)})), is_partial=True)
    ending = {start.overlap for start in state.waiting} & _ENDING if not state.paused else set()
    return Step(
        replace(schedule, state=state),
        end=state.running if ending else (),
        terminate=ScheduleOverlapPolicy.TERMINATE_OTHER in ending,
    )


_ENDING = {ScheduleOverlapPolicy.CANCEL_OTHER, ScheduleOverlapPolicy.TERMINATE_OTHER}


def _settled(
    schedule: Schedule, now: datetime, still_open: Collection[ExecutionId], failed: Collection[ExecutionId]
) -> ScheduleState:
    """Leave behind executions that have ended, and times that are too long ago."""
    state, policy = schedule.state, schedule.definition.policy
    window = max(timedelta(seconds=policy.catchup_window_seconds), SHORTEST_CATCH_UP)
    earliest = now - window - (schedule.definition.jitter or timedelta()) - timedelta(microseconds=1)
    update: dict[str, object] = {
        "running": tuple(execution_id for execution_id in state.running if execution_id in still_open),
        "seen_until": max(state.seen_until, earliest),
    }
    if failed and policy.pause_on_failure and not state.paused:
        update |= {"paused": True, "note": f"paused, because execution {min(failed)} failed"}
    return state.model_copy(update=update)


def _due(schedule: Schedule, state: ScheduleState, now: datetime) -> Iterator[Waiting]:
    """Yield the times that have come and were not dealt with."""
    if state.paused or state.remaining == 0:
        return
    for at, late in late_times(schedule.definition, schedule.schedule_id, state.seen_until):
        if late > now:
            return
        yield Waiting(at=at, overlap=schedule.definition.policy.overlap)


def _may_start(what: Waiting, state: ScheduleState) -> bool:
    if state.paused and not what.is_manual:
        return False
    return what.overlap is ScheduleOverlapPolicy.ALLOW_ALL or not state.running


def _waiting_with(what: Waiting, state: ScheduleState) -> tuple[Waiting, ...]:
    """Return what waits once this time has not been started."""
    waiting = state.waiting
    match what.overlap:
        case ScheduleOverlapPolicy.SKIP:
            return waiting
        case ScheduleOverlapPolicy.BUFFER_ONE:
            return waiting or (what,)
        case ScheduleOverlapPolicy.BUFFER_ALL | ScheduleOverlapPolicy.ALLOW_ALL:
            return (*waiting, what)[:MOST_WAITING]
        case ScheduleOverlapPolicy.CANCEL_OTHER | ScheduleOverlapPolicy.TERMINATE_OTHER:
            return (*(start for start in waiting if start.overlap not in _ENDING), what)
        case _:
            assert_never(what.overlap)
