"""Endpoints of schedules."""

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.http.endpoints import CLIENTS, READERS, Endpoint, no_content, user_named, user_of, workspace_of
from levante_api.http.paging import cursors
from levante_core.domain.executions.search import is_found
from levante_core.domain.frozen import Cursor, Frozen, Json, Limit, Parameters, Search, Time
from levante_core.domain.names import Workspace, deployment_name
from levante_core.domain.schedules.spec import (
    PartialScheduleDefinition,
    ScheduleDefinition,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    check_id,
)
from levante_core.domain.schedules.state import Schedule
from levante_core.domain.schedules.times import MOST_WORK, Work
from levante_core.errors import InvalidSchedule
from levante_core.ports.item_store import Item
from levante_core.services.engine import Engine
from levante_core.services.paging import scan
from levante_core.services.schedules.schedules import MOST_SCHEDULES, Target
from levante_core.storage.schedules import schedule_of


class SchedulesQuery(Parameters):
    """Which schedules, by id."""

    workflow_name: str | None = None
    """Schedules of this workflow."""
    user_id: str | None = None
    """Schedules made with this API key; `current` is the caller's."""
    status: Literal["active", "paused"] | None = None
    """Those that go on, or those that are paused."""
    search: Search | None = None
    """Words in the id or the name of the workflow, whatever the case."""
    page_size: Limit | None = None
    """Schedules on a page; all of them, if left out."""
    next_page_token: Cursor | None = None
    """From the page before."""


_TARGET = ("schedule_id", "workflow_identifier", "workflow_registration_id", "deployment_name")


class WorkflowScheduleRequest(Frozen):
    """A new schedule of one workflow or one registration."""

    schedule: ScheduleDefinition
    """Its times, and what it starts with."""
    workflow_identifier: str | None = None
    """Name or id of the workflow; this or workflow_registration_id is needed."""
    workflow_registration_id: str | None = None
    """Id of one deployment's registration."""
    workflow_version_id: str | None = None
    """Older name of workflow_registration_id."""
    schedule_id: str | None = None
    """Made here, if neither this nor the schedule's own is given."""
    deployment_name: str | None = None
    """Which deployment is to run it, where several serve the workflow."""
    workflow_task_queue: str | None = None
    """Older name of deployment_name."""


class WorkflowScheduleResponse(Frozen):
    """Which schedule was made or changed."""

    schedule_id: str
    """Id of the schedule."""


class WorkflowScheduleUpdateRequest(Frozen):
    """What changes."""

    schedule: PartialScheduleDefinition
    """What is set in it changes; all else stays."""


class WorkflowSchedulePauseRequest(Frozen):
    """Why."""

    note: str | None = None
    """Why, for people; shown with the schedule."""


class WorkflowScheduleTriggerRequest(Frozen):
    """How."""

    overlap: ScheduleOverlapPolicy | None = None
    """What to do about open executions, instead of the schedule's own policy."""


class ScheduleFutureExecution(Frozen):
    """A time to come."""

    scheduled_at: Time
    """When it is due."""


class ScheduleRecentExecution(Frozen):
    """A time that has come, and its execution."""

    scheduled_at: Time
    """The time as the schedule means it."""
    started_at: Time
    """When the execution was started."""
    execution_id: str
    """Id of the execution that was started."""


class ScheduleDefinitionOutput(ScheduleSpec):
    """A schedule with what it has come to."""

    input: Json
    """Input of its executions, as JSON."""
    schedule_id: str
    """Id of the schedule."""
    workflow_name: str
    """Name of the workflow."""
    paused: bool
    """Whether it starts nothing at present."""
    policy: SchedulePolicy
    """What happens when times overlap or were missed."""
    remaining_executions: int | None
    """How many more it may start; null for any number."""
    deployment_name: str | None
    """Name of the deployment that runs them; null for the one that serves the workflow."""
    note: str | None
    """Why it was paused or resumed; null if nobody said so."""
    future_executions: tuple[ScheduleFutureExecution, ...]
    """The next times."""
    recent_executions: tuple[ScheduleRecentExecution, ...]
    """The last times, and what was started."""


class WorkflowScheduleListResponse(Frozen):
    """Schedules by id."""

    schedules: tuple[ScheduleDefinitionOutput, ...]
    """The schedules of this page, by id."""
    next_page_token: str | None
    """Null after the last page."""


