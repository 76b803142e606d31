"""The schedules that code declares for its workflows: compared with those that are kept, and made what it says."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from levante_core.domain.names import DeploymentName, WorkflowName, Workspace
from levante_core.domain.payloads import is_encoded
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.errors import InvalidInput, InvalidSchedule, ScheduleExists, ScheduleNotFound
from levante_core.protocol.specs import JsonSchema, WorkflowSpec
from levante_core.services.executions.start import ExecutionService
from levante_core.services.schedules.schedules import ScheduleService, Target, exists_already, refuse_beyond


@dataclass(frozen=True, slots=True)
class Declared:
    """A schedule as code declares it, with an id; input_schema: of its workflow."""

    schedule_id: str
    target: Target
    definition: ScheduleDefinition
    input_schema: JsonSchema


@dataclass(frozen=True, slots=True)
class Changes:
    """What makes the schedules of a workspace what code declares; gone: ids of those that it no longer has."""

    workspace: Workspace
    gone: tuple[str, ...] = ()
    new: tuple[Declared, ...] = ()
    redefined: tuple[Declared, ...] = ()


class DeclaredSchedules:
    """Keeps the schedules of code as they are declared, in two steps, so that what is refused has changed nothing."""

    def __init__(self, schedules: ScheduleService, executions: ExecutionService) -> None:
        self._schedules = schedules
        self._executions = executions

    def changes(self, workspace: Workspace, deployment: DeploymentName, specs: Sequence[WorkflowSpec]) -> Changes:
        """Find what has to change for the workflows that a deployment registers. Writes nothing.

        Schedules without an id get one from the workflow, the deployment and their place.
        Raises: InvalidInput; ScheduleExists if one has the id of a schedule that is not this deployment's.
        Cost: a query over the workspace's schedules.
        """
        known = {schedule.schedule_id: schedule for schedule in self._schedules.all(workspace)}
        wanted = {schedule.schedule_id: schedule for spec in specs for schedule in _declared(spec, deployment)}
        workflows = {spec.name for spec in specs}
        own = {
            schedule_id: schedule.definition
            for schedule_id, schedule in known.items()
            if schedule.declared_by == deployment and schedule.workflow_name in workflows
        }
        new = tuple(schedule for schedule in wanted.values() if schedule.schedule_id not in own)
        redefined = tuple(
            schedule
            for schedule in wanted.values()
            if (old := own.get(schedule.schedule_id)) and not _is_same(old, schedule)
        )
        for schedule in new:
            if schedule.schedule_id in known:
                raise exists_already(schedule.schedule_id)
        for schedule in (*new, *redefined):
            with _named(schedule):
                self._executions.check_input(schedule.input_schema, schedule.definition.input)
        gone = tuple(own.keys() - wanted.keys())
        if new:
            refuse_beyond(len(known) - len(gone), len(new))
        return Changes(workspace, gone, new, redefined)

    def carry_out(self, changes: Changes) -> None:
        """Make the changes. Raises: as `ScheduleService.create`. Cost: nothing where nothing changes."""
        for schedule_id in changes.gone:
            with suppress(ScheduleNotFound):
                self._schedules.delete(changes.workspace, schedule_id)
        for schedule in changes.new:
            self._make(changes.workspace, schedule)
        for schedule in changes.redefined:
            self._schedules.redefine(changes.workspace, schedule.schedule_id, schedule.definition)

    def _make(self, workspace: Workspace, new: Declared) -> None:
        """Make a schedule unless another worker of the deployment has just made it, or its item cannot be read."""
        deployment = new.target.deployment_name
        try:
            with _named(new):
                self._schedules.create(workspace, new.target, new.definition, declared_by=deployment)
        except ScheduleExists:
            for known in self._schedules.if_readable(workspace, new.schedule_id):
                if known.declared_by != deployment:
                    raise


def _declared(spec: WorkflowSpec, deployment: DeploymentName) -> Iterator[Declared]:
    home = hashlib.sha256(f"{deployment}/{spec.name}".encode()).hexdigest()[:8]
    for place, declared in enumerate(spec.schedules, 1):
        schedule_id = declared.schedule_id or f"{spec.name}-{home}-{place}"
        definition = declared.model_copy(update={"schedule_id": schedule_id})
        yield Declared(schedule_id, Target(WorkflowName(spec.name), deployment), definition, spec.input_schema)


def _is_same(known: ScheduleDefinition, declared: Declared) -> bool:
    """Compare two definitions; inputs that are encoded differ each time, and are compared by their hashes."""
    other = declared.definition
    if is_encoded(known.input) and is_encoded(other.input) and known.input.get("input_hash"):
        if known.input["input_hash"] != other.input.get("input_hash"):
            return False
        other = other.model_copy(update={"input": known.input})
    return known == other


@contextmanager
def _named(declared: Declared) -> Iterator[None]:
    """Say in a refusal which schedule it is."""
    try:
        yield
    except InvalidInput as error:
        name = f"schedule {declared.schedule_id!r} of workflow {declared.target.workflow_name!r}"
        raise InvalidSchedule([{**problem, "msg": f"{name}: {problem['msg']}"} for problem in error.problems]) from None
