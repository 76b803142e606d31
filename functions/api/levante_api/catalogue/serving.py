"""Who serves what, looked up once each within one request."""

from collections.abc import Callable
from functools import cache

from levante_core.domain.names import DeploymentName, Workspace
from levante_core.errors import NotFound
from levante_core.services.catalogue.register import Entry
from levante_core.services.engine import Engine
from levante_core.services.paging import Budget
from levante_core.storage.catalogue import Deployment, Registration, Worker


class Serving:
    """The catalogue of one workspace as one request sees it. Cost: one read per name that is asked for.

    budget: what the request may read, from which that is taken.
    """

    def __init__(self, engine: Engine, workspace: Workspace, budget: Budget | None = None) -> None:
        self._budget = budget or Budget()
        self._engine = engine
        self._workspace = workspace
        self._now = engine.clock.now()
        self.workers: Callable[[DeploymentName], list[Worker]] = cache(self._workers)
        self.deployment: Callable[[DeploymentName], Deployment | None] = cache(self._deployment)
        self.entry: Callable[[str], Entry | None] = cache(self._entry)

    def is_active(self, registration: Registration) -> bool:
        """Tell whether a live worker serves a registration."""
        return self._engine.catalogue.is_active(self._workspace, registration)

    def is_live(self, worker: Worker) -> bool:
        """Tell whether a worker was heard of recently enough."""
        return worker.is_live(self._now)

    def _workers(self, deployment: DeploymentName) -> list[Worker]:
        workers = self._engine.catalogue.workers(self._workspace, deployment)
        self._budget.spend(1 + len(workers))
        return workers

    def _deployment(self, name: DeploymentName) -> Deployment | None:
        self._budget.spend()
        try:
            return self._engine.catalogue.get_deployment(self._workspace, name)
        except NotFound:
            return None

    def _entry(self, workflow: str) -> Entry | None:
        self._budget.spend()
        try:
            entry = self._engine.catalogue.get(self._workspace, workflow)
        except NotFound:
            return None
        self._budget.spend(len(entry.registrations))
        return entry
