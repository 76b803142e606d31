"""What deployments register: workflows, and who serves them."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice

from levante_core.domain import names
from levante_core.domain.catalogue.routing import Owner, is_live
from levante_core.domain.frozen import wire_time
from levante_core.domain.names import DeploymentName, WorkflowName, Workspace
from levante_core.domain.near_names import did_you_mean
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import InvalidInput, NotFound, Unavailable
from levante_core.ports.item_store import (
    EXPIRES_AT,
    Absent,
    ConditionFailed,
    ItemStore,
    Matches,
    Page,
    Put,
    Query,
    Update,
    Write,
)
from levante_core.ports.queues import Queues
from levante_core.ports.surroundings import Clock, Ids
from levante_core.protocol.specs import WorkflowSpec
from levante_core.protocol.workers import (
    HeartbeatRequest,
    LeaveRequest,
    RegisterRequest,
    RegisterResponse,
    RegistrationRef,
    TaskQueue,
)
from levante_core.services.catalogue.builds import BuildService
from levante_core.services.catalogue.registration_checks import refuse_registration
from levante_core.services.catalogue.worker_groups import WorkerGroups
from levante_core.services.conflicts import Conflicts
from levante_core.services.dispatch.sender import queue_name
from levante_core.services.executions.lookup import find_deployment, find_workers
from levante_core.services.history.loading import count_index, read_all
from levante_core.storage import catalogue as records
from levante_core.storage import keys
from levante_core.storage.catalogue import Deployment, Registration, Worker, WorkerGroup, Workflow
from levante_core.storage.decoding import readable

NAMES_COMPARED = 100
"""With a workflow name that is not there, in order to find the one that was meant."""
MOST_DEPLOYMENTS = 1_000
MOST_NAMED = 5
"""Workflows that a warning names."""
MOST_REGISTRATIONS = 5_000
"""Of a workspace."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A workflow with all its registrations, as far as asked for with their specs."""

    workflow: Workflow
    registrations: tuple[Registration, ...]


