"""A workflow with a schedule, looked at by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

from levante_core.domain.executions.failure import Failure
from levante_core.domain.history.events import ExecutionCompleted, ExecutionFailed
from levante_core.domain.names import WorkflowName
from levante_core.domain.schedules.spec import ScheduleDefinition, ScheduleOverlapPolicy
from levante_core.domain.schedules.state import Schedule
from levante_core.protocol import WorkflowSpec
from levante_core.protocol.workers import RegisterRequest
from levante_core.services.executions.run_filter import RunFilter
from levante_core.services.schedules.schedules import Target
from tests.support.place import DEPLOYMENT, SPACE, Place

HOURLY = {"intervals": [{"every": "PT1H"}]}
SKIP, BUFFER_ONE, BUFFER_ALL, CANCEL, TERMINATE, ALLOW = ScheduleOverlapPolicy
SPEC = WorkflowSpec(name="w", task_queue="d", input_schema={"type": "object"}, execution_timeout=timedelta(days=30))
START = datetime(2026, 1, 1, tzinfo=UTC)


def serve(place: Place) -> None:
    """Register the workflow."""
    request = RegisterRequest(definitions=(SPEC,), deployment_name=DEPLOYMENT, worker_name="w")
    place.engine.catalogue.register(SPACE, request)


def make(place: Place, schedule_id: str = "s", **given: Any) -> Schedule:
    """Make a schedule of the workflow."""
    definition = ScheduleDefinition.model_validate({"input": {}, **HOURLY, "schedule_id": schedule_id, **given})
    return place.engine.schedules.create(SPACE, Target(WorkflowName("w")), definition)


def look(place: Place, schedule_id: str = "s") -> None:
    """Do what its messages ask for."""
    place.engine.schedules.look(SPACE, schedule_id)


def state(place: Place, schedule_id: str = "s") -> Any:
    """Return what the schedule has come to."""
    return place.engine.schedules.get(SPACE, schedule_id).state


def started(place: Place, schedule_id: str = "s") -> list[str]:
    """Return the times of the executions that are remembered, as hours and minutes."""
    return [one.scheduled_at.strftime("%H:%M") for one in state(place, schedule_id).recent]


def runs(place: Place) -> list[Any]:
    """Return every run there is, oldest first."""
    page = place.engine.executions.list_runs(
        SPACE, workflow=None, wanted=RunFilter(), descending=False, page_size=1000, after=None
    )
    return list(page.runs)


def end(place: Place, *, fail: bool = False) -> None:
    """Let every open execution end."""
    for run in runs(place):
        if run.ended_at is None:
            failed = ExecutionFailed(seq=1, failure=Failure(message="no"))
            taken_until = place.engine.executions.get(SPACE, run.key.execution_id).mail_count
            place.commit(run.key, 1, failed if fail else ExecutionCompleted(seq=1, result=None), taken_until=taken_until)
