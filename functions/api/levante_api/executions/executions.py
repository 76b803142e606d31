"""Endpoints of executions: start, look at, end."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from aws_lambda_powertools.event_handler import Request, Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from levante_api.executions.batches import BatchExecutionBody, BatchExecutionResponse, each_on_its_own
from levante_api.executions.models import (
    ResetInvocationBody,
    WorkflowExecutionRequest,
    WorkflowExecutionResponse,
    WorkflowExecutionSyncResponse,
    WorkflowHistoryResponse,
    execution_response,
    given_input,
    not_completed,
    status_response,
)
from levante_api.http.endpoints import CLIENTS, READERS, Endpoint, no_content, user_of, workspace_of
from levante_api.http.problems import Refused, answer_to
from levante_api.observability import traceparent
from levante_api.streams.redirects import Histories, HistoryQuery, StreamRedirects
from levante_core.domain.executions.execution import Ending, Execution, Tracing
from levante_core.domain.frozen import Parameters
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.domain.names import ExecutionId, Workspace, deployment_name
from levante_core.errors import InvalidInput, LevanteError, ResultNotReady
from levante_core.protocol.streams import HISTORY
from levante_core.services.engine import Engine
from levante_core.services.executions.reset import ResetRequest
from levante_core.services.executions.start import StartRequest
from levante_core.storage.runs import RunSummary

DEFAULT_WAIT_SECONDS = 25.0
"""How long a caller waits for a result who does not say."""


class ExecutionQuery(Parameters):
    """How to show an execution."""

    include_search_keys: bool = False
    """Show what it can be found by; null otherwise."""
    include_input: bool = False
    """Show the input of its latest run; null otherwise."""


@dataclass(frozen=True)
class ExecutionEndpoints:
    """max_wait_seconds: longer waits for a result are cut to this.

    streams: the way to where histories are sent that are too large for this program; None if it takes any.
    """

    engine: Engine
    max_wait_seconds: float
    streams: StreamRedirects | None

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        execution = "/v1/workflows/executions/<execution_id>"
        start = partial(Endpoint, "POST", roles=CLIENTS, errors=(404, 409, 504), headers=("traceparent",))
        change = partial(Endpoint, "POST", roles=CLIENTS)
        return [
            start("/v1/workflows/<workflow_identifier>/execute", self.execute_workflow),
            start(
                "/v1/workflows/registrations/<workflow_registration_id>/execute",
                self.execute_workflow_registration,
                is_deprecated=True,
            ),
            Endpoint("GET", execution, self.get_workflow_execution, READERS, errors=(404,)),
            Endpoint("GET", HISTORY, self.get_workflow_execution_history, READERS, errors=(404,), redirects=True),
            change(f"{execution}/terminate", self.terminate_workflow_execution, status=204, errors=(404, 409), audits=()),
            change(f"{execution}/reset", self.reset_workflow, status=204, errors=(404,), audits=("event_id", "reason")),
            change(
                "/v1/workflows/executions/terminate",
                self.batch_terminate_workflow_executions,
                audits=("execution_ids",),
            ),
        ]

    def execute_workflow(
        self, request: Request, workflow_identifier: str, body: WorkflowExecutionRequest
    ) -> WorkflowExecutionSyncResponse | WorkflowExecutionResponse:
        """Start an execution of a workflow, by its name or id."""
        workspace = workspace_of(request)
        execution = self.engine.executions.start(workspace, workflow_identifier, _start_request(request, body))
        return self._answer(workspace, execution, body)

    def execute_workflow_registration(
        self, request: Request, workflow_registration_id: str, body: WorkflowExecutionRequest
    ) -> WorkflowExecutionSyncResponse | WorkflowExecutionResponse:
        """Start an execution of what one deployment registered."""
        workspace, start = workspace_of(request), _start_request(request, body)
        execution = self.engine.executions.start_registration(workspace, workflow_registration_id, start)
        return self._answer(workspace, execution, body)

    def get_workflow_execution(
        self, request: Request, execution_id: str, query: Annotated[ExecutionQuery, Query()]
    ) -> WorkflowExecutionResponse:
        """Get an execution as its latest run stands."""
        workspace = workspace_of(request)
        run, ending = self._found(workspace, execution_id, with_input=query.include_input)
        parked = self.engine.parking.of_execution(workspace, run.key.execution_id) if run.has_parked else ()
        blockers = self.engine.blockers.of(run)
        return status_response(
            run,
            ending,
            parked,
            blockers,
            with_search_keys=query.include_search_keys,
            with_input=query.include_input,
        )

    def _found(
        self, workspace: Workspace, execution_id: str, *, with_input: bool
    ) -> tuple[Execution | RunSummary, Ending | None]:
        """Return an execution, with its input only if that is wanted: a large one is another read."""
        if not with_input:
            return self.engine.executions.status(workspace, execution_id)
        execution = self.engine.executions.get(workspace, execution_id)
        return execution, execution.ending

    def get_workflow_execution_history(
        self,
        request: Request,
        execution_id: str,
        query: Annotated[HistoryQuery, Query()],
    ) -> Response[WorkflowHistoryResponse]:
        """Get the history of an execution's latest run, whole or page by page."""
        find = partial(self.engine.histories.find, workspace_of(request), execution_id)
        return Histories(self.engine, self.streams, self.max_wait_seconds).answer(find, request, query)

    def terminate_workflow_execution(self, request: Request, execution_id: str) -> Response[None]:
        """End an execution at once; its workflow code gets no say."""
        self.engine.closing.terminate(workspace_of(request), ExecutionId(execution_id))
        return no_content()

    def reset_workflow(self, request: Request, execution_id: str, body: ResetInvocationBody) -> Response[None]:
        """Go on from an earlier event of an execution's history with a new run, and the code of today."""
        wanted = ResetRequest(body.event_id, body.reason, body.exclude_signals, body.exclude_updates)
        self.engine.resets.reset(workspace_of(request), execution_id, wanted)
        return no_content()

    def batch_terminate_workflow_executions(self, request: Request, body: BatchExecutionBody) -> BatchExecutionResponse:
        """End up to 100 executions at once, each on its own."""
        workspace = workspace_of(request)
        return each_on_its_own(
            body, lambda execution_id: self.engine.closing.terminate(workspace, ExecutionId(execution_id))
        )

    def _answer(
        self, workspace: Workspace, execution: Execution, body: WorkflowExecutionRequest
    ) -> WorkflowExecutionSyncResponse | WorkflowExecutionResponse:
        if not body.wait_for_result:
            return execution_response(execution)
        execution_id = execution.key.execution_id
        wanted = DEFAULT_WAIT_SECONDS if body.timeout_seconds is None else body.timeout_seconds
        try:
            closed = self.engine.executions.wait(workspace, execution_id, min(wanted, self.max_wait_seconds))
        except ResultNotReady as error:
            run, _ = self.engine.executions.status(workspace, execution_id)
            reasons = "".join(f"; {blocker.message}" for blocker in self.engine.blockers.of(run))
            raise Refused(answer_to(ResultNotReady(f"{error}{reasons}"), execution_id=execution_id)) from error
        except LevanteError as error:
            raise Refused(answer_to(error, execution_id=execution_id)) from error
        if closed.status is not ExecutionStatus.COMPLETED:
            raise Refused.because(409, "EXECUTION_NOT_COMPLETED", _why_not(closed), **not_completed(closed))
        result = closed.ending.result if closed.ending else None
        return WorkflowExecutionSyncResponse(
            workflow_name=closed.start.workflow_name, execution_id=execution_id, result=result
        )


def _start_request(request: Request, body: WorkflowExecutionRequest) -> StartRequest:
    if body.task_queue and body.deployment_name and body.task_queue != body.deployment_name:
        problem = "task_queue is the older name of deployment_name, and the two differ: send one of them"
        raise InvalidInput.at(("body", "task_queue"), problem)
    if body.task_queue:
        deployment_name(body.task_queue, "task_queue")
    return StartRequest(
        input=given_input(body.input, body.encoded_input),
        execution_id=body.execution_id,
        deployment_name=body.deployment_name or body.task_queue,
        user_id=user_of(request),
        tracing=Tracing(
            traceparent=traceparent.chosen(body.traceparent, request.headers.get("traceparent")),
            force_new_trace=body.force_new_trace,
            attributes=body.custom_tracing_attributes or {},
            extensions=body.extensions or {},
        ),
    )


def _why_not(closed: Execution) -> str:
    failure = closed.ending.failure if closed.ending else None
    why = f": {failure.message}" if failure else ""
    return f"execution {closed.key.execution_id!r} did not complete, it is {closed.status.value}{why}"
