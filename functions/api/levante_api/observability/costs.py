"""Endpoint of what executions cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_lambda_powertools.event_handler import Request

from levante_api.http.endpoints import READERS, Endpoint, workspace_of
from levante_core.domain.frozen import Frozen
from levante_core.domain.observability.costs import CostUnit, priced
from levante_core.services.engine import Engine


class UnitCost(Frozen):
    """One of the things that AWS bills."""

    unit: CostUnit
    """What is billed."""
    count: float
    """How many of them."""
    usd: float
    """What they cost, in US dollars."""


class ExecutionCostResponse(Frozen):
    """What an execution has cost on AWS so far, estimated from its history."""

    execution_id: str
    """Id of the execution."""
    run_id: str
    """Id of its latest run, which is the one that is estimated."""
    units: tuple[UnitCost, ...]
    """Each unit, with its price."""
    usd: float
    """All of it, in US dollars, without the workers and without logs."""
    duration_seconds: float
    """How long it has taken, or takes so far."""
    is_partial: bool
    """Whether its history has more than 10,000 items, of which the rest is not counted."""


@dataclass(frozen=True)
class CostEndpoints:
    """Estimates costs. prices: US dollars for one of each unit."""

    engine: Engine
    prices: Mapping[CostUnit, float]

    def table(self) -> list[Endpoint]:
        """List the endpoints of the group."""
        path = "/v1/workflows/executions/<execution_id>/cost"
        return [Endpoint("GET", path, self.get_execution_cost, READERS, errors=(404,))]

    def get_execution_cost(self, request: Request, execution_id: str) -> ExecutionCostResponse:
        """Estimate what an execution has cost on AWS, at list prices. Not part of Mistral's API."""
        found = self.engine.costs.of(workspace_of(request), execution_id)
        ending = found.execution.ending
        until = ending.ended_at if ending else self.engine.clock.now()
        return ExecutionCostResponse(
            execution_id=found.execution.key.execution_id,
            run_id=found.execution.key.run_id,
            units=tuple(
                UnitCost(unit=unit, count=count, usd=count * self.prices[unit]) for unit, count in found.units.items()
            ),
            usd=priced(found.units, self.prices),
            duration_seconds=max(0.0, (until - found.execution.started_at).total_seconds()),
            is_partial=found.is_partial,
        )
