"""The endpoint that explains an execution: what it waits for, and what can be done about it."""

from dataclasses import dataclass

from aws_lambda_powertools.event_handler import Request

from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_core.domain.executions.waits import Wait
from levante_core.domain.frozen import Frozen
from levante_core.domain.history.transitions import ExecutionStatus
from levante_core.services.engine import Engine


class ExecutionExplanation(Frozen):
    """Why an execution is where it is."""

    execution_id: str
    """Id of the execution."""
    run_id: str
    """Id of its latest run."""
    status: ExecutionStatus
    """How the run stands."""
    summary: str
    """What it waits for, in one sentence."""
    waits: tuple[Wait, ...]
    """All that it waits for, 500 entries at most, what keeps it from going on first; empty only once it has ended."""


@dataclass(frozen=True)
class ExplainEndpoints:
    """Explains executions."""

    engine: Engine

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        return [Endpoint("GET", "/v1/workflows/executions/<execution_id>/explain", self.explain, READERS, errors=(404,))]

    def explain(self, request: Request, execution_id: str) -> ExecutionExplanation:
        """Say what an execution waits for, since and until when, who has to act, and what can be done by hand."""
        workspace = workspace_of(request)
        run = self.engine.explanations.find(workspace, execution_id)
        parked = self.engine.parking.of_execution(workspace, run.key.execution_id) if run.has_parked else ()
        of_run = tuple(item for item in parked if item.owner.run_id in (None, run.key.run_id))
        explanation = self.engine.explanations.explain(run, of_run)
        return ExecutionExplanation(
            execution_id=run.key.execution_id,
            run_id=run.key.run_id,
            status=run.status,
            summary=explanation.summary,
            waits=explanation.waits,
        )
