"""The client of DynamoDB as the store needs it."""

from typing import cast

import boto3
from botocore.config import Config

from levante_core.adapters.dynamodb.calls import PARALLEL_CALLS, DynamoDBClient

_ATTEMPTS = 3
_CONNECT_SECONDS, _READ_SECONDS = 2, 4
"""A request takes some 10 ms; what takes seconds is lost, and sooner sent again than waited for."""


def dynamodb_client(*, endpoint_url: str | None = None, connections: int = PARALLEL_CALLS) -> DynamoDBClient:
    """Make a client, to be kept and shared by threads. Region, credentials and endpoint come from the environment.

    endpoint_url: in place of AWS_ENDPOINT_URL. connections: how many are kept open. A request that fails in a way that
    may pass is sent three times, at a rate that adapts to throttling. Cost: some 300 ms once, for boto3.
    """
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=connections,
        tcp_keepalive=True,
        retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
    )
    return cast("DynamoDBClient", boto3.Session().client("dynamodb", endpoint_url=endpoint_url, config=config))
