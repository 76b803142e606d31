"""Endpoints of runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.executions.models import (
    Statuses,
    WorkflowExecutionListResponse,
    WorkflowExecutionResponse,
    WorkflowHistoryResponse,
    possible,
    run_response,
    status_response,
)
from levante_api.http.endpoints import READERS, Endpoint, user_named, workspace_of
from levante_api.http.paging import Cursors, cursors, page_of
from levante_api.streams.redirects import Histories, HistoryQuery, StreamRedirects
from levante_core.domain.frozen import MOST_PARAMETER_VALUES, Cursor, Limit, Moment, Parameters, Search, wire_time
from levante_core.domain.names import WorkflowName, Workspace
from levante_core.errors import InvalidInput
from levante_core.protocol.streams import RUN_HISTORY
from levante_core.services import paging
from levante_core.services.engine import Engine
from levante_core.services.executions.blockers import Blockers
from levante_core.services.executions.run_filter import RunFilter, key_filter
from levante_core.services.executions.start import RunsPage
from levante_core.services.paging import Budget
from levante_core.storage.runs import RunSummary

MOST_LOOKED_AT = 100
"""Open runs of a page whose blockers are shown."""
READS_OF_A_RUN = 4
"""What finding out about the blockers of an open run counts for."""


class RunsQuery(Parameters):
    """Which runs, in which order."""

    workflow_identifier: str | None = None
    """Name or id of their workflow."""
    root_execution_id: str | None = None
    """All runs of this execution and those below it."""
    deployment_name: str | None = None
    """Where they are advanced."""
    search: Search | None = None
    """Words in an id or the name of the workflow, whatever the case."""
    user_id: str | None = None
    """Started with this API key, or below what was; `current` is the caller's."""
    start_time_after: Moment | None = None
    """From this time on."""
    start_time_before: Moment | None = None
    """Before this time."""
    end_time_after: Moment | None = None
    """From this time on."""
    end_time_before: Moment | None = None
    """Before this time."""
    search_key: Annotated[tuple[str, ...] | None, Field(max_length=3)] = None
    """Up to three, all of which have to hold: `key` is there, `key==` is empty, `key==:value` is exactly this, `key:value`
    holds this."""
    workflow_tags: Annotated[tuple[str, ...] | None, Field(max_length=MOST_PARAMETER_VALUES)] = None
    """All of these are the workflow's."""
    status: Statuses = None
    """One of these."""
    sort_by: Literal["start_time", "end_time"] = "start_time"
    """Runs that are open come as if they ended last; up to 5,000 runs are looked at and sorted by end_time."""
    order: Literal["asc", "desc"] = "desc"
    """Ascending or descending."""
    is_blocked: bool = False
    """Runs only that something keeps from going on."""
    include_blockers: bool = False
    """Say what keeps each run that is open from going on, of the first 100 such runs of the page."""
    include_internal: bool = True
    """Runs of workflows that are means to others, too."""
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
        statuses = possible(query.status)
        if statuses == set():
            return WorkflowExecutionListResponse(executions=(), next_page_token=None)
        blockers = self.engine.blockers.finder()
        wanted = RunFilter(
            statuses=statuses or set(),
            deployment_name=query.deployment_name,
            root_execution_id=query.root_execution_id,
            search=query.search,
            user_id=user_named(request, query.user_id),
            started_after=query.start_time_after,
            started_before=query.start_time_before,
            ended_after=query.end_time_after,
            ended_before=query.end_time_before,
            search_keys=tuple(map(key_filter, query.search_key or ())),
            is_workflow_wanted=self._workflow_filter(workspace, query, budget),
            is_run_wanted=_is_blocked(blockers, budget) if query.is_blocked else None,
        )
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

    def _workflow_filter(self, workspace: Workspace, query: RunsQuery, budget: Budget) -> Callable[[str], bool] | None:
        """Return what asks each workflow once, if the query has to know more of workflows than their names."""
        tags = set(query.workflow_tags or ())
        if query.include_internal and not tags:
            return None

        @cache
        def is_wanted(name: str) -> bool:
            budget.spend()
            workflow = self.engine.catalogue.find_workflow(workspace, WorkflowName(name))
            if workflow is None:
                return not tags
            return (query.include_internal or not workflow.is_technical) and tags <= set(workflow.tags)

        return is_wanted


def _is_blocked(blockers: Blockers, budget: Budget) -> Callable[[RunSummary], bool]:
    def is_wanted(run: RunSummary) -> bool:
        budget.spend(READS_OF_A_RUN if run.is_open else 0)
        return bool(blockers.of(run))

    return is_wanted


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
