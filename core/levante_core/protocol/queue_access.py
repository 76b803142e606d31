"""How workers reach the queues of their deployment without the API in between."""

from typing import Annotated

from pydantic import Field

from levante_core.domain.frozen import Frozen, Time
from levante_core.protocol.names import Pool


class QueueAccessRequest(Frozen):
    """Ask how to reach the queues of a deployment without the API in between."""

    deployment_name: Pool
    """Name of the deployment."""


class QueueCredentials(Frozen):
    """Short-lived AWS credentials for the two queues of one deployment, and nothing else."""

    access_key_id: str
    """Access key."""
    secret_access_key: Annotated[str, Field(repr=False)]
    """Secret of the access key."""
    session_token: Annotated[str, Field(repr=False)]
    """Session token that belongs to them."""
    expires_at: Time
    """When they stop to work."""


class QueueAccess(Frozen):
    """The names of the queues in SQS, and what opens them."""

    region: str
    """AWS region of the queues."""
    workflow_queue: str
    """Name of the queue of workflow tasks."""
    activity_queue: str
    """Name of the queue of activity tasks."""
    credentials: QueueCredentials
    """What opens the queues."""


class QueueAccessResponse(Frozen):
    """How to reach the queues of a deployment."""

    access: QueueAccess | None
    """How the queues are reached; null where they can be reached through the API alone."""
