"""Access to the queues of one deployment: short-lived credentials of a role, from STS."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import Any, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from levante_core.adapters.aws.calls import Repeats, ServiceRefused
from levante_core.adapters.dynamodb.calls import Patience
from levante_core.adapters.sqs.queues import SqsQueues
from levante_core.protocol.queue_access import QueueAccess, QueueCredentials

GRANT_SECONDS = 3600
"""How long credentials are good for: the longest that a role may lend another one.

Source: IAM user guide, Role chaining (read 2026-11-23).
"""

WORKER_ACTIONS = ("sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage")
"""What a worker does with its queues. It sends nothing there: what it has to say, it says to the API."""

_ATTEMPTS, _CONNECT_SECONDS, _READ_SECONDS = 3, 2, 4


class StsClient(Protocol):
    """The low-level client: parameters and answers as in the API."""

    def assume_role(self, **parameters: Any) -> Mapping[str, Any]:
        """Return credentials of a role, narrowed by a policy."""
        ...


class StsTaskAccess:
    """Lends credentials of a role, narrowed each time to two queues. The role is in the account of the queues."""

    def __init__(
        self,
        client: StsClient,
        role_arn: str,
        queues: SqsQueues,
        region: str,
        *,
        kms_key_arn: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Lend credentials of a role. region: of the queues. kms_key_arn: what they are encrypted with, if not by SQS."""
        self._client = client
        self._role_arn = role_arn
        self._queues = queues
        self._region = region
        self._kms_key_arn = kms_key_arn
        self._patience = patience or Patience()

    def grant(self, workflow_queue: str, activity_queue: str) -> QueueAccess:
        """Say what two queues of the core are called in SQS, and lend credentials for them for an hour.

        The session is called by the name of the first, so that the account's log tells the deployment.
        Raises: Unavailable; ServiceRefused if the role may not be lent. Cost: one request.
        Source: STS API, AssumeRole (read 2026-11-23).
        """
        names = [self._queues.name(queue) for queue in (workflow_queue, activity_queue)]
        policy = session_policy(
            [queue_arn(self._role_arn, self._region, name) for name in names], kms_key_arn=self._kms_key_arn
        )
        request = partial(
            self._client.assume_role,
            RoleArn=self._role_arn,
            RoleSessionName=workflow_queue,
            Policy=json.dumps(policy, separators=(",", ":")),
            DurationSeconds=GRANT_SECONDS,
        )
        try:
            lent = Repeats(f"assuming {self._role_arn}", self._patience).call(request)["Credentials"]
        except ClientError as error:
            raise ServiceRefused(f"STS refuses to lend {self._role_arn}: {error}") from error
        return QueueAccess(
            region=self._region,
            workflow_queue=names[0],
            activity_queue=names[1],
            credentials=QueueCredentials(
                access_key_id=lent["AccessKeyId"],
                secret_access_key=lent["SecretAccessKey"],
                session_token=lent["SessionToken"],
                expires_at=lent["Expiration"].astimezone(UTC),
            ),
        )


def session_policy(queue_arns: Sequence[str], *, kms_key_arn: str | None = None) -> dict[str, Any]:
    """Return the policy that narrows a session to taking messages from these queues, and to reading them.

    A session may do what both its role and this policy allow. Source: IAM user guide, Session policies (2026-11-23).
    Raises: ValueError for what is not the ARN of one resource.
    """
    for arn in [*queue_arns, *([kms_key_arn] if kms_key_arn else [])]:
        if not re.fullmatch(r"arn:aws[a-z-]*:(sqs|kms):[a-z0-9-]+:\d{12}:[A-Za-z0-9_./-]+", arn):
            raise ValueError(f"{arn!r} is not the ARN of one queue or key")
    statements = [{"Effect": "Allow", "Action": list(WORKER_ACTIONS), "Resource": list(queue_arns)}]
    if kms_key_arn:
        statements.append({"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [kms_key_arn]})
    return {"Version": "2012-10-17", "Statement": statements}


def queue_arn(role_arn: str, region: str, name: str) -> str:
    """Return the ARN of a queue in the account of a role. Raises: ValueError if that is not the ARN of a role."""
    found = re.fullmatch(r"arn:(aws[a-z-]*):iam::(\d{12}):role/.+", role_arn)
    if not found:
        raise ValueError(f"{role_arn!r} is not the ARN of a role")
    partition, account = found.groups()
    return f"arn:{partition}:sqs:{region}:{account}:{name}"


def sts_client(*, endpoint_url: str | None = None) -> StsClient:
    """Make a client, to be kept and shared by threads. Region, credentials and endpoint come from the environment.

    endpoint_url: in place of AWS_ENDPOINT_URL. A request that fails in a way that may pass is sent three times.
    """
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        tcp_keepalive=True,
        retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
    )
    return cast("StsClient", boto3.Session().client("sts", endpoint_url=endpoint_url, config=config))
