"""Builds and sessions: who runs what is meant for some workers of a deployment, and what if those are gone."""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from levante_core.domain.catalogue.builds import Build, current, successor
from levante_core.domain.executions.execution import RunKey
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.ports.item_store import Absent, ConditionFailed, ItemStore, Put, Query, Update
from levante_core.ports.surroundings import Clock
from levante_core.services.catalogue.worker_groups import BUILD_KEPT_FOR, WorkerGroups
from levante_core.services.executions.lookup import find_workers
from levante_core.services.history.loading import read_all
from levante_core.storage import keys
from levante_core.storage.catalogue import Registration, build_item, registered_builds
from levante_core.storage.decoding import readable
from levante_core.storage.runs import RunSummary, is_open_run, open_run, summary_of

MOST_BUILDS = 1_000
COUNTED_AT_ONCE = 1_000
MOST_COUNTED = 10_000
"""Open runs of all workspaces that are counted by build."""


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """Open runs by build; None stands for those that are pinned to none. is_partial: there are more than were counted."""

    by_build: Counter[str | None]
    is_partial: bool


class BuildService:
    """The builds of all deployments."""

    def __init__(self, store: ItemStore, clock: Clock, groups: WorkerGroups) -> None:
        self._store = store
        self._clock = clock
        self._groups = groups

    def register(self, workspace: Workspace, deployment: DeploymentName, build_id: str) -> None:
        """Note that there is a build. A repeat changes nothing: a worker of an old build that restarts makes it no newer."""
        now = self._clock.now()
        item = build_item(workspace, deployment, build_id, registered_at=now, expires=now + BUILD_KEPT_FOR)
        with suppress(ConditionFailed):
            self._store.write(Put(item, Absent()))

    def all(self, workspace: Workspace, deployment: DeploymentName) -> list[Build]:
        """List the builds of a deployment, the newest first. Cost: two queries."""
        builds = self._builds(workspace, deployment, self._live(workspace, deployment))
        return sorted(builds, key=lambda build: build.registered_at, reverse=True)

    def route(self, registration: Registration) -> WorkerPool:
        """Name the workers that a new execution goes to.

        Cost: none without builds; a query, and one over the builds unless workers of exactly one are there.
        """
        deployment = registration.deployment_name
        if registration.build_id is None:
            return WorkerPool(deployment)
        return WorkerPool(deployment, self._current(registration.workspace, deployment) or registration.build_id)

    def newest(self, workspace: Workspace, pinned_to: WorkerPool) -> WorkerPool:
        """Name the workers that a pinned execution goes to if it begins anew. Cost: as `route`."""
        if pinned_to.build_id is None:
            return pinned_to
        build_id = self._current(workspace, pinned_to.deployment)
        return pinned_to.for_build(build_id) if build_id else pinned_to

    def keep(self, run: RunSummary) -> None:
        """Keep the build that an open run is pinned to. Cost: none, or a write a day for each build."""
        if run.pool.build_id:
            self._groups.keep_build(run.key.workspace, run.pool.deployment, run.pool.build_id)

    def open_runs(self, workspace: Workspace, deployment: DeploymentName) -> OpenRuns:
        """Count the open runs of a deployment by build. Cost: index queries over MOST_COUNTED open runs at most."""
        open_runs = list(islice(self._all_open(), MOST_COUNTED + 1))
        counts = Counter(
            run.pool.build_id
            for run in open_runs[:MOST_COUNTED]
            if run.key.workspace == workspace and run.pool.deployment == deployment
        )
        return OpenRuns(counts, is_partial=len(open_runs) > MOST_COUNTED)

    def live_sessions(self, workspace: Workspace, deployment: DeploymentName) -> set[str]:
        """Return the sessions of the workers of a deployment that are there. Cost: a query."""
        workers, now = find_workers(self._store, workspace, deployment), self._clock.now()
        return {worker.session for worker in workers if worker.session and worker.is_live(now)}

    def take_over(self, run: RunKey, pinned_to: WorkerPool) -> WorkerPool:
        """Move an open run to another build if its own has no workers left. Returns where the run belongs by now.

        Cost: a query; another one and a write if nobody is there to run it; a read if somebody else was faster.
        """
        deployment, own = pinned_to.deployment, pinned_to.build_id
        live = self._live(run.workspace, deployment)
        builds = [] if own in live else self._builds(run.workspace, deployment, live)
        chosen = successor(own, builds, has_others=None in live)
        if chosen is None:
            return pinned_to
        moved = pinned_to.for_build(chosen)
        is_unchanged = open_run(run, deployment_name=str(pinned_to))
        key = keys.execution(run.workspace, run.execution_id)
        try:
            self._store.write(Update(key, set_attributes={"deployment_name": str(moved)}, condition=is_unchanged))
        except ConditionFailed:
            item = self._store.get(key)
            return summary_of(item).pool if item and is_open_run(item, run.run_id) else pinned_to
        return moved

    def _current(self, workspace: Workspace, deployment: DeploymentName) -> str | None:
        live = self._live(workspace, deployment)
        named = [build_id for build_id in live if build_id]
        if len(named) == 1:
            return named[0]
        newest = current(self._builds(workspace, deployment, live))
        return newest.build_id if newest else None

    def _live(self, workspace: Workspace, deployment: DeploymentName) -> set[str | None]:
        """Return the builds that have live workers; None stands for workers that have no build."""
        return {group.build_id for group in self._groups.live(workspace, deployment)}

    def _builds(self, workspace: Workspace, deployment: DeploymentName, live: set[str | None]) -> list[Build]:
        """Read the builds of a deployment. Cost: one query, as unused builds are forgotten."""
        first, last = keys.prefixed(keys.BUILD)
        partition = keys.deployment(workspace, deployment).partition
        items = self._store.query(Query(partition, first=first, last=last, limit=MOST_BUILDS)).items
        return registered_builds(items, live)

    def _all_open(self) -> Iterable[RunSummary]:
        for shard in range(keys.SHARDS):
            yield from readable(
                read_all(self._store, Query(keys.open_runs(shard), index=keys.DUE, limit=COUNTED_AT_ONCE)), summary_of
            )
