"""Schedules as items: all of a workspace in one partition, and in the index of what is due when something is to be done."""

from datetime import datetime

from levante_core.domain.dispatch.tasks import ScheduleDue
from levante_core.domain.frozen import wire_time
from levante_core.domain.names import DeploymentName, WorkflowName, Workspace
from levante_core.domain.schedules.spec import ScheduleDefinition
from levante_core.domain.schedules.state import Schedule, ScheduleState
from levante_core.ports.item_store import Item, Key, Scalar
from levante_core.storage import keys
from levante_core.storage.decoding import reader, text, text_if_any


def schedule_item(schedule: Schedule, now: datetime) -> Item:
    """Write a schedule."""
    attributes: dict[str, Scalar] = {
        "workspace": schedule.workspace,
        "schedule_id": schedule.schedule_id,
        "workflow_name": schedule.workflow_name,
        "deployment_name": schedule.deployment_name,
        "declared_by": schedule.declared_by,
        "user_id": schedule.user_id,
        "version": schedule.version,
    }
    documents = {"definition": schedule.definition.model_dump_json(), "state": schedule.state.model_dump_json()}
    look_at = schedule.look_at(now)
    indexes = {}
    if look_at:
        place = f"{wire_time(look_at)}#{schedule.workspace}#{schedule.schedule_id}"
        indexes[keys.DUE] = Key(keys.due_schedules(keys.shard(schedule.schedule_id)), place)
    return Item(keys.schedule(schedule.workspace, schedule.schedule_id), attributes, documents, indexes)


@reader
def schedule_of(item: Item) -> Schedule:
    """Read a schedule."""
    attributes = item.attributes
    deployment, declared_by = text_if_any(attributes, "deployment_name"), text_if_any(attributes, "declared_by")
    return Schedule(
        workspace=Workspace(text(attributes, "workspace")),
        schedule_id=text(attributes, "schedule_id"),
        workflow_name=WorkflowName(text(attributes, "workflow_name")),
        deployment_name=None if deployment is None else DeploymentName(deployment),
        definition=ScheduleDefinition.model_validate_json(item.documents["definition"]),
        state=ScheduleState.model_validate_json(item.documents["state"]),
        declared_by=None if declared_by is None else DeploymentName(declared_by),
        user_id=text_if_any(attributes, "user_id"),
        version=text(attributes, "version"),
    )


def due_of(listed: Item) -> ScheduleDue:
    """Read of an item of the index when which schedule is due."""
    at, workspace, schedule_id = listed.indexes[keys.DUE].sort.split("#")
    return ScheduleDue(workspace=Workspace(workspace), schedule_id=schedule_id, fresh_at=datetime.fromisoformat(at))
