"""Whether anybody is there who could work for an execution now."""

from datetime import datetime, timedelta

from levante_core.domain.names import WorkflowName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotFound
from levante_core.ports.queues import Queues
from levante_core.ports.surroundings import Clock
from levante_core.protocol.workers import TaskQueue
from levante_core.services.catalogue.worker_groups import WorkerGroups
from levante_core.services.dispatch.sender import queue_name
from levante_core.storage.catalogue import WorkerGroup

LOOK_EVERY = timedelta(seconds=2)
LOOKS = 2
"""So many in a row have to find nobody: between two polls of a worker there are moments without it."""


class Attendance:
    """Knows whether workers of a deployment, or of a build of it, are there."""

    def __init__(self, queues: Queues, groups: WorkerGroups, clock: Clock) -> None:
        self._queues = queues
        self._groups = groups
        self._clock = clock

    def is_served(self, workspace: Workspace, pool: WorkerPool) -> bool:
        """Tell whether a worker is there: by who waits at the queue, else by heartbeats, which takes a minute to notice.

        Cost: one query where the queues cannot tell.
        """
        attended = self._is_attended(workspace, pool)
        return bool(self._live(workspace, pool)) if attended is None else attended

    def missing(self, workspace: Workspace, pool: WorkerPool, workflow: WorkflowName) -> str | None:
        """Say who is missing that could work for a workflow, and how to change that; None while somebody is there.

        Cost: a query and a read at most.
        """
        attended = self._is_attended(workspace, pool)
        groups = [] if attended is False else self._live(workspace, pool)
        if not groups:
            return None if attended else describe_missing(pool)
        registration_id = self._groups.registration_id(workspace, workflow, pool.deployment)
        if any(registration_id in group.registrations for group in groups):
            return None
        return f"none of the workers of deployment {pool.deployment!r} serves workflow {workflow!r}: start one that does"

    def _is_attended(self, workspace: Workspace, pool: WorkerPool) -> bool | None:
        """Tell whether somebody is at the queue; None where queues do not know."""
        try:
            return self._queues.is_attended(queue_name(workspace, pool, TaskQueue.WORKFLOW))
        except NotFound:
            return False

    def _live(self, workspace: Workspace, pool: WorkerPool) -> list[WorkerGroup]:
        return [group for group in self._groups.live(workspace, pool.deployment) if group.build_id == pool.build_id]

    def watch(self, workspace: Workspace, pool: WorkerPool) -> "Watch":
        """Begin to look every now and then whether somebody is there."""
        return Watch(self, self._clock, workspace, pool)


class Watch:
    """Looks after the workers of one deployment, or build, for somebody who waits for one of them."""

    def __init__(self, attendance: Attendance, clock: Clock, workspace: Workspace, pool: WorkerPool) -> None:
        self._attendance = attendance
        self._clock = clock
        self._workspace = workspace
        self._pool = pool
        self._missed = 0
        self._look_at: datetime = clock.now() + LOOK_EVERY

    @property
    def seconds_to_look(self) -> float:
        """How long until `is_nobody_there` looks again."""
        return (self._look_at - self._clock.now()).total_seconds()

    def is_nobody_there(self) -> bool:
        """Look if it is time to. Tells whether the last looks have found nobody. Cost: see `Attendance.is_served`."""
        if self.seconds_to_look <= 0:
            self._missed = 0 if self._attendance.is_served(self._workspace, self._pool) else self._missed + 1
            self._look_at = self._clock.now() + LOOK_EVERY
        return self._missed >= LOOKS

    def describe(self) -> str:
        """Say who is missing, and how to change that."""
        return describe_missing(self._pool)


def describe_missing(pool: WorkerPool) -> str:
    """Say that no worker of a deployment, or build, is there, and how to start one."""
    deployment, build = pool.deployment, pool.build_id
    who = f"build {build!r} of deployment {deployment!r}" if build else f"deployment {deployment!r}"
    settings = f"BUILD_ID={build} " if build else ""
    return f"no worker of {who} is there: start one (`{settings}levante worker MODULE --deployment-name {deployment}`)"
