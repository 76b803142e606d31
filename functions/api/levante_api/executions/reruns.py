"""Endpoints of what becomes of executions afterwards: where they can go on anew, the same once more, nothing."""

from dataclasses import dataclass
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import Field

from levante_api.executions.models import Id, ResetInvocationBody, WorkflowExecutionResponse, execution_response, given_input
from levante_api.http.endpoints import CLIENTS, READERS, Endpoint, no_content, user_of, workspace_of
from levante_core.domain.frozen import Frozen, Json, Limit, Parameters, Time
from levante_core.services.engine import Engine
from levante_core.services.executions.reset import ForkRequest, ResetRequest
from levante_core.services.executions.start import StartRequest


class ResetPointsQuery(Parameters):
    """Which points."""

    after: Annotated[int, Field(ge=0)] = 0
    """Those that follow this event."""
    limit: Limit = 1000
    """How many."""


class ResetPointResponse(Frozen):
    """An event from which an execution can go on anew."""

    event_id: int
    """Id of the event, the last one that is kept."""
    kind: str
    """What happened."""
    name: str | None
    """Name of what it is about; null if that has none."""
    recorded_at: Time
    """When it was taken into the history."""


class ResetPointsResponse(Frozen):
    """Where an execution can go on anew."""

    execution_id: str
    """Id of the execution."""
    run_id: str
    """Id of its latest run."""
    points: tuple[ResetPointResponse, ...]
    """The points, in order."""
    next_after: int | None
    """The `after` of the following points; null if there are none."""


class RerunBody(Frozen):
    """What is to differ."""

    execution_id: Id | None = None
    """Id of the new execution; made here, if left out."""
    input: dict[str, Json] | None = None
    """Another input; the same as before, if left out."""
    encoded_input: dict[str, Json] | None = None
    """Instead of `input`, one that only the workers can read."""


class ForkBody(ResetInvocationBody):
    """Where an execution is forked."""

    execution_id: Id | None = None
    """Id of the new execution; made here, if left out."""


@dataclass(frozen=True)
class RerunEndpoints:
    """Lists reset points, forks executions, starts them once more, and deletes them."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        execution = "/v1/workflows/executions/<execution_id>"
        return [
            Endpoint("GET", f"{execution}/reset-points", self.list_reset_points, READERS, errors=(404,)),
            Endpoint("POST", f"{execution}/rerun", self.rerun, CLIENTS, errors=(404, 409), audits=("execution_id",)),
            Endpoint("POST", f"{execution}/fork", self.fork, CLIENTS, errors=(404, 409), audits=("execution_id",)),
            Endpoint("DELETE", execution, self.delete_workflow_execution, CLIENTS, status=204, errors=(404, 409), audits=()),
        ]

    def list_reset_points(
        self, request: Request, execution_id: str, query: Annotated[ResetPointsQuery, Query()]
    ) -> ResetPointsResponse:
        """List the events from which an execution can go on anew with `reset`."""
        workspace, after, limit = workspace_of(request), query.after, query.limit
        run, points = self.engine.resets.points(workspace, execution_id, after=after, limit=limit + 1)
        shown = points[:limit]
        return ResetPointsResponse(
            execution_id=run.execution_id,
            run_id=run.run_id,
            points=tuple(
                ResetPointResponse(event_id=point.event_id, kind=point.kind, name=point.name, recorded_at=point.recorded_at)
                for point in shown
            ),
            next_after=shown[-1].event_id if len(points) > limit else None,
        )

    def rerun(self, request: Request, execution_id: str, body: RerunBody) -> WorkflowExecutionResponse:
        """Start an execution with the workflow, the deployment and, unless another is given, the input of this one."""
        value = given_input(body.input, body.encoded_input)
        wanted = StartRequest(input=value, execution_id=body.execution_id, user_id=user_of(request))
        return execution_response(self.engine.executions.rerun(workspace_of(request), execution_id, wanted))

    def fork(self, request: Request, execution_id: str, body: ForkBody) -> WorkflowExecutionResponse:
        """Start another execution that goes on from an event of this one, which does not notice."""
        wanted = ResetRequest(body.event_id, body.reason, body.exclude_signals, body.exclude_updates)
        fork = ForkRequest(wanted, body.execution_id, user_of(request))
        return execution_response(self.engine.resets.fork(workspace_of(request), execution_id, fork))

    def delete_workflow_execution(self, request: Request, execution_id: str) -> Response[None]:
        """Delete a closed execution, its history and, if it is a root, its events.

        Logs go when their own time is over.
        """
        self.engine.expiry.delete(workspace_of(request), execution_id)
        return no_content()
