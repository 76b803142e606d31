"""Schedules: made, changed and looked at, and the executions that they start."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import islice

from pydantic import ValidationError

from levante_core.domain import names
from levante_core.domain.dispatch.plan import RunStarted, SendLater
from levante_core.domain.dispatch.tasks import ScheduleDue
from levante_core.domain.executions.execution import Execution
from levante_core.domain.history.transitions import FAILURES
from levante_core.domain.names import DeploymentName, ExecutionId, WorkflowName, Workspace
from levante_core.domain.schedules.spec import (
    PartialScheduleDefinition,
    ScheduleDefinition,
    ScheduleOverlapPolicy,
    changed,
)
from levante_core.domain.schedules.state import Schedule, ScheduleState, Step, Waiting, next_step
from levante_core.errors import (
    AmbiguousWorkflow,
    InvalidInput,
    InvalidSchedule,
    NotFound,
    NotRunning,
    ScheduleExists,
    ScheduleNotFound,
    Unavailable,
    loggable,
)
from levante_core.ports.item_store import Absent, ConditionFailed, Delete, ItemStore, Matches, Page, Put, Query
from levante_core.ports.surroundings import Clock, Ids
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.sender import Dispatch
from levante_core.services.executions.close import ClosingService
from levante_core.services.executions.lookup import summary_if_any
from levante_core.services.executions.start import ExecutionService
from levante_core.services.history.loading import read_all
from levante_core.services.messages.accept import MessageService
from levante_core.storage import keys
from levante_core.storage.decoding import readable
from levante_core.storage.runs import execution_item
from levante_core.storage.schedules import schedule_item, schedule_of

logger = logging.getLogger("levante.schedules")

MOST_STEPS = 200
"""Executions that one look starts; the next one, within a minute, goes on."""
MOST_PARTIAL_STEPS = 20
"""Of one look: so many times 2,000 times are dealt with that start nothing; the next look goes on."""
MOST_SCHEDULES = 1_000
"""Of a workspace."""
SWEEP_REACH = timedelta(seconds=75)
"""How far the sweep looks ahead: to the next sweep, and a little further. What is due sooner gets a message at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a schedule starts: a workflow, in a deployment if one is named."""

    workflow_name: WorkflowName
    deployment_name: DeploymentName | None = None


class ScheduleService:
    """The schedules of all workspaces.

    Every change is a write on the condition that nobody else has changed the schedule meanwhile, and the start of an
    execution is in one transaction with it. So however many look at a schedule at once, each time is dealt with once.
    """

    def __init__(
        self,
        store: ItemStore,
        clock: Clock,
        ids: Ids,
        *,
        dispatch: Dispatch,
        executions: ExecutionService,
        closing: ClosingService,
        messages: MessageService,
        conflicts: Conflicts,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._dispatch = dispatch
        self._executions = executions
        self._closing = closing
        self._messages = messages
        self._conflicts = conflicts

    # --- what users do ------------------------------------------------------------------------------------------------

    def create(
        self,
        workspace: Workspace,
        target: Target,
        definition: ScheduleDefinition,
        *,
        declared_by: DeploymentName | None = None,
        user_id: str | None = None,
    ) -> Schedule:
        """Make a schedule; it counts from now on. user_id: of the API key that makes it.

        Raises: ScheduleExists, InvalidInput; NotFound, AmbiguousWorkflow if nothing could be started now.
        Cost: two queries, one over all schedules of the workspace, and a write.
        """
        schedule_id = names.schedule_id(definition.schedule_id or self._ids.uuid())
        schedule = Schedule(
            workspace=workspace,
            schedule_id=schedule_id,
            workflow_name=target.workflow_name,
            deployment_name=target.deployment_name,
            definition=definition.model_copy(update={"schedule_id": schedule_id}),
            state=ScheduleState(seen_until=self._clock.now(), remaining=definition.max_executions),
            version=self._ids.uuid(),
            declared_by=declared_by,
            user_id=user_id,
        )
        self._execution(schedule, Waiting(at=self._clock.now(), overlap=definition.policy.overlap))
        refuse_beyond(sum(1 for _ in islice(read_all(self._store, Query(keys.schedules(workspace))), MOST_SCHEDULES)))
        try:
            self._store.write(Put(schedule_item(schedule, self._clock.now()), Absent()))
        except ConditionFailed:
            raise exists_already(schedule_id) from None
        self._remind(schedule)
        return schedule

    def get(self, workspace: Workspace, schedule_id: str) -> Schedule:
        """Return a schedule. Raises: ScheduleNotFound."""
        item = self._store.get(keys.schedule(workspace, schedule_id))
        if item is None:
            raise ScheduleNotFound(f"no schedule has the id {schedule_id!r}")
        return schedule_of(item)

    def all(self, workspace: Workspace) -> Iterator[Schedule]:
        """Yield a workspace's schedules by id, but for those that cannot be read."""
        return readable(read_all(self._store, Query(keys.schedules(workspace))), schedule_of)

    def if_readable(self, workspace: Workspace, schedule_id: str) -> Iterator[Schedule]:
        """Yield a schedule, if there is one and it can be read: one that cannot keeps no worker from registering."""
        item = self._store.get(keys.schedule(workspace, schedule_id))
        return readable([item] if item else [], schedule_of)

    def page(self, workspace: Workspace, *, limit: int, after: str | None) -> Page:
        """List a workspace's schedule items by id."""
        return self._store.query(Query(keys.schedules(workspace), limit=limit, after=after))

    def update(self, workspace: Workspace, schedule_id: str, changes: PartialScheduleDefinition) -> None:
        """Change what is set in the changes; other times count from now on. Raises: ScheduleNotFound; as `create`."""

        def change(schedule: Schedule) -> Schedule:
            try:
                definition = changed(schedule.definition, changes)
            except ValidationError as error:
                raise InvalidSchedule.at(("body", "schedule"), error.errors()[0]["msg"]) from None
            redefined = _redefined(schedule, definition, self._clock.now())
            if "input" in changes.model_fields_set:
                self._execution(redefined, Waiting(at=self._clock.now(), overlap=definition.policy.overlap))
            return redefined

        self._change(workspace, schedule_id, change)

    def delete(self, workspace: Workspace, schedule_id: str) -> None:
        """Remove a schedule; executions that it has started go on. Raises: ScheduleNotFound."""
        try:
            self._store.write(Delete(keys.schedule(workspace, schedule_id), Matches()))
        except ConditionFailed:
            raise ScheduleNotFound(f"no schedule has the id {schedule_id!r}") from None

    def pause(self, workspace: Workspace, schedule_id: str, note: str | None) -> None:
        """Let no more executions start. Raises: ScheduleNotFound."""
        self._change(workspace, schedule_id, lambda schedule: _with(schedule, paused=True, note=note))

    def resume(self, workspace: Workspace, schedule_id: str, note: str | None) -> None:
        """Let executions start again; times that have passed meanwhile are not caught up. Raises: ScheduleNotFound."""
        now = self._clock.now()

        def change(schedule: Schedule) -> Schedule:
            seen_until = max(now, schedule.state.seen_until) if schedule.state.paused else schedule.state.seen_until
            return _with(schedule, paused=False, note=note, seen_until=seen_until)

        self._change(workspace, schedule_id, change)

    def trigger(self, workspace: Workspace, schedule_id: str, overlap: ScheduleOverlapPolicy | None) -> None:
        """Start an execution now, as far as the overlap policy allows; also while paused. Raises: ScheduleNotFound."""
        now = self._clock.now()

        def change(schedule: Schedule) -> Schedule:
            wanted = overlap or schedule.definition.policy.overlap
            asked = Waiting(at=now, overlap=wanted, is_manual=True)
            return _with(schedule, waiting=(*schedule.state.waiting, asked))

        self._change(workspace, schedule_id, change)
        self.look(workspace, schedule_id)

    def redefine(self, workspace: Workspace, schedule_id: str, definition: ScheduleDefinition) -> None:
        """Replace the whole definition; whether it is paused stays. Raises: ScheduleNotFound."""
        self._change(workspace, schedule_id, partial(_redefined, definition=definition, now=self._clock.now()))

    # --- what is due --------------------------------------------------------------------------------------------------

    def look(self, workspace: Workspace, schedule_id: str) -> None:
        """Do what is to be done for a schedule by now; does nothing if it is gone. A repeat at any time is harmless.

        Cost: two reads; for each execution that is started two more, and a transaction of two writes.
        """
        has_changed, partial_steps = False, 0
        for _ in range(MOST_STEPS):
            taken = self._take_next(workspace, schedule_id)
            if taken is None:
                return
            before, step, after = taken
            has_changed = has_changed or after is not before
            self._end(workspace, step)
            partial_steps += step.is_partial
            is_partial = step.is_partial and partial_steps < MOST_PARTIAL_STEPS
            if not step.start and not is_partial and not step.terminate:
                if has_changed:  # so that there is one reminder for each time, however many look
                    self._remind(after)
                return

    def _take_next(self, workspace: Workspace, schedule_id: str) -> tuple[Schedule, Step, Schedule] | None:
        """Take the next step of a schedule: returns it between the schedule before and after; None if there is none."""
        for _ in self._conflicts.attempts():
            item = self._store.get(keys.schedule(workspace, schedule_id))
            if item is None:
                return None
            before = schedule_of(item)
            step = self._step(before)
            with suppress(ConditionFailed):  # somebody else looks at it too: look again
                return before, step, self._take(before, step)
        raise Unavailable(f"schedule {schedule_id!r} is being changed by many at once: try again")

    def _step(self, schedule: Schedule) -> Step:
        now = self._clock.now()
        summaries = [
            summary_if_any(self._store, schedule.workspace, execution_id) for execution_id in schedule.state.running
        ]
        executions = [execution for execution in summaries if execution]
        still_open = {execution.key.execution_id for execution in executions if execution.is_open}
        failed = {execution.key.execution_id for execution in executions if execution.status in FAILURES}
        return next_step(schedule, now, still_open, failed)

    def _take(self, before: Schedule, step: Step) -> Schedule:
        """Write what a step comes to. Raises: ConditionFailed if somebody else has changed the schedule, or taken an id."""
        after, now = step.schedule, self._clock.now()
        execution = None
        if step.start:
            try:
                execution = self._execution(after, step.start)
                state = after.state.with_started(step.start, execution.key.execution_id, now)
            except (NotFound, AmbiguousWorkflow, InvalidInput) as error:
                state = _not_started(after, step.start, error)
            after = replace(after, state=state)
        if after.state == before.state:
            return before
        after = replace(after, version=self._ids.uuid())
        put = Put(schedule_item(after, now), Matches({"version": before.version}))
        self._store.write(put, *([Put(execution_item(execution), Absent())] if execution else []))
        if execution:
            self._dispatch.dispatch_now([RunStarted(execution.key, execution.pool, execution.start)])
        return after

    def _execution(self, schedule: Schedule, what: Waiting) -> Execution:
        """Make the execution for a time, with an id that tells which. Raises: NotFound, AmbiguousWorkflow, InvalidInput."""
        execution_id = ExecutionId(f"{schedule.schedule_id}-{what.at:%Y%m%dT%H%M%SZ}")
        if self._store.get(keys.execution(schedule.workspace, execution_id)):
            execution_id = ExecutionId(f"{execution_id}-{self._ids.uuid()[:8]}")
        return self._executions.scheduled(
            schedule.workspace,
            schedule.workflow_name,
            schedule.deployment_name,
            schedule.definition.input,
            execution_id=execution_id,
            schedule_id=schedule.schedule_id,
            user_id=schedule.user_id,
        )

    def _end(self, workspace: Workspace, step: Step) -> None:
        for execution_id in step.end:
            with suppress(NotFound, NotRunning):
                if step.terminate:
                    self._closing.terminate(workspace, execution_id)
                else:
                    self._messages.cancel(workspace, execution_id)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _change(self, workspace: Workspace, schedule_id: str, change: Callable[[Schedule], Schedule]) -> None:
        for _ in self._conflicts.attempts():
            before = self.get(workspace, schedule_id)
            after = replace(change(before), version=self._ids.uuid())
            with suppress(ConditionFailed):
                self._store.write(Put(schedule_item(after, self._clock.now()), Matches({"version": before.version})))
                self._remind(after)
                return
        raise Unavailable(f"schedule {schedule_id!r} is being changed by many at once: try again")

    def _remind(self, schedule: Schedule) -> None:
        """Send a message for a time that comes before the sweep may look. If it is lost, the sweep sends another one."""
        next_at = schedule.next_at()
        if next_at and next_at - self._clock.now() <= SWEEP_REACH:
            due = ScheduleDue(workspace=schedule.workspace, schedule_id=schedule.schedule_id, fresh_at=next_at)
            with suppress(Unavailable):
                self._dispatch.carry_out([SendLater(due)])


