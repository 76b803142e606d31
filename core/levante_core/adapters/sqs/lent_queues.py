"""The queues of one deployment, as a worker reaches them that was given access."""

import boto3

from levante_core.adapters.sqs.client import sqs_client
from levante_core.adapters.sqs.queues import SqsQueues
from levante_core.protocol.queue_access import QueueAccess


def connect(access: QueueAccess, *, with_credentials: bool) -> SqsQueues:
    """Make a client of the queues, by the names that they have in SQS. The endpoint comes from the environment.

    with_credentials: use those lent; else those of the environment.
    """
    lent = access.credentials
    session = boto3.Session(region_name=access.region)
    if with_credentials:
        session = boto3.Session(
            aws_access_key_id=lent.access_key_id,
            aws_secret_access_key=lent.secret_access_key,
            aws_session_token=lent.session_token,
            region_name=access.region,
        )
    return SqsQueues(sqs_client(session=session), None)
