"""Workflows, registrations, deployments, workers and API keys as items."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from math import ceil

from pydantic import TypeAdapter

from levante_core.domain.catalogue.builds import Build
from levante_core.domain.catalogue.routing import is_live
from levante_core.domain.executions.by_hand import ByHand
from levante_core.domain.frozen import wire_time
from levante_core.domain.names import DeploymentName, WorkflowName, Workspace
from levante_core.ports.item_store import EXPIRES_AT, Item, Key, Scalar
from levante_core.protocol.specs import WorkflowSpec
from levante_core.protocol.workers import ActivitySlots, DeploymentLocation
from levante_core.storage import keys
from levante_core.storage.decoding import flag, moment, moment_if_any, number, readable, reader, text, text_if_any

_TEXTS: TypeAdapter[tuple[str, ...]] = TypeAdapter(tuple[str, ...])
_GIVEN: TypeAdapter[dict[str, str | None]] = TypeAdapter(dict[str, str | None])


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow, whichever deployments serve it.

    declared_name, declared_description: what code says of it. given: what users say instead, by field; not in listings.
    edition: grows with every change, so that of two who change it at once one is refused.
    """

    workspace: Workspace
    workflow_id: str
    name: WorkflowName
    declared_name: str
    declared_description: str | None
    is_technical: bool
    is_archived: bool = False
    tags: tuple[str, ...] = ()
    given: Mapping[str, str | None] = field(default_factory=dict)
    edition: int = 0

    @property
    def display_name(self) -> str:
        """The name for people."""
        return self.given.get("display_name") or self.declared_name

    @property
    def description(self) -> str | None:
        """What it does, for people."""
        return self.given.get("description") or self.declared_description


@dataclass(frozen=True, slots=True)
class Registration:
    """What one deployment registered of a workflow. spec: absent where it comes from a listing.

    build_id: of the worker that registered last; None if new executions are pinned to no build.
    """

    workspace: Workspace
    registration_id: str
    workflow_id: str
    workflow_name: WorkflowName
    deployment_name: DeploymentName
    registered_at: datetime
    spec: WorkflowSpec | None
    build_id: str | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """A named group of workers."""

    workspace: Workspace
    deployment_id: str
    name: DeploymentName
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker process, by its name. registrations: ids of what it serves. build_id: None if it takes what is not pinned.

    session: of this start of it. left_at: when it said that it stops. slots: as its last heartbeat said, if it did.
    """

    name: str
    deployment_name: DeploymentName
    created_at: datetime
    last_heartbeat_at: datetime
    registrations: tuple[str, ...]
    location: DeploymentLocation | None
    build_id: str | None = None
    session: str | None = None
    left_at: datetime | None = None
    slots: ActivitySlots | None = None

    def is_live(self, now: datetime) -> bool:
        """Tell whether it was heard of recently enough, and has not said since that it stops."""
        return self.left_at is None and is_live(self.last_heartbeat_at, now)


LEFT_AT = "left_at"
SLOTS, SLOTS_IN_USE = "activity_slots", "activity_slots_in_use"
WORKER_KEPT_FOR = timedelta(days=7)
"""A worker is shown for so long after its last heartbeat."""


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Workers of a deployment that have one build and serve the same registrations. build_id: None if they have none."""

    deployment_name: DeploymentName
    registrations: tuple[str, ...]
    build_id: str | None


class Role(StrEnum):
    """What an API key may do. An admin may do everything, a viewer reads, a client and a worker do what their name says."""

    ADMIN = "admin"
    VIEWER = "viewer"
    CLIENT = "client"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key without its secret. deployments: those that a worker's key is bound to; empty for any."""

    key_id: str
    digest: str
    workspace: Workspace
    role: Role
    name: str
    created_at: datetime
    revoked_at: datetime | None = None
    deployments: tuple[DeploymentName, ...] = ()

    def by_hand(self, at: datetime, reason: str | None) -> ByHand:
        """Say of what is done with this key who does it. reason: why, for people."""
        return ByHand(at=at, key_id=self.key_id, key_name=self.name, role=self.role.value, reason=reason)


def workflow_item(workflow: Workflow) -> Item:
    """Write a workflow."""
    key = keys.workflow(workflow.workspace, workflow.name)
    attributes: dict[str, Scalar] = {
        "workspace": workflow.workspace,
        "workflow_id": workflow.workflow_id,
        "name": workflow.name,
        "display_name": workflow.display_name,
        "description": workflow.description,
        "is_technical": workflow.is_technical,
        "is_archived": workflow.is_archived,
        "tags": _TEXTS.dump_json(workflow.tags).decode(),
        "declared_name": workflow.declared_name,
        "declared_description": workflow.declared_description,
        "given": _GIVEN.dump_json(dict(workflow.given)).decode(),
        "edition": workflow.edition,
    }
    place = Key(workflow.workspace, f"{workflow.display_name.casefold()}#{workflow.name}")
    return Item(key, attributes, {}, {keys.WORKFLOWS: place})


