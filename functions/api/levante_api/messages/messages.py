"""Endpoints of what is said to running executions: signals, queries, updates, requests to cancel."""

import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from pydantic import Field

from levante_api.executions.batches import BatchExecutionBody, BatchExecutionResponse, each_on_its_own
from levante_api.http.endpoints import CLIENTS, Endpoint, no_content, workspace_of
from levante_core.domain.frozen import Frozen, Json
from levante_core.errors import InvalidInput
from levante_core.services.engine import Engine

IDEMPOTENCY_KEY = "idempotency-key"
"""Header with which signals and updates are accepted once, however often they are sent."""

Name = Annotated[str, Field(min_length=1, max_length=128)]


class HandlerInvocationBody(Frozen):
    """Which handler, and its input."""

    name: Name
    """Name of the handler, as the workflow declares it."""
    input: dict[str, Json] | None = None
    """As the handler's schema asks; 2 MB at most."""


class SignalWorkflowResponse(Frozen):
    """The signal is recorded."""

    message: str = "Signal accepted"
    """For people."""


class QueryWorkflowResponse(Frozen):
    """What the handler returned."""

    query_name: str
    """Name of the query."""
    result: Json
    """What the handler returned, as JSON."""


class UpdateWorkflowResponse(Frozen):
    """What the handler returned."""

    update_name: str
    """Name of the update."""
    result: Json
    """What the handler returned, as JSON."""


@dataclass(frozen=True)
class MessageEndpoints:
    """max_wait_seconds: how long the answer to a query or an update is waited for."""

    engine: Engine
    max_wait_seconds: float

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        executions = "/v1/workflows/executions"
        execution = f"{executions}/<execution_id>"
        once = partial(Endpoint, headers=(IDEMPOTENCY_KEY,))
        change = partial(Endpoint, roles=CLIENTS)
        closed, unanswered = (404, 409), (404, 409, 504)
        return [
            once("POST", f"{execution}/signals", self.signal_workflow_execution, CLIENTS, status=202, errors=closed),
            Endpoint("POST", f"{execution}/queries", self.query_workflow_execution, CLIENTS, errors=unanswered),
            once("POST", f"{execution}/updates", self.update_workflow_execution, CLIENTS, errors=unanswered),
            change("POST", f"{execution}/cancel", self.cancel_workflow_execution, status=204, errors=closed, audits=()),
            change("POST", f"{executions}/cancel", self.batch_cancel_workflow_executions, audits=("execution_ids",)),
        ]

    def signal_workflow_execution(
        self, request: Request, execution_id: str, body: HandlerInvocationBody
    ) -> SignalWorkflowResponse:
        """Send a signal to the latest run of an execution."""
        once = _request_id(request)
        self.engine.messages.signal(workspace_of(request), execution_id, body.name, body.input, request_id=once)
        return SignalWorkflowResponse()

    def query_workflow_execution(
        self, request: Request, execution_id: str, body: HandlerInvocationBody
    ) -> QueryWorkflowResponse:
        """Ask the latest run of an execution something that changes nothing."""
        workspace = workspace_of(request)
        result = self.engine.queries.ask(workspace, execution_id, body.name, body.input, self.max_wait_seconds)
        return QueryWorkflowResponse(query_name=body.name, result=result)

    def update_workflow_execution(
        self, request: Request, execution_id: str, body: HandlerInvocationBody
    ) -> UpdateWorkflowResponse:
        """Send an update to the latest run of an execution, and wait for its answer."""
        workspace = workspace_of(request)
        wait, once = self.max_wait_seconds, _request_id(request)
        result = self.engine.messages.update(workspace, execution_id, body.name, body.input, wait, request_id=once)
        return UpdateWorkflowResponse(update_name=body.name, result=result)

    def cancel_workflow_execution(self, request: Request, execution_id: str) -> Response[None]:
        """Ask an execution to end; its workflow code sees that, and may clean up."""
        self.engine.messages.cancel(workspace_of(request), execution_id)
        return no_content()

    def batch_cancel_workflow_executions(self, request: Request, body: BatchExecutionBody) -> BatchExecutionResponse:
        """Ask up to 100 executions to end, each on its own."""
        workspace = workspace_of(request)
        return each_on_its_own(body, lambda execution_id: self.engine.messages.cancel(workspace, execution_id))


def _request_id(request: Request) -> str | None:
    """Return the header by which a repeat of a request is known. Raises: InvalidInput."""
    request_id = request.headers.get(IDEMPOTENCY_KEY)
    if request_id and not re.fullmatch(r"[\x21-\x7e]{1,200}", request_id):
        raise InvalidInput.at(("header", IDEMPOTENCY_KEY), "use 1 to 200 printable ASCII characters")
    return request_id