@dataclass(frozen=True)
class ScheduleEndpoints:
    """Makes, shows and changes schedules."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows/schedules"
        schedule = f"{path}/<schedule_id>"
        change = partial(Endpoint, roles=CLIENTS, status=204, errors=(404,))
        return [
            Endpoint("GET", path, self.get_schedules, READERS),
            Endpoint("POST", path, self.schedule_workflow, CLIENTS, status=201, errors=(404, 409), audits=_TARGET),
            Endpoint("GET", schedule, self.get_schedule, READERS, errors=(404,)),
            change("DELETE", schedule, self.unschedule_workflow, audits=()),
            Endpoint("PATCH", schedule, self.update_schedule, CLIENTS, errors=(404, 409), audits=()),
            change("POST", f"{schedule}/pause", self.pause_schedule, audits=("note",)),
            change("POST", f"{schedule}/resume", self.resume_schedule, audits=("note",)),
            change("POST", f"{schedule}/trigger", self.trigger_schedule, audits=()),
        ]

    def get_schedules(self, request: Request, query: Annotated[SchedulesQuery, Query()]) -> WorkflowScheduleListResponse:
        """List schedules by id. Where their times take much work to find, the last of them tell fewer of those to come."""
        workspace, user = workspace_of(request), user_named(request, query.user_id)
        pages = cursors(
            self.engine.capabilities, request, "schedules", query, parameter="next_page_token", beside=("page_size",)
        )

        def keep(item: Item) -> Schedule | None:
            schedule = schedule_of(item)
            return schedule if _matches(schedule, query, user) else None

        page, token = scan(
            lambda limit, after: self.engine.schedules.page(workspace, limit=limit, after=after),
            keep,
            query.page_size or MOST_SCHEDULES,
            pages.position(query.next_page_token),
        )
        now, work = self.engine.clock.now(), Work(2 * MOST_WORK)
        return WorkflowScheduleListResponse(
            schedules=tuple(_shown(schedule, now, work) for schedule in page), next_page_token=pages.cursor(token)
        )

    def schedule_workflow(self, request: Request, body: WorkflowScheduleRequest) -> Response[WorkflowScheduleResponse]:
        """Make a schedule; it counts from now on."""
        workspace = workspace_of(request)
        ids = {body.schedule_id, body.schedule.schedule_id} - {None}
        if len(ids) > 1:
            raise InvalidSchedule.at(("body", "schedule_id"), "the schedule has another schedule_id: send one of them")
        check_id(body.schedule, ("body", "schedule", "schedule_id"))
        definition = body.schedule.model_copy(update={"schedule_id": next(iter(ids), None)})
        target = self._target(workspace, body)
        schedule = self.engine.schedules.create(workspace, target, definition, user_id=user_of(request))
        return Response(
            201,
            content_type="application/json",
            body=WorkflowScheduleResponse(schedule_id=schedule.schedule_id),
        )

    def get_schedule(self, request: Request, schedule_id: str) -> ScheduleDefinitionOutput:
        """Get a schedule, its next ten times and its last ten executions."""
        return _shown(self.engine.schedules.get(workspace_of(request), schedule_id), self.engine.clock.now())

    def unschedule_workflow(self, request: Request, schedule_id: str) -> Response[None]:
        """Remove a schedule; executions that it has started go on."""
        self.engine.schedules.delete(workspace_of(request), schedule_id)
        return no_content()

    def update_schedule(
        self, request: Request, schedule_id: str, body: WorkflowScheduleUpdateRequest
    ) -> WorkflowScheduleResponse:
        """Change what is set; other times count from now on."""
        self.engine.schedules.update(workspace_of(request), schedule_id, body.schedule)
        return WorkflowScheduleResponse(schedule_id=schedule_id)

    def pause_schedule(self, request: Request, schedule_id: str, body: WorkflowSchedulePauseRequest) -> Response[None]:
        """Let a schedule start nothing until it is resumed."""
        self.engine.schedules.pause(workspace_of(request), schedule_id, body.note)
        return no_content()

    def resume_schedule(self, request: Request, schedule_id: str, body: WorkflowSchedulePauseRequest) -> Response[None]:
        """Let a schedule go on; what it has missed meanwhile is not caught up."""
        self.engine.schedules.resume(workspace_of(request), schedule_id, body.note)
        return no_content()

    def trigger_schedule(self, request: Request, schedule_id: str, body: WorkflowScheduleTriggerRequest) -> Response[None]:
        """Start an execution of a schedule now, as far as the overlap policy allows that."""
        self.engine.schedules.trigger(workspace_of(request), schedule_id, body.overlap)
        return no_content()

    def _target(self, workspace: Workspace, body: WorkflowScheduleRequest) -> Target:
        registration_id = body.workflow_registration_id or body.workflow_version_id
        if (registration_id is None) == (body.workflow_identifier is None):
            problem = "say what to start: either workflow_identifier or workflow_registration_id"
            raise InvalidSchedule.at(("body", "workflow_identifier"), problem)
        wanted = None
        if body.deployment_name:
            wanted = deployment_name(body.deployment_name)
        elif body.workflow_task_queue:
            wanted = deployment_name(body.workflow_task_queue, "workflow_task_queue")
        if registration_id is not None:
            workflow, registration = self.engine.catalogue.get_registration(workspace, registration_id)
            return Target(workflow.name, wanted or registration.deployment_name)
        return Target(self.engine.catalogue.get(workspace, str(body.workflow_identifier)).workflow.name, wanted)


def _matches(schedule: Schedule, query: SchedulesQuery, user: str | None) -> bool:
    texts = (schedule.schedule_id, schedule.workflow_name)
    return (
        user in (None, schedule.user_id)
        and query.workflow_name in (None, schedule.workflow_name)
        and query.status in (None, "paused" if schedule.state.paused else "active")
        and (not query.search or is_found(query.search, texts))
    )


def _shown(schedule: Schedule, now: datetime, work: Work | None = None) -> ScheduleDefinitionOutput:
    definition, state = schedule.definition, schedule.state
    spec = {name: getattr(definition, name) for name in ScheduleSpec.model_fields}
    return ScheduleDefinitionOutput(
        **spec,
        input=definition.input,
        schedule_id=schedule.schedule_id,
        workflow_name=schedule.workflow_name,
        paused=state.paused,
        policy=definition.policy,
        remaining_executions=state.remaining,
        deployment_name=schedule.deployment_name,
        note=state.note,
        future_executions=tuple(ScheduleFutureExecution(scheduled_at=at) for at in schedule.coming(now, work)),
        recent_executions=tuple(ScheduleRecentExecution(**dict(recent)) for recent in state.recent),
    )
