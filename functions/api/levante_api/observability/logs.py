"""Endpoints of logs. Source of the models: the REST contract, §10 (read 2026-11-24)."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_api.http.paging import cursors
from levante_api.streams.redirects import LAST_EVENT_ID, StreamRedirects, led_there
from levante_core.domain.epoch import EPOCH
from levante_core.domain.frozen import Cursor, Frozen, Limit, Moment, Parameters
from levante_core.domain.names import DeploymentName
from levante_core.protocol.logs import DEPLOYMENT_LOGS, EXECUTION_LOGS, LogRecord, record_of
from levante_core.protocol.stream_messages import DeploymentLogStreamQuery, ExecutionLogStreamQuery, LogFrame
from levante_core.services.engine import Engine
from levante_core.services.observability.logs import LATEST, Window, of_code


class LogsQuery(Parameters):
    """Which lines."""

    after: Moment | None = None
    """Lines from this time on."""
    before: Moment | None = None
    """Lines up to this time."""
    order: Literal["asc", "desc"] = "asc"
    """Oldest or newest first."""
    cursor: Cursor | None = None
    """From the page before; it remembers times and order."""
    limit: Limit = 50
    """Lines on a page."""


class ExecutionLogsQuery(LogsQuery):
    """Which lines of an execution."""

    run_id: str | None = None
    """Id of the run whose lines are wanted; all of them, if left out."""
    activity_id: str | None = None
    """Id of the activity whose lines are wanted, as in events."""


class DeploymentLogsQuery(LogsQuery):
    """Which lines of a deployment."""

    log_type: Literal["build", "runtime"] = "runtime"
    """Nothing is built here, so there are no lines of a build."""
    worker_name: str | None = None
    """Name of one of its workers."""
    workflow_name: str | None = None
    """Name of one workflow."""


class ExecutionLogSearchResponse(Frozen):
    """A page of lines."""

    results: tuple[LogRecord, ...]
    """The lines of this page."""
    next_cursor: str | None
    """Where the next page begins; null on the last one."""


class DeploymentLogSearchResponse(ExecutionLogSearchResponse):
    """As of an execution."""


@dataclass(frozen=True)
class LogEndpoints:
    """Lists what workers have logged, and leads to where it is streamed. streams: as in `EventEndpoints`."""

    engine: Engine
    streams: StreamRedirects | None

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        streamed = partial(Endpoint, "GET", roles=READERS, errors=(404,), headers=(LAST_EVENT_ID,), frames=LogFrame)
        return [
            Endpoint("GET", EXECUTION_LOGS, self.get_workflow_execution_logs, READERS, errors=(404,)),
            streamed(f"{EXECUTION_LOGS}/stream", self.stream_execution),
            Endpoint("GET", DEPLOYMENT_LOGS, self.get_deployment_logs, READERS, errors=(404,)),
            streamed(f"{DEPLOYMENT_LOGS}/stream", self.stream_deployment),
        ]

    def get_workflow_execution_logs(
        self, request: Request, execution_id: str, query: Annotated[ExecutionLogsQuery, Query()]
    ) -> ExecutionLogSearchResponse:
        """List what the code of an execution has logged in the last two weeks.

        A page before the last one is full, unless 1,000 batches of lines were read for it.
        """
        workspace = workspace_of(request)
        wanted = of_code(run_id=query.run_id, activity_id=query.activity_id)
        window = self.engine.logs.of_execution(workspace, execution_id, wanted)
        results, cursor = self._page(request, f"logs of execution {execution_id}", window, query)
        return ExecutionLogSearchResponse(results=results, next_cursor=cursor)

    def get_deployment_logs(
        self, request: Request, name: str, query: Annotated[DeploymentLogsQuery, Query()]
    ) -> DeploymentLogSearchResponse:
        """List what a deployment's workers have logged in the last two weeks. Pages are as those of an execution."""
        workspace = workspace_of(request)
        deployment = self.engine.catalogue.get_deployment(workspace, DeploymentName(name)).name
        if query.log_type == "build":
            return DeploymentLogSearchResponse(results=(), next_cursor=None)
        window = Window(deployment, of_code(workflow_name=query.workflow_name), query.worker_name)
        results, cursor = self._page(request, f"logs of deployment {deployment}", window, query)
        return DeploymentLogSearchResponse(results=results, next_cursor=cursor)

    def stream_execution(
        self,
        request: Request,
        execution_id: str,
        query: Annotated[ExecutionLogStreamQuery, Query()],  # noqa: ARG002 - read where it is streamed
    ) -> Response[None]:
        """Stream what the code of an execution logs; the stream ends with the execution."""
        self.engine.executions.get(workspace_of(request), execution_id)
        return led_there(request, self.streams)

    def stream_deployment(
        self,
        request: Request,
        name: str,
        query: Annotated[DeploymentLogStreamQuery, Query()],  # noqa: ARG002 - read where it is streamed
    ) -> Response[None]:
        """Stream what a deployment's workers log."""
        self.engine.catalogue.get_deployment(workspace_of(request), DeploymentName(name))
        return led_there(request, self.streams)

    def _page(
        self, request: Request, listing: str, window: Window, query: LogsQuery
    ) -> tuple[tuple[LogRecord, ...], str | None]:
        workspace = workspace_of(request)
        beside = ("after", "before", "order", "limit")
        pages = cursors(self.engine.capabilities, request, listing, query, beside=beside)
        order, after, before, place = pages.position(query.cursor) or (
            query.order,
            _text(query.after),
            _text(query.before),
            None,
        )
        window = replace(
            window,
            after=max(_time(after) or EPOCH, window.after),
            before=min(_time(before) or LATEST, window.before),
            descending=order == "desc",
        )
        page = self.engine.logs.search(workspace, window, query.limit, place)
        traces = self.engine.traces.ids(workspace, {line.execution_id for line in page.lines if line.execution_id})
        records = tuple(record_of(line, traces.get(line.execution_id or "", "")) for line in page.lines)
        return records, pages.cursor([order, after, before, page.next_cursor] if page.next_cursor else None)


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
