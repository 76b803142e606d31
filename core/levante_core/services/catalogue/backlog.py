"""How much waits for the workers of a deployment."""

from dataclasses import dataclass

from levante_core.domain.names import DeploymentName, Workspace
from levante_core.domain.worker_pool import WorkerPool
from levante_core.errors import NotFound
from levante_core.ports.queues import Backlog, Queues
from levante_core.protocol.workers import TaskQueue
from levante_core.services.catalogue.builds import BuildService
from levante_core.services.dispatch.sender import queue_name

MOST_BUILDS = 20
"""The newest of them, each with two queues."""


@dataclass(frozen=True, slots=True)
class QueueBacklog:
    """One of a deployment's queues. build_id: None for the workers that have no build."""

    queue: TaskQueue
    build_id: str | None
    backlog: Backlog


class BacklogService:
    """Counts what is in queues."""

    def __init__(self, queues: Queues, builds: BuildService) -> None:
        self._queues = queues
        self._builds = builds

    def of_deployment(self, workspace: Workspace, deployment: DeploymentName) -> list[QueueBacklog]:
        """List the queues of a deployment and of its newest builds; those of sticky sessions are left out.

        Cost: a query, and a request for each queue.
        """
        builds = self._builds.all(workspace, deployment)[:MOST_BUILDS]
        found = []
        for build_id in (None, *(build.build_id for build in builds)):
            pool = WorkerPool(deployment, build_id)
            for queue in TaskQueue:
                try:
                    backlog = self._queues.backlog(queue_name(workspace, pool, queue))
                except NotFound:
                    continue  # nothing was ever sent there
                found.append(QueueBacklog(queue, build_id, backlog))
        return found
