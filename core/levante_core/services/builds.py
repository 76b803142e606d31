"""Builds and sessions: who runs what is meant for some workers of a deployment, and what if those are gone."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from levante_core.domain import names
from levante_core.domain.builds import Build, current, successor
from levante_core.domain.execution import RunKey
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.routing import is_live
from levante_core.ports.item_store import Absent, ConditionFailed, ItemStore, Put, Update
from levante_core.ports.surroundings import Clock
from levante_core.records import keys
from levante_core.records.catalogue import Registration, build_item, registered_builds, worker_of
from levante_core.records.runs import RunSummary, open_run, summary_of
from levante_core.services.reading import read_all, read_index


class BuildService:
    """The builds of all deployments."""

    def __init__(self, store: ItemStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def register(self, workspace: Workspace, deployment: DeploymentName, build_id: str) -> None:
        """Note that there is a build. A repeat changes nothing: a worker of an old build that restarts makes it no newer."""
        with suppress(ConditionFailed):
            self._store.write(Put(build_item(workspace, deployment, build_id, self._clock.now()), Absent()))

    def all(self, workspace: Workspace, deployment: DeploymentName) -> list[Build]:
        """List the builds of a deployment, the newest first. Cost: two queries."""
        builds, _ = self._read(workspace, deployment)
        return sorted(builds, key=lambda build: build.registered_at, reverse=True)

    def route(self, registration: Registration) -> DeploymentName:
        """Name the workers that a new execution goes to. Cost: none without builds, else two queries."""
        deployment = registration.deployment_name
        if registration.build_id is None:
            return deployment
        builds, _ = self._read(registration.workspace, deployment)
        newest = current(builds)
        return names.pinned(deployment, newest.build_id if newest else registration.build_id)

    def newest(self, workspace: Workspace, pinned_to: DeploymentName) -> DeploymentName:
        """Name the workers that a pinned execution goes to if it begins anew. Cost: as `route`."""
        if names.build_of(pinned_to) is None:
            return pinned_to
        deployment = names.unpinned(pinned_to)
        builds, _ = self._read(workspace, deployment)
        build = current(builds)
        return names.pinned(deployment, build.build_id) if build else pinned_to

    def open_runs(self, workspace: Workspace, deployment: DeploymentName) -> Counter[str | None]:
        """Count the open runs of a deployment by build. Cost: index queries over all open runs."""
        return Counter(
            names.build_of(run.deployment_name)
            for run in self._all_open()
            if run.key.workspace == workspace and names.unpinned(run.deployment_name) == deployment
        )

    def live_sessions(self, workspace: Workspace, name: DeploymentName) -> set[str]:
        """Return the sessions of the workers of a deployment that are there. Cost: a query."""
        partition, now = keys.deployment(workspace, names.unpinned(name)).partition, self._clock.now()
        workers = [worker_of(item) for item in read_all(self._store, partition, *keys.prefixed(keys.WORKER))]
        return {worker.session for worker in workers if worker.session and is_live(worker.last_heartbeat_at, now)}

    def take_over(self, run: RunKey, pinned_to: DeploymentName) -> DeploymentName:
        """Move an open run to another build if its own has no workers left. Returns where the run belongs by now.

        Cost: two queries; a write if it is moved.
        """
        deployment = names.unpinned(pinned_to)
        builds, has_others = self._read(run.workspace, deployment)
        chosen = successor(names.build_of(pinned_to), builds, has_others=has_others) if builds else None
        if chosen is None:
            return pinned_to
        moved = names.pinned(deployment, chosen)
        is_unchanged = open_run(run, deployment_name=pinned_to)
        key = keys.execution(run.workspace, run.execution_id)
        with suppress(ConditionFailed):
            self._store.write(Update(key, set_attributes={"deployment_name": moved}, condition=is_unchanged))
        return moved

    def _read(self, workspace: Workspace, deployment: DeploymentName) -> tuple[list[Build], bool]:
        """Return the builds, and whether workers are there that have none."""
        partition, now = keys.deployment(workspace, deployment).partition, self._clock.now()
        workers = [worker_of(item) for item in read_all(self._store, partition, *keys.prefixed(keys.WORKER))]
        live = Counter(worker.build_id for worker in workers if is_live(worker.last_heartbeat_at, now))
        items = read_all(self._store, partition, *keys.prefixed(keys.BUILD))
        return registered_builds(items, {build: count for build, count in live.items() if build}), live[None] > 0

    def _all_open(self) -> Iterable[RunSummary]:
        for shard in range(keys.SHARDS):
            yield from map(summary_of, read_index(self._store, keys.DUE, keys.open_runs(shard)))