@reader
def workflow_of(item: Item) -> Workflow:
    """Read a workflow; what is shown of it if the item comes from an index."""
    attributes = item.attributes
    edited_fields = text_if_any(attributes, "given")
    return Workflow(
        workspace=Workspace(text(attributes, "workspace")),
        workflow_id=text(attributes, "workflow_id"),
        name=WorkflowName(text(attributes, "name")),
        declared_name=text(attributes, "declared_name" if "declared_name" in attributes else "display_name"),
        declared_description=text_if_any(
            attributes, "declared_description" if "declared_description" in attributes else "description"
        ),
        is_technical=flag(attributes, "is_technical"),
        is_archived=flag(attributes, "is_archived"),
        tags=_TEXTS.validate_json(text(attributes, "tags")),
        given=_GIVEN.validate_json(edited_fields) if edited_fields else {},
        edition=number(attributes, "edition") if "edition" in attributes else 0,
    )


def registration_item(registration: Registration) -> Item:
    """Write a registration, its spec included."""
    attributes: dict[str, Scalar] = {
        "workspace": registration.workspace,
        "registration_id": registration.registration_id,
        "workflow_id": registration.workflow_id,
        "workflow_name": registration.workflow_name,
        "deployment_name": registration.deployment_name,
        "registered_at": wire_time(registration.registered_at),
        "build_id": registration.build_id,
    }
    documents = {"spec": registration.spec.model_dump_json()} if registration.spec else {}
    key = keys.registration(registration.workspace, registration.workflow_name, registration.deployment_name)
    place = Key(registration.workspace, f"{registration.workflow_name}#{registration.deployment_name}")
    return Item(key, attributes, documents, {keys.REGISTRATIONS: place})


@reader
def registration_of(item: Item) -> Registration:
    """Read a registration; without its spec if the item comes from an index."""
    attributes = item.attributes
    spec = item.documents.get("spec")
    return Registration(
        workspace=Workspace(text(attributes, "workspace")),
        registration_id=text(attributes, "registration_id"),
        workflow_id=text(attributes, "workflow_id"),
        workflow_name=WorkflowName(text(attributes, "workflow_name")),
        deployment_name=DeploymentName(text(attributes, "deployment_name")),
        registered_at=moment(attributes, "registered_at"),
        spec=_spec(spec) if spec else None,
        build_id=text_if_any(attributes, "build_id"),
    )


@lru_cache(maxsize=512)
def _spec(document: str) -> WorkflowSpec:
    """Read a spec, once for each text: it is immutable, and every start of an execution needs it."""
    return WorkflowSpec.model_validate_json(document)


def pointer_item(workspace: Workspace, catalogue_id: str, workflow: WorkflowName, deployment: str | None) -> Item:
    """Write what leads from the id of a workflow, or of a registration, to its name."""
    key = keys.pointer(workspace, catalogue_id)
    return Item(key, {"workflow_name": workflow, "deployment_name": deployment})


def deployment_item(deployment: Deployment) -> Item:
    """Write a deployment."""
    attributes: dict[str, Scalar] = {
        "workspace": deployment.workspace,
        "deployment_id": deployment.deployment_id,
        "name": deployment.name,
        "created_at": wire_time(deployment.created_at),
    }
    place = Key(deployment.workspace, deployment.name)
    return Item(keys.deployment(deployment.workspace, deployment.name), attributes, {}, {keys.DEPLOYMENTS: place})


@reader
def deployment_of(item: Item) -> Deployment:
    """Read a deployment."""
    return Deployment(
        workspace=Workspace(text(item.attributes, "workspace")),
        deployment_id=text(item.attributes, "deployment_id"),
        name=DeploymentName(text(item.attributes, "name")),
        created_at=moment(item.attributes, "created_at"),
    )


def worker_item(workspace: Workspace, worker: Worker) -> Item:
    """Write a worker."""
    attributes: dict[str, Scalar] = {
        "name": worker.name,
        "deployment_name": worker.deployment_name,
        "created_at": wire_time(worker.created_at),
        "last_heartbeat_at": wire_time(worker.last_heartbeat_at),
        "registrations": _TEXTS.dump_json(worker.registrations).decode(),
        "location": worker.location.model_dump_json() if worker.location else None,
        "build_id": worker.build_id,
        "session": worker.session,
        LEFT_AT: wire_time(worker.left_at) if worker.left_at else None,
        SLOTS: worker.slots.total if worker.slots else None,
        SLOTS_IN_USE: worker.slots.in_use if worker.slots else None,
        EXPIRES_AT: expires_at(worker.last_heartbeat_at + WORKER_KEPT_FOR),
    }
    return Item(keys.worker(workspace, worker.deployment_name, worker.name, worker.build_id), attributes)


