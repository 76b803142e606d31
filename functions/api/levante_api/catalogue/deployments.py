"""Endpoints of deployments and their workers."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.catalogue.models import (
    DeploymentBacklogResponse,
    DeploymentBuildResponse,
    DeploymentBuildsResponse,
    DeploymentDetailResponse,
    DeploymentListResponse,
    DeploymentResponse,
    DeploymentWorkerListResponse,
    DeploymentWorkerResponse,
    QueueBacklogResponse,
)
from levante_api.catalogue.serving import Serving
from levante_api.http.endpoints import READERS, Endpoint, refuse_unsupported, workspace_of
from levante_api.http.paging import cursors, page_of
from levante_core.domain.catalogue.builds import current
from levante_core.domain.executions.search import is_found
from levante_core.domain.frozen import Cursor, Limit, Parameters, Search, wire_time
from levante_core.domain.names import DeploymentName, Workspace
from levante_core.errors import InvalidInput
from levante_core.ports.item_store import Item, Page
from levante_core.services.catalogue.backlog import QueueBacklog
from levante_core.services.engine import Engine
from levante_core.services.paging import MOST_READ, Budget, scan
from levante_core.storage.catalogue import Deployment, Worker, deployment_of, worker_of

_NOT_YET = frozenset({"created_by", "dockerfile_path", "owner", "repository_url"})


class DeploymentsQuery(Parameters):
    """Which deployments, in which order."""

    active_only: bool = True
    """Those with a live worker."""
    is_hardened: bool | None = None
    """None is."""
    workflow_name: str | None = None
    """Those that serve this workflow."""
    location_types: Annotated[tuple[Literal["local", "k8s", "managed"], ...] | None, Field(max_length=3)] = None
    """Those with workers in one of these."""
    search: Search | None = None
    """In the name, whatever the case."""
    order_by: Literal["updated_at", "created_at"] | None = None
    """By name, if left out."""
    order: Literal["asc", "desc"] = "desc"
    """Makes a difference with order_by alone."""
    limit: Limit | None = None
    """Deployments on a page; all of them, if left out."""
    cursor: Cursor | None = None
    """From the page before."""
    workspace_id: str | None = None
    """None, unless it is that of the key."""


class DeploymentQuery(Parameters):
    """How to show a deployment."""

    workflow_name: str | None = None
    """Only the workers that serve this workflow."""


class WorkersQuery(Parameters):
    """Which workers of a deployment."""

    worker_status: Literal["active", "inactive"] | None = None
    """Those heard of within 50 s, or the others."""
    limit: Limit = 50
    """Workers on a page."""
    cursor: Cursor | None = None
    """From the page before."""


@dataclass(frozen=True)
class DeploymentEndpoints:
    """Lists and shows deployments."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows/deployments"
        return [
            Endpoint("GET", path, self.list_deployments, READERS),
            Endpoint("GET", f"{path}/<name>", self.get_deployment, READERS, errors=(404,)),
            Endpoint("GET", f"{path}/<name>/backlog", self.get_deployment_backlog, READERS, errors=(404,)),
            Endpoint("GET", f"{path}/<name>/builds", self.list_deployment_builds, READERS, errors=(404,)),
            Endpoint("GET", f"{path}/<name>/workers", self.list_deployment_workers, READERS, errors=(404,)),
        ]

    def list_deployments(self, request: Request, query: Annotated[DeploymentsQuery, Query()]) -> DeploymentListResponse:
        """List deployments, unless told otherwise only those with live workers.

        A page before the last one is full, unless 5,000 items were read for it.
        """
        refuse_unsupported(request, _NOT_YET)
        workspace, budget = workspace_of(request), Budget()
        serving = Serving(self.engine, workspace, budget)
        pages = cursors(self.engine.capabilities, request, "deployments", query)
        position = None if query.order_by else pages.position(query.cursor)
        limit = query.limit if query.limit and not query.order_by else MOST_READ

        def keep(item: Item) -> DeploymentResponse | None:
            deployment = deployment_of(item)
            row = _shown(deployment, serving.workers(deployment.name), serving)
            return row if _matches(row, query, workspace, serving) else None

        rows, token = scan(partial(self._page, workspace), keep, limit, position, budget)
        next_cursor = pages.cursor(token)
        if query.order_by:
            if token is not None:
                raise InvalidInput.at(
                    ("query", "order_by"), "there are too many deployments and workers to sort: leave it out"
                )
            rows.sort(key=lambda row: _moment(row, query.order_by), reverse=query.order == "desc")
            rows, next_cursor = page_of(rows, lambda row: row.name, query.limit, pages, query.cursor)
        return DeploymentListResponse(deployments=tuple(rows), next_cursor=next_cursor, workspace_id=workspace)

    def get_deployment(
        self, request: Request, name: str, query: Annotated[DeploymentQuery, Query()]
    ) -> DeploymentDetailResponse:
        """Get a deployment with its workers, or those of them that serve one workflow."""
        workspace = workspace_of(request)
        serving = Serving(self.engine, workspace)
        deployment = self.engine.catalogue.get_deployment(workspace, DeploymentName(name))
        workers = serving.workers(deployment.name)
        if query.workflow_name is not None:
            served = _registrations(query.workflow_name, deployment.name, serving)
            workers = [worker for worker in workers if served & set(worker.registrations)]
        row = _shown(deployment, workers, serving).model_dump()
        return DeploymentDetailResponse(**row, workers=tuple(_worker(worker, serving) for worker in workers))

    def list_deployment_workers(
        self, request: Request, name: str, query: Annotated[WorkersQuery, Query()]
    ) -> DeploymentWorkerListResponse:
        """List a deployment's workers by name. A page before the last one is full, unless 5,000 workers were read for it."""
        workspace = workspace_of(request)
        serving = Serving(self.engine, workspace)
        deployment = self.engine.catalogue.get_deployment(workspace, DeploymentName(name))
        pages = cursors(self.engine.capabilities, request, f"workers of {deployment.name}", query)

        def keep(item: Item) -> DeploymentWorkerResponse | None:
            row = _worker(worker_of(item), serving)
            return row if query.worker_status is None or row.is_active == (query.worker_status == "active") else None

        def fetch(limit: int, after: str | None) -> Page:
            return self.engine.catalogue.list_workers(workspace, deployment.name, limit=limit, after=after)

        rows, token = scan(fetch, keep, query.limit, pages.position(query.cursor))
        return DeploymentWorkerListResponse(workers=tuple(rows), next_cursor=pages.cursor(token))

    def list_deployment_builds(self, request: Request, name: str) -> DeploymentBuildsResponse:
        """List a deployment's builds, the newest first, with what keeps each of them. Not part of Mistral's API."""
        workspace = workspace_of(request)
        deployment = self.engine.catalogue.get_deployment(workspace, DeploymentName(name)).name
        builds = self.engine.builds.all(workspace, deployment)
        newest, open_runs = current(builds), self.engine.builds.open_runs(workspace, deployment)
        serving = Serving(self.engine, workspace)
        workers = Counter(worker.build_id for worker in serving.workers(deployment) if serving.is_live(worker))
        return DeploymentBuildsResponse(
            builds=tuple(
                DeploymentBuildResponse(
                    build_id=build.build_id,
                    registered_at=build.registered_at,
                    is_current=build == newest,
                    active_worker_count=workers[build.build_id],
                    open_executions=open_runs.by_build[build.build_id],
                    is_drained=not open_runs.is_partial and not open_runs.by_build[build.build_id] and build != newest,
                )
                for build in builds
            ),
            open_executions_without_build=open_runs.by_build[None],
            is_partial=open_runs.is_partial,
        )

    def get_deployment_backlog(self, request: Request, name: str) -> DeploymentBacklogResponse:
        """Count the tasks that wait for a deployment's workers, and those that they have. Not part of Mistral's API."""
        workspace, now = workspace_of(request), self.engine.clock.now()
        deployment = self.engine.catalogue.get_deployment(workspace, DeploymentName(name)).name
        found = self.engine.backlog.of_deployment(workspace, deployment)
        return DeploymentBacklogResponse(
            deployment_name=deployment,
            queues=tuple(_backlog(queue, now) for queue in found),
            waiting=sum(queue.backlog.waiting for queue in found),
            in_flight=sum(queue.backlog.in_flight for queue in found),
        )

    def _page(self, workspace: Workspace, limit: int, after: str | None) -> Page:
        return self.engine.catalogue.list_deployments(workspace, limit=limit, after=after)


