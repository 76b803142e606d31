"""An activity attempt as a worker is asked to run it."""

from __future__ import annotations

from dataclasses import dataclass

from levante_core.protocol import ActivityWork, DeploymentName, Json


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to be run. seq: of the command that asked for the activity. token, details: see ActivityTask."""

    execution_id: str
    run_id: str
    deployment_name: DeploymentName
    seq: int
    number: int
    token: str
    work: ActivityWork
    details: tuple[Json, ...] = ()