class CatalogueService:
    """Registers workers, and finds workflows and those who serve them."""

    def __init__(
        self,
        store: ItemStore,
        queues: Queues,
        clock: Clock,
        ids: Ids,
        *,
        builds: BuildService,
        groups: WorkerGroups,
        conflicts: Conflicts,
    ) -> None:
        self._builds = builds
        self._groups = groups
        self._conflicts = conflicts
        self._store = store
        self._queues = queues
        self._clock = clock
        self._ids = ids

    # --- workers report -----------------------------------------------------------------------------------------------

    def check_registration(self, workspace: Workspace, request: RegisterRequest) -> None:
        """Refuse what cannot be registered, before anything is written.

        Raises: InvalidInput for names out of form, two workflows of one name, no more room, or as `refuse_registration`.
        """
        deployment = names.deployment_name(request.deployment_name)
        names.worker_name(request.worker_name)
        _build(request.build_id)
        seen: set[str] = set()
        for spec in request.definitions:
            if spec.name in seen:
                raise InvalidInput.at(
                    ("body", "definitions"), f"workflow {spec.name!r} is defined twice: rename one of them"
                )
            seen.add(spec.name)
        refuse_registration(request)
        self._check_room(workspace, deployment, seen)

    def register(self, workspace: Workspace, request: RegisterRequest) -> RegisterResponse:
        """Record what a worker serves, once that was checked, and make its deployment's queues. A repeat is harmless."""
        deployment = names.deployment_name(request.deployment_name)
        worker_name = names.worker_name(request.worker_name)
        build = _build(request.build_id)
        for queue in TaskQueue:
            self._queues.ensure(queue_name(workspace, WorkerPool(deployment, build), queue))
        self._ensure_deployment(workspace, deployment)
        if build:
            self._builds.register(workspace, deployment, build)
        registered = [self._register(workspace, deployment, spec, build) for spec in request.definitions]
        self._beat(workspace, deployment, worker_name, tuple(each.registration_id for each in registered), request)
        conflicts = tuple(filter(None, (self._conflict(workspace, deployment, registration) for registration in registered)))
        refs = tuple(_ref(registration) for registration in registered)
        return RegisterResponse(
            has_conflicts=bool(conflicts),
            workflow_registration_ids=tuple(ref.workflow_registration_id for ref in refs),
            workflow_registration_refs=refs,
            warnings=(*conflicts, *self._others(workspace, deployment, registered, build)),
        )

    def heartbeat(self, workspace: Workspace, request: HeartbeatRequest) -> bool:
        """Record that a worker is alive. Returns False if it has to register again. Cost: one write, see `WorkerGroups`."""
        deployment = names.deployment_name(request.deployment_name)
        served = tuple(ref.workflow_registration_id for ref in request.workflow_registration_refs)
        build = _build(request.build_id)
        key = keys.worker(workspace, deployment, names.worker_name(request.worker_name), build)
        now = self._clock.now()
        known = Worker(request.worker_name, deployment, now, now, served, None, slots=request.activity_slots)
        worker = records.worker_item(workspace, known)
        slots = (records.SLOTS, records.SLOTS_IN_USE)
        names_of_beat = ("last_heartbeat_at", "registrations", records.LEFT_AT, EXPIRES_AT, *slots)
        beat = {name: worker.attributes[name] for name in names_of_beat}
        update = Update(key, set_attributes=beat, condition=Matches())
        try:
            self._groups.note(workspace, update, WorkerGroup(deployment, served, build))
        except ConditionFailed:
            return False
        return True

    def leave(self, workspace: Workspace, request: LeaveRequest) -> None:
        """Record that a worker stops. A repeat is harmless. Cost: two writes at most, and a query over the workers."""
        deployment, build = names.deployment_name(request.deployment_name), _build(request.build_id)
        now = self._clock.now()
        key = keys.worker(workspace, deployment, names.worker_name(request.worker_name), build)
        with suppress(ConditionFailed):
            self._store.write(Update(key, {records.LEFT_AT: wire_time(now)}, condition=Matches()))
        served = tuple(ref.workflow_registration_id for ref in request.workflow_registration_refs)
        others = (one for one in self.workers(workspace, deployment) if one.is_live(now))
        if not any((one.registrations, one.build_id) == (served, build) for one in others):
            self._groups.forget(workspace, WorkerGroup(deployment, served, build))

    # --- looking up ---------------------------------------------------------------------------------------------------

    def get(self, workspace: Workspace, identifier: str) -> Entry:
        """Find a workflow by name or id, with its registrations. Raises: NotFound.

        Cost: one query; two more for an id, and one for the name that may have been meant where there is none.
        """
        entry = self._entry(workspace, WorkflowName(identifier))
        if entry is None:
            pointer = self._store.get(keys.pointer(workspace, identifier))
            if pointer:
                entry = self._entry(workspace, records.workflow_name_of(pointer))
        if entry is None:
            near = did_you_mean(identifier, self._some_names(workspace))
            raise NotFound(f"no workflow has the name or id {identifier!r}: start a worker that serves it{near}")
        return entry

    def _some_names(self, workspace: Workspace) -> list[str]:
        """Return the names of the workflows on the first page of the listing. Cost: one query."""
        page = self.list_workflows(workspace, limit=NAMES_COMPARED, descending=False, after=None)
        return [workflow.name for workflow in readable(page.items, records.workflow_of)]

    def get_registration(self, workspace: Workspace, registration_id: str) -> tuple[Workflow, Registration]:
        """Find a registration by its id. Raises: NotFound."""
        pointer = self._store.get(keys.pointer(workspace, registration_id))
        if pointer and pointer.attributes.get("deployment_name"):
            entry = self._entry(workspace, records.workflow_name_of(pointer))
            for registration in entry.registrations if entry else ():
                if entry and registration.registration_id == registration_id:
                    return entry.workflow, registration
        raise NotFound(f"no workflow registration has the id {registration_id!r}")

    def owners(self, workspace: Workspace, entry: Entry) -> list[Owner]:
        """Tell which deployments own a workflow. Cost: one query per deployment, none if there is only one."""
        if len(entry.registrations) == 1:
            (only,) = entry.registrations
            return [Owner(only.deployment_name, only.registered_at, None)]
        return [
            Owner(registration.deployment_name, registration.registered_at, self._last_heard(workspace, registration))
            for registration in entry.registrations
        ]

    def route(self, registration: Registration) -> WorkerPool:
        """Return where executions go that start now: see `BuildService.route`."""
        return self._builds.route(registration)

    def is_active(self, workspace: Workspace, registration: Registration) -> bool:
        """Tell whether a live worker serves this registration. Cost: one query, whatever the number of workers."""
        last = self._last_heard(workspace, registration)
        return last is not None and is_live(last, self._clock.now())

    def list_workflows(self, workspace: Workspace, *, limit: int, descending: bool, after: str | None) -> Page:
        """List workflow items by display name."""
        return self._store.query(Query(workspace, index=keys.WORKFLOWS, limit=limit, descending=descending, after=after))

    def find_workflow(self, workspace: Workspace, name: WorkflowName) -> Workflow | None:
        """Return a workflow by its name, without its registrations. Cost: one read."""
        item = self._store.get(keys.workflow(workspace, name))
        return records.workflow_of(item) if item else None

    def list_registrations(self, workspace: Workspace, *, limit: int, after: str | None) -> Page:
        """List registration items by workflow name, without their specs."""
        return self._store.query(Query(workspace, index=keys.REGISTRATIONS, limit=limit, after=after))

    def list_deployments(self, workspace: Workspace, *, limit: int, after: str | None) -> Page:
        """List deployment items by name."""
        return self._store.query(Query(workspace, index=keys.DEPLOYMENTS, limit=limit, after=after))

    def get_deployment(self, workspace: Workspace, name: DeploymentName) -> Deployment:
        """Find a deployment. Raises: NotFound."""
        return find_deployment(self._store, workspace, name)

    def list_workers(self, workspace: Workspace, deployment: DeploymentName, *, limit: int, after: str | None) -> Page:
        """List worker items by name, those too that are gone for less than WORKER_KEPT_FOR."""
        first, last = keys.prefixed(keys.WORKER)
        partition = keys.deployment(workspace, deployment).partition
        return self._store.query(Query(partition, first=first, last=last, limit=limit, after=after))

    def workers(self, workspace: Workspace, deployment: DeploymentName) -> list[Worker]:
        """Return a deployment's workers, those too that are gone for less than WORKER_KEPT_FOR: MOST_WORKERS of them."""
        return find_workers(self._store, workspace, deployment)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _check_room(self, workspace: Workspace, deployment: DeploymentName, workflows: Collection[str]) -> None:
        """Refuse a deployment, or registrations, beyond what a workspace may have. Cost: a read where all is known.

        Several that register at the same moment may go a little beyond.
        """
        if self._store.get(keys.deployment(workspace, deployment)) is None:
            have = count_index(self._store, keys.DEPLOYMENTS, workspace, MOST_DEPLOYMENTS)
            if have >= MOST_DEPLOYMENTS:
                problem = f"the workspace has {have} deployments, and there can be no more: register for one of them"
                raise InvalidInput.at(("body", "deployment_name"), problem)
        new = [
            name
            for name in workflows
            if self._store.get(keys.registration(workspace, WorkflowName(name), deployment)) is None
        ]
        if new:
            have = count_index(self._store, keys.REGISTRATIONS, workspace, MOST_REGISTRATIONS)
            if have + len(new) > MOST_REGISTRATIONS:
                problem = f"the workspace has {have} registrations, and there can be {MOST_REGISTRATIONS}: register fewer"
                raise InvalidInput.at(("body", "definitions"), problem)

    def _entry(self, workspace: Workspace, name: WorkflowName) -> Entry | None:
        items = list(read_all(self._store, Query(keys.workflow(workspace, name).partition)))
        workflows = [records.workflow_of(item) for item in items if item.key.sort == keys.WORKFLOW]
        if not workflows:
            return None
        registrations = [item for item in items if item.key.sort.startswith(keys.REGISTRATION)]
        return Entry(workflows[0], tuple(readable(registrations, records.registration_of)))

    def _last_heard(self, workspace: Workspace, registration: Registration) -> datetime | None:
        return self._groups.last_heard(workspace, registration.deployment_name, registration.registration_id)

    def _ensure_deployment(self, workspace: Workspace, name: DeploymentName) -> None:
        deployment = Deployment(workspace, self._ids.uuid(), name, self._clock.now())
        with suppress(ConditionFailed):
            self._store.write(Put(records.deployment_item(deployment), Absent()))

    def _register(
        self, workspace: Workspace, deployment: DeploymentName, spec: WorkflowSpec, build: str | None
    ) -> Registration:
        """Write the workflow, its registration and what leads to them, all or none."""
        for _ in self._conflicts.attempts():
            registration, writes = self._registration(workspace, deployment, spec, build)
            with suppress(ConditionFailed):
                self._store.write(*writes)
                return registration
        raise Unavailable(f"workflow {spec.name!r} is being registered by many workers at once: try again")

    def _registration(
        self, workspace: Workspace, deployment: DeploymentName, spec: WorkflowSpec, build: str | None
    ) -> tuple[Registration, list[Write]]:
        name = WorkflowName(spec.name)
        entry = self._entry(workspace, name)
        registrations = entry.registrations if entry else ()
        known = next((each for each in registrations if each.deployment_name == deployment), None)
        workflow = Workflow(
            workspace=workspace,
            workflow_id=entry.workflow.workflow_id if entry else self._ids.uuid(),
            name=name,
            declared_name=spec.display_name or spec.name,
            declared_description=spec.description,
            is_technical=spec.is_technical,
            is_archived=entry.workflow.is_archived if entry else False,
            tags=entry.workflow.tags if entry else (),
            given=entry.workflow.given if entry else {},
            edition=entry.workflow.edition if entry else 0,
        )
        unchanged = Matches({"workflow_id": workflow.workflow_id, "edition": workflow.edition}) if entry else Absent()
        if entry and (known is None or workflow != entry.workflow):  # others, who have read what was, have to look again
            workflow = replace(workflow, edition=workflow.edition + 1)
        registration = Registration(
            workspace=workspace,
            registration_id=known.registration_id if known else self._ids.uuid(),
            workflow_id=workflow.workflow_id,
            workflow_name=name,
            deployment_name=deployment,
            registered_at=self._clock.now(),
            spec=spec,
            build_id=build,
        )
        return registration, [
            Put(records.workflow_item(workflow), unchanged),
            Put(records.pointer_item(workspace, workflow.workflow_id, name, None)),
            Put(records.registration_item(registration)),
            Put(records.pointer_item(workspace, registration.registration_id, name, deployment)),
        ]

    def _beat(
        self, workspace: Workspace, deployment: DeploymentName, name: str, served: tuple[str, ...], request: RegisterRequest
    ) -> None:
        now = self._clock.now()
        worker = Worker(name, deployment, now, now, served, request.deployment_location, request.build_id, request.session)
        known = self._store.get(keys.worker(workspace, deployment, name, request.build_id))
        for before in readable([known] if known else [], records.worker_of):
            worker = replace(worker, created_at=before.created_at)
        put = Put(records.worker_item(workspace, worker))
        self._groups.note(workspace, put, WorkerGroup(deployment, served, request.build_id or None), is_new=True)

    def _others(
        self, workspace: Workspace, deployment: DeploymentName, registered: Sequence[Registration], build: str | None
    ) -> Iterator[str]:
        """Say which workflows others of the deployment serve that this worker does not, as it gets tasks of these too."""
        own = {each.registration_id for each in registered}
        groups = self._groups.live(workspace, deployment)
        missing = {one for group in groups if group.build_id == build for one in group.registrations} - own
        names_of_others = sorted(
            registration.workflow_name
            for registration_id in islice(sorted(missing), MOST_NAMED)
            for registration in self._found(workspace, registration_id)
        )
        if names_of_others:
            listed = ", ".join(names_of_others)
            yield (
                f"other workers of deployment {deployment!r} serve {listed}, which this one does not: it has to hand their "
                "tasks back. Let all workers of a deployment serve the same, or name another deployment"
            )

    def _found(self, workspace: Workspace, registration_id: str) -> Iterator[Registration]:
        with suppress(NotFound):
            yield self.get_registration(workspace, registration_id)[1]

    def _conflict(self, workspace: Workspace, deployment: DeploymentName, registration: Registration) -> str | None:
        entry = self._entry(workspace, registration.workflow_name)
        others = [
            registration.deployment_name
            for registration in (entry.registrations if entry else ())
            if registration.deployment_name != deployment and self.is_active(workspace, registration)
        ]
        if not others:
            return None
        return (
            f"workflow {registration.workflow_name!r} is also served by active deployments {sorted(others)}: "
            "callers must name one in deployment_name"
        )


def _build(build_id: str | None) -> str | None:
    """Check the form of a build id, if there is one. Raises: InvalidInput."""
    return names.build_id(build_id) if build_id else None


def _ref(registration: Registration) -> RegistrationRef:
    return RegistrationRef(
        workflow_id=registration.workflow_id,
        workflow_registration_id=registration.registration_id,
        workflow_version_id=registration.registration_id,
    )
