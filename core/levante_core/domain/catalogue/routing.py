"""Which deployment an execution goes to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from levante_core.domain.names import DeploymentName, WorkflowName
from levante_core.errors import AmbiguousWorkflow, NotFound

LIVENESS_WINDOW = timedelta(seconds=50)
"""A worker is active this long after a heartbeat. Source: REST contract, section 8 (read 2026-11-23)."""


def is_live(last_heartbeat_at: datetime, now: datetime) -> bool:
    """Tell whether a worker that last reported then still counts as active."""
    return now - last_heartbeat_at < LIVENESS_WINDOW


@dataclass(frozen=True, slots=True)
class Owner:
    """A deployment that registered the workflow. last_heartbeat_at: of its workers that serve this workflow."""

    deployment_name: DeploymentName
    registered_at: datetime
    last_heartbeat_at: datetime | None


def choose(workflow: WorkflowName, owners: Sequence[Owner], wanted: DeploymentName | None, now: datetime) -> DeploymentName:
    """Choose the deployment that runs a new execution of the workflow.

    The one that is asked for; else the only owner; else the only active owner; else, when none is active, the one that was
    registered last, whose workers will find the execution waiting. Raises: NotFound, AmbiguousWorkflow.
    """
    if wanted is not None:
        if all(owner.deployment_name != wanted for owner in owners):
            known = ", ".join(sorted(owner.deployment_name for owner in owners))
            raise NotFound(f"deployment {wanted!r} has not registered workflow {workflow!r}; who has: {known or 'nobody'}")
        return wanted
    if not owners:
        raise NotFound(f"no deployment has registered workflow {workflow!r}: start a worker that serves it")
    active = [owner for owner in owners if owner.last_heartbeat_at and is_live(owner.last_heartbeat_at, now)]
    if len(active) > 1:
        names = sorted(owner.deployment_name for owner in active)
        raise AmbiguousWorkflow(
            f"several active deployments serve workflow {workflow!r} ({', '.join(names)}): name one in deployment_name",
            [str(name) for name in names],
        )
    return max(active or owners, key=lambda owner: owner.registered_at).deployment_name
