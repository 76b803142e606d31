"""An activity attempt as a worker is asked to run it."""

from __future__ import annotations

from dataclasses import dataclass

from levante_core.protocol import ActivityWork, DeploymentName, ExecutionId, Json, RunId
from levante_core.protocol.activities import AttemptRef


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be run. seq: of the command that asked for the activity. scheduled_in, details: see ActivityTask."""

    execution_id: str
    run_id: str
    deployment_name: DeploymentName
    seq: int
    scheduled_in: int
    number: int
    work: ActivityWork
    details: tuple[Json, ...] = ()

    @property
    def ref(self) -> AttemptRef:
        """What the attempt is called by."""
        return AttemptRef(
            execution_id=ExecutionId(self.execution_id),
            run_id=RunId(self.run_id),
            deployment_name=self.deployment_name,
            seq=self.seq,
            scheduled_in=self.scheduled_in,
            attempt=self.number,
        )