def _matches(row: DeploymentResponse, query: DeploymentsQuery, workspace: Workspace, serving: Serving) -> bool:
    excluded = (
        (query.active_only and not row.is_active)
        or query.is_hardened
        or query.workspace_id not in (None, workspace)
        or (query.search and not is_found(query.search, [row.name]))
        or (query.location_types and not set(query.location_types) & set(row.locations))
        or (query.workflow_name and not _registrations(query.workflow_name, DeploymentName(row.name), serving))
    )
    return not excluded


def _registrations(workflow: str, deployment: DeploymentName, serving: Serving) -> set[str]:
    entry = serving.entry(workflow)
    registrations = entry.registrations if entry else ()
    return {registration.registration_id for registration in registrations if registration.deployment_name == deployment}


def _moment(row: DeploymentResponse, order_by: str | None) -> tuple[str, str]:
    return wire_time(row.created_at if order_by == "created_at" else row.updated_at), row.name


def _shown(deployment: Deployment, workers: list[Worker], serving: Serving) -> DeploymentResponse:
    latest = max(workers, key=lambda worker: worker.last_heartbeat_at, default=None)
    heard_at = latest.last_heartbeat_at if latest else deployment.created_at
    live = [worker for worker in workers if serving.is_live(worker)]
    return DeploymentResponse(
        id=deployment.deployment_id,
        name=deployment.name,
        is_active=bool(live),
        created_at=deployment.created_at,
        last_heartbeat=heard_at,
        updated_at=heard_at,
        location=latest.location if latest else None,
        worker_count=len(workers),
        active_worker_count=len(live),
        locations=tuple(sorted({worker.location.location_type for worker in workers if worker.location})),
    )


def _backlog(queue: QueueBacklog, now: datetime) -> QueueBacklogResponse:
    oldest = queue.backlog.oldest_sent_at
    return QueueBacklogResponse(
        queue=queue.queue,
        build_id=queue.build_id,
        waiting=queue.backlog.waiting,
        in_flight=queue.backlog.in_flight,
        delayed=queue.backlog.delayed,
        oldest_waiting_since=oldest,
        oldest_waiting_seconds=None if oldest is None else max(0.0, (now - oldest).total_seconds()),
    )


def _worker(worker: Worker, serving: Serving) -> DeploymentWorkerResponse:
    return DeploymentWorkerResponse(
        name=worker.name,
        created_at=worker.created_at,
        last_heartbeat=worker.last_heartbeat_at,
        updated_at=worker.last_heartbeat_at,
        is_active=serving.is_live(worker),
        location=worker.location,
        activity_slots=worker.slots,
    )
