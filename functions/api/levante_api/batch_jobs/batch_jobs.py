"""Endpoints of batch jobs: one action on every execution that a filter finds."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.batch_jobs.models import (
    BatchFailuresQuery,
    BatchFailuresResponse,
    BatchJobListResponse,
    BatchJobResponse,
    BatchJobsQuery,
    BatchPreviewBody,
    BatchPreviewResponse,
    BatchStartBody,
    failure_response,
    job_response,
)
from levante_api.executions.models import given_input, run_response
from levante_api.http.endpoints import CLIENTS, READERS, VIEWERS, Endpoint, key_of, no_content, user_named, workspace_of
from levante_api.http.paging import cursors, page_of
from levante_core.domain.batch_jobs.request import BatchRequest
from levante_core.domain.executions.criteria import RunCriteria
from levante_core.services.engine import Engine


@dataclass(frozen=True)
class BatchJobEndpoints:
    """Previews, starts, shows and aborts batch jobs."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/batches"
        kept = ("batch_id", "filter", "everything", "action", "reason")
        read, write = partial(Endpoint, "GET", roles=READERS), partial(Endpoint, "POST", roles=CLIENTS)
        return [
            Endpoint("POST", f"{path}/preview", self.preview_batch, (*CLIENTS, *VIEWERS), errors=(404, 409)),
            write(path, self.start_batch, errors=(404, 409), audits=kept),
            read(path, self.list_batches),
            read(f"{path}/<batch_id>", self.get_batch, errors=(404,)),
            read(f"{path}/<batch_id>/failures", self.list_batch_failures, errors=(404,)),
            write(f"{path}/<batch_id>/abort", self.abort_batch, status=204, errors=(404, 409), audits=()),
        ]

    def preview_batch(self, request: Request, body: BatchPreviewBody) -> BatchPreviewResponse:
        """Count the executions that a job would be about if it were started now. Nothing is done to them."""
        preview = self.engine.batch_jobs.preview(workspace_of(request), _criteria(request, body.filter))
        return BatchPreviewResponse(
            matched=preview.matched,
            is_complete=preview.is_complete,
            executions=tuple(run_response(run) for run in preview.first),
        )

    def start_batch(self, request: Request, body: BatchStartBody) -> BatchJobResponse:
        """Start a job, which goes on by itself. It is about executions that have started by now, the oldest first."""
        wanted = BatchRequest(criteria=_criteria(request, body.filter), action=body.action, reason=body.reason)
        value = given_input(body.input, body.encoded_input)
        key, everything = key_of(request), body.everything
        return job_response(self.engine.batch_jobs.start(key, body.batch_id, wanted, value, everything=everything))

    def list_batches(self, request: Request, query: Annotated[BatchJobsQuery, Query()]) -> BatchJobListResponse:
        """List jobs, the newest first. Jobs that have ended are kept for 30 days."""
        jobs = [job for job in self.engine.batch_jobs.all(workspace_of(request)) if query.status in {None, job.status}]
        pages = cursors(self.engine.capabilities, request, "batches", query)
        page, cursor = page_of(jobs, lambda job: job.batch_id, query.limit, pages, query.cursor)
        return BatchJobListResponse(batches=tuple(map(job_response, page)), next_cursor=cursor)

    def get_batch(self, request: Request, batch_id: str) -> BatchJobResponse:
        """Get a job, and how far it has come."""
        return job_response(self.engine.batch_jobs.get(workspace_of(request), batch_id))

    def list_batch_failures(
        self, request: Request, batch_id: str, query: Annotated[BatchFailuresQuery, Query()]
    ) -> BatchFailuresResponse:
        """List the executions with which a job failed, and why, in the order in which it came to them."""
        pages = cursors(self.engine.capabilities, request, f"batches/{batch_id}/failures", query)
        position = pages.position(query.cursor) or 0
        failures, rest = self.engine.batch_jobs.failures(workspace_of(request), batch_id, position, query.limit)
        return BatchFailuresResponse(failures=tuple(map(failure_response, failures)), next_cursor=pages.cursor(rest))

    def abort_batch(self, request: Request, batch_id: str) -> Response[None]:
        """Stop a job. The page that is under way, up to 50 executions, is done; what was done stays done."""
        self.engine.batch_jobs.abort(workspace_of(request), batch_id)
        return no_content()


def _criteria(request: Request, criteria: RunCriteria) -> RunCriteria:
    return criteria.model_copy(update={"user_id": user_named(request, criteria.user_id)})