@reader
def worker_of(item: Item) -> Worker:
    """Read a worker."""
    attributes = item.attributes
    location = text_if_any(attributes, "location")
    return Worker(
        name=text(attributes, "name"),
        deployment_name=DeploymentName(text(attributes, "deployment_name")),
        created_at=moment(attributes, "created_at"),
        last_heartbeat_at=moment(attributes, "last_heartbeat_at"),
        registrations=_TEXTS.validate_json(text(attributes, "registrations")),
        location=None if location is None else DeploymentLocation.model_validate_json(location),
        build_id=text_if_any(attributes, "build_id"),
        session=text_if_any(attributes, "session"),
        left_at=moment_if_any(attributes, LEFT_AT),
        slots=_slots_of(attributes),
    )


def _slots_of(attributes: Mapping[str, Scalar]) -> ActivitySlots | None:
    if attributes.get(SLOTS) is None:
        return None
    return ActivitySlots(total=number(attributes, SLOTS), in_use=number(attributes, SLOTS_IN_USE))


def worker_group_item(workspace: Workspace, group: WorkerGroup, *, heard_until: datetime, expires: datetime) -> Item:
    """Write a group of workers, and until when some of them may be heard of before that is written again."""
    attributes: dict[str, Scalar] = {
        "deployment_name": group.deployment_name,
        "registrations": _TEXTS.dump_json(group.registrations).decode(),
        "build_id": group.build_id,
        "heard_until": wire_time(heard_until),
        EXPIRES_AT: expires_at(expires),
    }
    return Item(keys.worker_group(workspace, group.deployment_name, group.registrations, group.build_id), attributes)


@reader
def worker_group_of(item: Item) -> tuple[WorkerGroup, datetime]:
    """Read a group of workers, and until when some of them may have been heard of."""
    attributes = item.attributes
    group = WorkerGroup(
        deployment_name=DeploymentName(text(attributes, "deployment_name")),
        registrations=_TEXTS.validate_json(text(attributes, "registrations")),
        build_id=text_if_any(attributes, "build_id"),
    )
    return group, moment(attributes, "heard_until")


def expires_at(at: datetime) -> int:
    """Write when an item is deleted, as the store reads it."""
    return ceil(at.timestamp())


def build_item(
    workspace: Workspace, deployment: DeploymentName, build_id: str, *, registered_at: datetime, expires: datetime
) -> Item:
    """Write a build of a deployment."""
    attributes: dict[str, Scalar] = {
        "build_id": build_id,
        "registered_at": wire_time(registered_at),
        EXPIRES_AT: expires_at(expires),
    }
    return Item(keys.build(workspace, deployment, build_id), attributes)


def registered_builds(items: Iterable[Item], live: Collection[str | None]) -> list[Build]:
    """Read builds. live: those that have live workers."""
    return list(readable(items, lambda item: build_of(item, live)))


@reader
def build_of(item: Item, live: Collection[str | None]) -> Build:
    """Read a build. live: those that have live workers."""
    build_id = text(item.attributes, "build_id")
    return Build(build_id=build_id, registered_at=moment(item.attributes, "registered_at"), is_live=build_id in live)


@reader
def workflow_name_of(pointer: Item) -> WorkflowName:
    """Read which workflow an id leads to, of itself or of one of its registrations."""
    return WorkflowName(text(pointer.attributes, "workflow_name"))


def api_key_item(key: ApiKey) -> Item:
    """Write an API key. Its secret is not there to be written."""
    attributes: dict[str, Scalar] = {
        "key_id": key.key_id,
        "digest": key.digest,
        "workspace": key.workspace,
        "role": key.role.value,
        "name": key.name,
        "created_at": wire_time(key.created_at),
        "revoked_at": wire_time(key.revoked_at) if key.revoked_at else None,
        **({"deployments": _TEXTS.dump_json(key.deployments).decode()} if key.deployments else {}),
    }
    place = Key(key.workspace, f"{wire_time(key.created_at)}#{key.key_id}")
    return Item(keys.api_key(key.digest), attributes, {}, {keys.API_KEYS: place})


@reader
def api_key_of(item: Item) -> ApiKey:
    """Read an API key."""
    attributes = item.attributes
    revoked_at = attributes["revoked_at"]
    deployments = text(attributes, "deployments") if "deployments" in attributes else "[]"
    return ApiKey(
        key_id=text(attributes, "key_id"),
        digest=text(attributes, "digest"),
        workspace=Workspace(text(attributes, "workspace")),
        role=Role(text(attributes, "role")),
        name=text(attributes, "name"),
        created_at=moment(attributes, "created_at"),
        revoked_at=None if revoked_at is None else moment(attributes, "revoked_at"),
        deployments=tuple(map(DeploymentName, _TEXTS.validate_json(deployments))),
    )