def refuse_beyond(have: int, more: int = 1) -> None:
    """Refuse schedules beyond what a workspace may have; several at the same moment may go a little beyond."""
    if have + more > MOST_SCHEDULES:
        there_are = "there can be no more" if more == 1 else f"{more} more are too many: {MOST_SCHEDULES} fit"
        problem = f"the workspace has {have} schedules, and {there_are}: delete some that are over"
        raise InvalidSchedule.at(("body", "schedule"), problem)


def exists_already(schedule_id: str) -> ScheduleExists:
    """Make the error for an id that is taken."""
    return ScheduleExists(f"schedule {schedule_id!r} exists: change or delete it, or choose another schedule_id")


def _with(schedule: Schedule, **changes: object) -> Schedule:
    return replace(schedule, state=schedule.state.model_copy(update=changes))


def _redefined(schedule: Schedule, definition: ScheduleDefinition, now: datetime) -> Schedule:
    """Return a schedule with another definition. What is left of its executions changes only with their number."""
    is_same = definition.max_executions == schedule.definition.max_executions
    remaining = schedule.state.remaining if is_same else definition.max_executions
    counting_from_now = _with(schedule, seen_until=max(now, schedule.state.seen_until), remaining=remaining)
    return replace(counting_from_now, definition=definition)


def _not_started(schedule: Schedule, what: Waiting, error: Exception) -> ScheduleState:
    """Note that a time brought no execution, so that it is not lost without a word."""
    note = f"no execution was started for {what.at.isoformat()}: {error}"
    logger.warning("schedule %s started nothing for %s: %s", schedule.schedule_id, what.at.isoformat(), loggable(error))
    is_paused = schedule.state.paused or schedule.definition.policy.pause_on_failure
    return schedule.state.model_copy(update={"note": note, "paused": is_paused})
