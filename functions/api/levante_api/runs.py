"""Endpoints of runs."""

from dataclasses import dataclass
from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.elsewhere import Elsewhere, HistoryQuery, told_here_or_there
from levante_api.endpoints import READERS, Endpoint, user_named, workspace_of
from levante_api.execution_models import (
    Statuses,
    WorkflowExecutionListResponse,
    WorkflowExecutionResponse,
    WorkflowHistoryResponse,
    execution_response,
    possible,
    run_response,
)
from levante_api.paging import page_of, token_named
from levante_core.domain.frozen import Frozen, Moment, wire_time
from levante_core.domain.names import Workspace
from levante_core.errors import InvalidInput
from levante_core.protocol.streams import RUN_HISTORY
from levante_core.records.runs import RunSummary
from levante_core.services.engine import Engine
from levante_core.services.run_filter import RunFilter, key_filter

MOST_SORTED = 10_000
"""Runs that are sorted by the time of their end."""


class RunsQuery(Frozen):
    """Which runs, in which order.

    workflow_identifier: name or id of their workflow. root_execution_id: all runs of this execution and those below it.
    deployment_name: where they are advanced. search: words in an id or the name of the workflow, whatever the case.
    user_id: started with this API key, or below what was; `current` is the caller's. start_time_after, end_time_after: from
    this time on. start_time_before, end_time_before: before this time.
    search_key: up to three, all of which have to hold: `key` is there, `key==` is empty, `key==:value` is exactly this,
    `key:value` holds this. workflow_tags: all of these are the workflow's. status: one of these. sort_by: runs that are open
    come as if they ended last; up to 10,000 runs are sorted by end_time. order: ascending or descending.
    include_internal: runs of workflows that are means to others, too. page_size: runs on a page. next_page_token: from the
    page before.
    """

    workflow_identifier: str | None = None
    root_execution_id: str | None = None
    deployment_name: str | None = None
    search: str | None = None
    user_id: str | None = None
    start_time_after: Moment | None = None
    start_time_before: Moment | None = None
    end_time_after: Moment | None = None
    end_time_before: Moment | None = None
    search_key: Annotated[tuple[str, ...] | None, Field(max_length=3)] = None
    workflow_tags: tuple[str, ...] | None = None
    status: Statuses = None
    sort_by: Literal["start_time", "end_time"] = "start_time"
    order: Literal["asc", "desc"] = "desc"
    include_internal: bool = True
    page_size: Annotated[int, Field(ge=1, le=1000)] = 50
    next_page_token: str | None = None


@dataclass(frozen=True)
class RunEndpoints:
    """Lists and shows runs. streams: as in `ExecutionEndpoints`."""

    engine: Engine
    streams: Elsewhere | None

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        one = "/v1/workflows/runs/<run_id>"
        return [
            Endpoint("GET", "/v1/workflows/runs", self.list_runs, READERS, errors=(404,)),
            Endpoint("GET", one, self.get_run, READERS, errors=(404,)),
            Endpoint("GET", RUN_HISTORY, self.get_run_history, READERS, errors=(404,), redirects=True),
        ]

    def get_run(self, request: Request, run_id: str) -> WorkflowExecutionResponse:
        """Get an execution as one of its runs stands, the latest or an earlier one."""
        return execution_response(self.engine.executions.get_run(workspace_of(request), run_id))

    def get_run_history(
        self,
        request: Request,
        run_id: str,
        query: Annotated[HistoryQuery, Query()],  # noqa: ARG002 - there is nothing to decode, and no harm in asking
    ) -> Response[WorkflowHistoryResponse]:
        """Get the history of a run."""
        return told_here_or_there(self.engine.histories.show_run(workspace_of(request), run_id), request, self.streams)

    def list_runs(self, request: Request, query: Annotated[RunsQuery, Query()]) -> WorkflowExecutionListResponse:
        """List runs by the time of their start or end; pages are full but for the last one."""
        workspace = workspace_of(request)
        statuses = possible(query.status)
        if statuses == set():
            return WorkflowExecutionListResponse(executions=(), next_page_token=None)
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
            of_workflows=self._tagged(workspace, query.workflow_tags),
            without_workflows=set() if query.include_internal else self.engine.catalogue.technical_workflows(workspace),
        )
        if query.sort_by == "end_time":
            return self._by_end(workspace, query, wanted)
        with token_named("next_page_token"):
            page = self.engine.executions.list_runs(
                workspace,
                workflow=query.workflow_identifier,
                wanted=wanted,
                descending=query.order == "desc",
                page_size=query.page_size,
                after=query.next_page_token or None,
            )
        return WorkflowExecutionListResponse(
            executions=tuple(run_response(run) for run in page.runs), next_page_token=page.next_token
        )

    def _tagged(self, workspace: Workspace, tags: tuple[str, ...] | None) -> set[str] | None:
        return self.engine.catalogue.tagged_workflows(workspace, tags) if tags else None

    def _by_end(self, workspace: Workspace, query: RunsQuery, wanted: RunFilter) -> WorkflowExecutionListResponse:
        """Sort by the time of the end, for which there is no index: those that are open come as if they ended last."""
        page = self.engine.executions.list_runs(
            workspace,
            workflow=query.workflow_identifier,
            wanted=wanted,
            descending=False,
            page_size=MOST_SORTED + 1,
            after=None,
        )
        if len(page.runs) > MOST_SORTED:
            problem = (
                f"more than {MOST_SORTED} runs would have to be sorted: narrow them down, by start_time_after for instance"
            )
            raise InvalidInput.at(("query", "sort_by"), problem)
        runs = sorted(page.runs, key=_end, reverse=query.order == "desc")
        with token_named("next_page_token", "cursor"):
            rows, token = page_of(runs, lambda run: run.key.run_id, query.page_size, query.next_page_token)
        return WorkflowExecutionListResponse(executions=tuple(run_response(run) for run in rows), next_page_token=token)


def _end(run: RunSummary) -> tuple[bool, str, str]:
    return run.ended_at is None, wire_time(run.ended_at or run.started_at), run.key.run_id
