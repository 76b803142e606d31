"""Endpoints of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.executions.models import (
    WorkflowExecutionListResponse,
    WorkflowExecutionResponse,
    WorkflowHistoryResponse,
    run_response,
    status_response,
)
from levante_api.http.endpoints import READERS, Endpoint, user_named, workspace_of
from levante_api.http.paging import Cursors, cursors, page_of
from levante_api.streams.redirects import Histories, HistoryQuery, StreamRedirects
from levante_core.domain.executions.criteria import RunCriteria, possible
from levante_core.domain.frozen import Cursor, Limit, wire_time
from levante_core.errors import InvalidInput
from levante_core.protocol.streams import RUN_HISTORY
from levante_core.services import paging
from levante_core.services.engine import Engine
from levante_core.services.executions.start import RunsPage
from levante_core.services.paging import Budget
from levante_core.storage.runs import RunSummary

MOST_LOOKED_AT = 100
"""Open runs of a page whose blockers are shown."""


class RunsQuery(RunCriteria):
    """Which runs, in which order."""

    sort_by: Literal["start_time", "end_time"] = "start_time"
    """Runs that are open come as if they ended last; up to 5,000 runs are looked at and sorted by end_time."""
    order: Literal["asc", "desc"] = "desc"
    """Ascending or descending."""
    include_blockers: bool = False
    """Say what keeps each run that is open from going on, of the first 100 such runs of the page."""
    page_size: Limit = 50
    """Runs on a page."""
    next_page_token: Cursor | None = None
    """From the page before."""


@dataclass(frozen=True)
class RunEndpoints:
    """Lists and shows runs. max_wait_seconds, streams: as in `ExecutionEndpoints`."""

    engine: Engine
    max_wait_seconds: float
    streams: StreamRedirects | None

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        run = "/v1/workflows/runs/<run_id>"
        return [
            Endpoint("GET", "/v1/workflows/runs", self.list_runs, READERS, errors=(404,)),
            Endpoint("GET", run, self.get_run, READERS, errors=(404,)),
            Endpoint("GET", RUN_HISTORY, self.get_run_history, READERS, errors=(404,), redirects=True),
        ]

    def get_run(self, request: Request, run_id: str) -> WorkflowExecutionResponse:
        """Get an execution as one of its runs stands, the latest or an earlier one."""
        workspace = workspace_of(request)
        run, ending = self.engine.executions.get_run(workspace, run_id)
        parked = self.engine.parking.of_execution(workspace, run.key.execution_id) if run.has_parked else ()
        of_run = tuple(item for item in parked if item.owner.run_id in (None, run_id))
        return status_response(run, ending, of_run, self.engine.blockers.of(run))

    def get_run_history(
        self,
        request: Request,
        run_id: str,
        query: Annotated[HistoryQuery, Query()],
    ) -> Response[WorkflowHistoryResponse]:
        """Get the history of one run, the latest or an earlier one, whole or page by page."""
        find = partial(self.engine.histories.find_run, workspace_of(request), run_id)
        return Histories(self.engine, self.streams, self.max_wait_seconds).answer(find, request, query)

    def list_runs(self, request: Request, query: Annotated[RunsQuery, Query()]) -> WorkflowExecutionListResponse:
        """List runs by the time of their start or end. A page before the last one is full, unless 5,000 were read for it."""
        workspace, budget = workspace_of(request), Budget()
        if possible(query.status) == set():
            return WorkflowExecutionListResponse(executions=(), next_page_token=None)
        blockers = self.engine.blockers.finder()
        criteria = query.model_copy(update={"user_id": user_named(request, query.user_id)})
        wanted = self.engine.selection.filter_of(workspace, criteria, budget, blockers)
        is_by_end = query.sort_by == "end_time"
        pages = cursors(self.engine.capabilities, request, "runs", query, parameter="next_page_token", beside=("page_size",))
        page = self.engine.executions.list_runs(
            workspace,
            workflow=query.workflow_identifier,
            wanted=wanted,
            descending=query.order == "desc",
            page_size=paging.MOST_READ if is_by_end else query.page_size,
            after=None if is_by_end else pages.position(query.next_page_token),
            budget=budget,
        )
        rows, token = _by_end(page, query, pages) if is_by_end else (page.runs, pages.cursor(page.next_token))
        looked_at = {run.key.run_id for run in islice((run for run in rows if run.is_open), MOST_LOOKED_AT)}
        shown = tuple(
            run_response(run, blockers.of(run) if query.include_blockers and run.key.run_id in looked_at else None)
            for run in rows
        )
        return WorkflowExecutionListResponse(executions=shown, next_page_token=token)


def _by_end(page: RunsPage, query: RunsQuery, pages: Cursors) -> tuple[Sequence[RunSummary], str | None]:
    """Sort by the time of the end, for which there is no index: those that are open come as if they ended last."""
    if page.next_token is not None:
        problem = (
            f"more than {paging.MOST_READ} runs would have to be looked at: narrow them down, "
            "by start_time_after or workflow_identifier"
        )
        raise InvalidInput.at(("query", "sort_by"), problem)
    runs = sorted(page.runs, key=_end, reverse=query.order == "desc")
    return page_of(runs, lambda run: run.key.run_id, query.page_size, pages, query.next_page_token)


def _end(run: RunSummary) -> tuple[bool, str, str]:
    return run.ended_at is None, wire_time(run.ended_at or run.started_at), run.key.run_id
